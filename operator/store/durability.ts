import type { PoolClient } from 'pg';
import { OperatorError } from '../kernel/errors.ts';
import { StoreErrorCode } from './errors.ts';

/** Settings without which a crash of the machine takes back what was committed, or tears pages. */
const required = { fsync: 'on', full_page_writes: 'on' } as const;

/**
 * Looks once per connection, so that a server restarted with other settings is noticed.
 * @throws OperatorError DatabaseUnsafe naming the settings
 */
export async function requireDurable(client: PoolClient): Promise<void> {
  const names = Object.keys(required);
  const { rows } = await client.query<{ name: string; setting: string }>(
    'select name, setting from pg_settings where name = any($1)',
    [names],
  );
  const wrong = rows.filter(({ name, setting }) => setting !== required[name as keyof typeof required]);
  if (wrong.length === 0) return;
  const settings = wrong.map(({ name, setting }) => `${name} = ${setting}`).join(', ');
  throw new OperatorError(
    StoreErrorCode.DatabaseUnsafe,
    'retryable',
    `Postgres runs with ${settings} and can lose what it has committed: set it to on, or OPENOS_ALLOW_UNSAFE_DATABASE=true where losing events does no harm`,
  );
}

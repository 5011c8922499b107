import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import type { OperatorError } from '../kernel/errors.ts';
import { classifyDatabaseError, StoreErrorCode } from './errors.ts';

/** Told about every round trip: `undefined` when the server answered, else why it did not. */
export type AvailabilityObserver = (unavailable: OperatorError | undefined) => void;

/** A leading comment names a statement: it is then prepared once per connection. */
const statementName = /^\s*\/\*(\w+)\*\//;

/**
 * The pg pool as kysely wants it, with three additions: named statements are prepared, every error is
 * an `OperatorError`, and a connection that did not answer in time is not used again (a late answer
 * would be taken for the next one's). `greet` meets every new connection before it is used.
 */
export function classifyingPool(
  pool: Pool,
  observe: AvailabilityObserver,
  greet: (client: PoolClient) => Promise<void>,
): PostgresPool {
  const wrapped = new WeakMap<PoolClient, PostgresPoolClient>();

  const connect = async (): Promise<PostgresPoolClient> => {
    const client = await pool.connect().catch((error: unknown) => {
      throw report(error, observe);
    });
    const known = wrapped.get(client);
    if (known) return known;
    try {
      await greet(client);
    } catch (error) {
      client.release(true);
      throw report(error, observe);
    }
    const created = classifyingClient(client, observe);
    wrapped.set(client, created);
    return created;
  };

  return { connect, end: () => pool.end(), options: pool.options };
}

function classifyingClient(client: PoolClient, observe: AvailabilityObserver): PostgresPoolClient {
  let broken: OperatorError | undefined;

  async function query(text: string, values: readonly unknown[]): Promise<unknown> {
    if (broken) throw broken;
    const name = statementName.exec(text)?.[1];
    const statement = name === undefined ? { text, values: [...values] } : { name, text, values: [...values] };
    try {
      const result = await client.query(statement);
      observe(undefined);
      return result;
    } catch (error) {
      const failure = report(error, observe);
      if (failure.code === StoreErrorCode.DatabaseUnavailable) broken = failure;
      throw failure;
    }
  }

  return {
    // kysely's type has a second form, for cursors, which it calls only when it was given a cursor class.
    query: query as unknown as PostgresPoolClient['query'],
    release: (destroy) => client.release(destroy === true || broken !== undefined),
  };
}

const awayCodes: ReadonlySet<string> = new Set([
  StoreErrorCode.DatabaseUnavailable,
  StoreErrorCode.DatabaseAuthFailed,
  StoreErrorCode.DatabaseUnsafe,
]);

function report(error: unknown, observe: AvailabilityObserver): OperatorError {
  const failure = classifyDatabaseError(error);
  observe(awayCodes.has(failure.code) ? failure : undefined);
  return failure;
}

import { sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { OperatorError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { classifyDatabaseError, StoreErrorCode } from './errors.ts';
import { migrations } from './migrations/index.ts';
import { openPool } from './pool.ts';
import type { Db } from './tables/index.ts';

/**
 * Brings the database to this version's schema. Any number of processes may race: one works under an
 * advisory lock, the others wait and find nothing to do. A database that is already further than this
 * version is left as it is.
 * @throws OperatorError MigrationFailed, DatabaseUnavailable, DatabaseAuthFailed
 */
export async function migrate(url: string, log: Logger): Promise<void> {
  // A connection of its own, without deadlines: the racers wait for the lock, and a table may be large.
  const db = openPool({
    url,
    poolSize: 1,
    applicationName: 'openos-migrate',
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 0,
    log,
    observe: () => undefined,
  });
  try {
    if (!(await schemaIsCurrent(db))) await runMigrator(db, log);
  } finally {
    await db.destroy();
  }
}

async function runMigrator(db: Db, log: Logger): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  // migrateToLatest never throws.
  const { error, results } = await migrator.migrateToLatest();
  for (const result of results ?? []) {
    if (result.status === 'Success') log.info({ migration: result.migrationName }, 'migration applied');
  }
  if (error === undefined) return;
  const failed = results?.find((result) => result.status === 'Error')?.migrationName ?? 'unknown';
  const cause = classifyDatabaseError(error);
  if (cause.kind === 'retryable' && cause.code !== StoreErrorCode.SchemaOutdated) throw cause;
  throw new OperatorError(
    StoreErrorCode.MigrationFailed,
    'terminal',
    `migration "${failed}" failed: ${cause.message}`,
    {
      cause: error,
    },
  );
}

/**
 * Whether every migration of this version has been applied; later ones of a newer version do no harm.
 * @throws OperatorError DatabaseUnavailable, DatabaseAuthFailed
 */
export async function schemaIsCurrent(db: Db): Promise<boolean> {
  const table = await sql<{ exists: boolean }>`select to_regclass('kysely_migration') is not null as exists`.execute(
    db,
  );
  if (table.rows[0]?.exists !== true) return false;
  const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db);
  const applied = new Set(rows.map((row) => row.name));
  return Object.keys(migrations).every((name) => applied.has(name));
}

import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Logger } from '../kernel/logger.ts';
import { type AvailabilityObserver, classifyingPool } from './driver.ts';
import type { Db, Tables } from './tables/index.ts';

export type PoolOptions = {
  readonly url: string;
  readonly poolSize: number;
  readonly applicationName: string;
  readonly connectTimeoutMs: number;
  /** 0 = no deadline, neither the server's nor ours. */
  readonly statementTimeoutMs: number;
  readonly log: Logger;
  readonly observe: AvailabilityObserver;
  /** Meets every new connection before it is used; what it throws refuses the connection. */
  readonly greet?: (client: pg.PoolClient) => Promise<void>;
};

/** Kysely over a pg pool. Nothing connects before the first statement; `destroy()` ends it. */
export function openPool(options: PoolOptions): Db {
  const { log, statementTimeoutMs } = options;
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolSize,
    application_name: options.applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: options.connectTimeoutMs,
    idleTimeoutMillis: 60_000,
    // The client's own deadline, for a server that is frozen or cut off and cannot end the statement itself.
    query_timeout: statementTimeoutMs === 0 ? 0 : statementTimeoutMs + 1_000,
    options: sessionOptions(statementTimeoutMs),
    types: { getTypeParser: typeParser },
  });
  // A backend that dies under an idle or a checked-out client emits here; without listeners the process ends.
  pool.on('error', () => log.debug({}, 'an idle database connection was lost'));
  pool.on('connect', (client) => client.on('error', () => log.debug({}, 'a database connection was lost')));
  return new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: classifyingPool(pool, options.observe, options.greet ?? (async () => {})) }),
  });
}

/** Sessions that wait for commits to be on disk, whatever the server's default, and cannot stall a take-over. */
function sessionOptions(statementTimeoutMs: number): string {
  return [
    '-c synchronous_commit=on',
    `-c statement_timeout=${statementTimeoutMs}`,
    `-c idle_in_transaction_session_timeout=${statementTimeoutMs}`,
    '-c TimeZone=UTC',
  ].join(' ');
}

/** int8 as number: positions and sequences stay far below 2^53. */
const typeParser: typeof pg.types.getTypeParser = (oid: number, format?: 'text' | 'binary') =>
  oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format === 'binary' ? 'binary' : 'text');

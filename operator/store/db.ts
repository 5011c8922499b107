import { sql } from 'kysely';
import { hasCode, type OperatorError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { requireDurable } from './durability.ts';
import { StoreErrorCode } from './errors.ts';
import { openPool } from './pool.ts';
import { watchRestarts } from './restart.ts';
import type { Db } from './tables/index.ts';

export { classifyDatabaseError, StoreErrorCode } from './errors.ts';
export { migrate, schemaIsCurrent } from './migrate.ts';
export type { Db, Trx } from './tables/index.ts';

export type DatabaseOptions = {
  /** postgres://user:password@host:port/database; TLS by `sslmode`. */
  readonly url: string;
  /** Connections at most. */
  readonly poolSize: number;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly log: Logger;
  /** Work with a server that may lose what it has committed. False by default. */
  readonly allowUnsafe?: boolean;
  /** For whoever records: no epoch outlives a restart of the server. See `watchRestarts`. False by default. */
  readonly fencesRestarts?: boolean;
  /** A statement that takes longer ends with DatabaseUnavailable. Milliseconds, at most and by default 5,000. */
  readonly statementTimeoutMs?: number;
  /** How long to wait for a connection, of the server or of the pool. Milliseconds, 3,000 by default. */
  readonly connectTimeoutMs?: number;
};

/** The open database. Nothing connects before the first statement. */
export type Database = {
  /** What the repositories take as their first parameter. */
  readonly db: Db;
  /** False from the first round trip that failed for want of a server until the next one that succeeded. */
  readonly available: boolean;
  /** Calls back on every change of `available`. Returns the function that ends it. */
  onAvailability(listener: (available: boolean) => void): () => void;
  /**
   * Calls back when another start of the server was met, before anything is done over the new connection: what it
   * holds may be older than what was read. The epoch of whoever leads is over then.
   */
  onRestart(listener: () => void): () => void;
  /** One round trip. @throws OperatorError DatabaseUnavailable, DatabaseAuthFailed */
  ping(): Promise<void>;
  /** Ends the pool; statements under way finish first. */
  close(): Promise<void>;
};

/** The override of the check: it is said once that it was needed. */
function warnOnce(log: Logger): typeof requireDurable {
  let warned = false;
  return async (client) => {
    try {
      await requireDurable(client);
    } catch (error) {
      if (!hasCode(error, StoreErrorCode.DatabaseUnsafe)) throw error;
      if (!warned) log.warn({ code: StoreErrorCode.DatabaseUnsafe }, (error as OperatorError).message);
      warned = true;
    }
  };
}

const maxStatementTimeoutMs = 5_000;
const probeIntervalMs = 500;

/** Opens a pool; never throws for a server that is away. Whoever opens it closes it. */
export function openDatabase(options: DatabaseOptions): Database {
  const listeners = new Set<(available: boolean) => void>();
  let available = true;
  let closed = false;
  let probe: NodeJS.Timeout | undefined;

  const observe = (failure: OperatorError | undefined): void => {
    const now = failure === undefined;
    if (now === available || closed) return;
    available = now;
    if (failure) options.log.warn({ code: failure.code }, failure.message);
    if (!failure) options.log.info({}, 'Postgres is available');
    // While it is away nobody may have a reason to ask, so we do: the return must be noticed.
    if (failure) probe = setInterval(() => void ping().catch(() => undefined), probeIntervalMs);
    if (!failure) clearInterval(probe);
    for (const listener of listeners) listener(available);
  };

  const restarts = new Set<() => void>();
  const durable = options.allowUnsafe === true ? warnOnce(options.log) : requireDurable;
  const recognise = watchRestarts(() => {
    for (const listener of restarts) listener();
  });

  const db = openPool({
    ...options,
    connectTimeoutMs: options.connectTimeoutMs ?? 3_000,
    statementTimeoutMs: Math.min(options.statementTimeoutMs ?? maxStatementTimeoutMs, maxStatementTimeoutMs),
    observe,
    greet: async (client) => {
      await durable(client);
      if (options.fencesRestarts === true) await recognise(client);
    },
  });

  async function ping(): Promise<void> {
    await sql`select 1`.execute(db);
  }

  return {
    db,
    get available() {
      return available;
    },
    onAvailability(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onRestart(listener) {
      restarts.add(listener);
      return () => restarts.delete(listener);
    },
    ping,
    async close() {
      closed = true;
      clearInterval(probe);
      await db.destroy();
    },
  };
}

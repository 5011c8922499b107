import { randomUUID } from 'node:crypto';
import { silentLogger } from '../kernel/logger.ts';
import { type Database, migrate, openDatabase } from '../store/db.ts';
import { takeOver } from '../store/repositories/leadership.ts';
import type { NewOutboxRow, NewTransition, Recording } from '../store/repositories/recording.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';

export const silent = silentLogger;

export type TestStore = {
  readonly postgres: TestPostgres;
  readonly database: Database;
  /** The epoch that was taken at the start. */
  readonly epoch: number;
  stop(): Promise<void>;
};

/** A migrated database on a server of its own, led by the test. */
export async function startStore(
  options: { readonly poolSize?: number; readonly fsync?: boolean; readonly fencesRestarts?: boolean } = {},
): Promise<TestStore> {
  const postgres = await startPostgres({ fsync: options.fsync ?? false });
  await migrate(postgres.url, silent);
  const database = openTestDatabase(postgres, options.poolSize, options.fencesRestarts);
  const epoch = await takeOver(database.db, 'test');
  return {
    postgres,
    database,
    epoch,
    async stop() {
      await database.close();
      await postgres.stop();
    },
  };
}

export function openTestDatabase(postgres: TestPostgres, poolSize = 8, fencesRestarts = false): Database {
  const { url } = postgres;
  return openDatabase({ url, poolSize, applicationName: 'test', allowUnsafe: true, fencesRestarts, log: silent });
}

const traceContext = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

export function aTransition(over: Partial<NewTransition> = {}): NewTransition {
  return {
    from: null,
    to: 'Created',
    reason: 'Accepted',
    attempt: 1,
    observedAt: new Date('2030-01-01T00:00:00.123Z'),
    detail: {},
    ...over,
  };
}

export function anOutboxRow(seq: number, over: Partial<NewOutboxRow> = {}): NewOutboxRow {
  return {
    eventId: randomUUID(),
    eventType: 'agent.created',
    schemaVersion: '1.0',
    subject: 'openos.events.acme.agent.created.v1',
    envelope: `{"sequence":${seq}}`,
    occurredAt: new Date('2030-01-01T00:00:00.123Z'),
    seq,
    traceContext,
    ...over,
  };
}

/** A recording of one transition (or of those given) after `lastSeq`, each with an event. */
export function aRecording(
  over: Partial<Omit<Recording, 'aggregate'>> & { readonly id?: string; readonly kind?: string } = {},
): Recording {
  const { id = randomUUID(), kind = 'agent', ...rest } = over;
  const lastSeq = rest.lastSeq ?? 0;
  const transitions = rest.transitions ?? [aTransition()];
  return {
    aggregate: { kind, id },
    tenantId: 'acme',
    epoch: 1,
    audit: { actor: 'openos', action: 'transition', detail: {} },
    outbox: transitions.map((_, index) => anOutboxRow(lastSeq + 1 + index)),
    ...rest,
    lastSeq,
    transitions,
  };
}

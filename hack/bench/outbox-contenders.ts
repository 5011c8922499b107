import { randomUUID } from 'node:crypto';
import { Logger, run as runWorker } from 'graphile-worker';
import { CompiledQuery, sql } from 'kysely';
import { PgBoss } from 'pg-boss';
import { Publisher } from '../../operator/events/publisher.ts';
import { silentLogger } from '../../operator/kernel/logger.ts';
import type { Db, Trx } from '../../operator/store/db.ts';
import { outboxOf, outboxStats } from '../../operator/store/repositories/outbox.ts';
import { recordTransitions } from '../../operator/store/repositories/recording.ts';
import { encodedRecording, openTestBroker, untilAvailable } from '../../operator/testkit/events.ts';
import { startNats } from '../../operator/testkit/nats.ts';
import type { TestStore } from '../../operator/testkit/store.ts';
import { observedBroker } from './observed-broker.ts';

/** Something that carries work out of a transaction: what is enqueued in it is delivered once it is committed. */
export type Contender = {
  readonly name: string;
  /** What was set for it, in its own words. */
  readonly settings: string;
  /** Puts `count` jobs into the transaction and returns their ids. */
  enqueue(trx: Trx, count: number): Promise<readonly string[]>;
  /** Called after the commit. */
  committed?(ids: readonly string[]): void;
  /** Begins to deliver. */
  start(onDelivered: (id: string) => void): Promise<void>;
  /** Jobs that are not marked as done in the database. */
  open(): Promise<number>;
  stop(): Promise<void>;
};

const payload = 'x'.repeat(300);
const connections = 25;

/** Our outbox: delivered is what JetStream has acknowledged. */
export async function ourOutbox(store: TestStore): Promise<Contender> {
  const nats = await startNats();
  const broker = openTestBroker(nats);
  await untilAvailable(broker);
  const { db } = store.database;
  let publisher: Publisher | undefined;
  return {
    name: 'OpenOS',
    settings: '128 in flight, 16 connections shared with the writers; nats-server with its own sync_interval',
    enqueue: async (trx, count) => {
      const recording = encodedRecording({ epoch: store.epoch, count });
      await recordTransitions(trx, recording);
      return recording.outbox.map(({ eventId }) => eventId);
    },
    committed: () => publisher?.nudge(),
    start: async (onDelivered) => {
      const observed = observedBroker(broker, ({ headers }) => onDelivered(headers['ce-id'] ?? ''));
      publisher = new Publisher({ outbox: outboxOf(db), broker: observed, log: silentLogger });
      publisher.start();
    },
    open: async () => (await outboxStats(db)).pending,
    stop: async () => {
      await publisher?.stop();
      await broker.close();
      await nats.stop();
    },
  };
}

/** graphile-worker, set as its page on performance sets it. */
export async function graphileWorker(store: TestStore): Promise<Contender> {
  const worker = {
    connectionString: store.postgres.url,
    concurrentJobs: 24,
    maxPoolSize: connections,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    // A line for every job would be what is measured.
    logger: new Logger(() => () => undefined),
  };
  let onDelivered: (id: string) => void = () => undefined;
  const deliver = async (job: unknown): Promise<void> => onDelivered((job as { readonly id: string }).id);
  const begin = () => runWorker({ preset: { worker }, taskList: { deliver }, noHandleSignals: true });
  const { db } = store.database;
  // Once for its tables: the backlog is there before anybody works on it.
  await (await begin()).stop();
  let runner: Awaited<ReturnType<typeof begin>> | undefined;
  return {
    name: 'graphile-worker',
    settings: `concurrentJobs ${worker.concurrentJobs}, maxPoolSize ${connections}, localQueue.size ${worker.localQueue.size}, completeJobBatchDelay 0, failJobBatchDelay 0`,
    enqueue: async (trx, count) => {
      const ids = newIds(count);
      const jobs = JSON.stringify(ids.map((id) => ({ id, payload })));
      await sql`/*graphile_add_jobs*/ select graphile_worker.add_jobs(array(
        select row('deliver', job, null, null, null, null, null, null)::graphile_worker.job_spec
        from json_array_elements(${jobs}::json) job))`.execute(trx);
      return ids;
    },
    start: async (delivered) => {
      onDelivered = delivered;
      runner = await begin();
    },
    open: () => count(db, sql`graphile_worker.jobs`),
    stop: async () => runner?.stop(),
  };
}

/** pg-boss, woken by notifications, fetching on while batches come back full. */
export async function pgBoss(store: TestStore): Promise<Contender> {
  const queue = 'deliver';
  const options = {
    batchSize: 500,
    localConcurrency: 4,
    pollingIntervalSeconds: 0.5,
    notifyPollingIntervalSeconds: 0.5,
    burstWhenBatchFull: true,
  } as const;
  const boss = new PgBoss({ connectionString: store.postgres.url, max: connections, useListenNotify: true });
  boss.on('error', () => undefined);
  await boss.start();
  await boss.createQueue(queue, { notify: true });
  const { db } = store.database;
  return {
    name: 'pg-boss',
    settings: `max ${connections}, useListenNotify, notify, ${Object.entries(options)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}`,
    enqueue: async (trx, count) => {
      const ids = newIds(count);
      const jobs = ids.map((id) => ({ id, data: { payload } }));
      await boss.insert(queue, jobs, { db: { executeSql: (text, values) => execute(trx, text, values) } });
      return ids;
    },
    start: async (delivered) => {
      await boss.work(queue, options, async (jobs) => {
        for (const { id } of jobs) delivered(id);
      });
    },
    open: () => count(db, sql`pgboss.job where name = ${queue} and state < 'completed'`),
    stop: () => boss.stop({ graceful: false }),
  };
}

function newIds(count: number): readonly string[] {
  return Array.from({ length: count }, () => randomUUID());
}

async function count(db: Db, what: ReturnType<typeof sql>): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*)::integer as count from ${what}`.execute(db);
  return rows[0]?.count ?? 0;
}

/** A statement of a library's own, with $1, $2, …, within our transaction. */
async function execute(trx: Trx, text: string, values: unknown[] = []): Promise<{ rows: Record<string, unknown>[] }> {
  const { rows } = await trx.executeQuery<Record<string, unknown>>(CompiledQuery.raw(text, values));
  return { rows };
}

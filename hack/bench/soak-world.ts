import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { sql } from 'kysely';
import type { NatsBroker } from '../../operator/events/nats-broker.ts';
import { readEvents } from '../../operator/events/read-events.ts';
import { recordTransitions } from '../../operator/store/repositories/recording.ts';
import { encodedRecording, openTestConsumer, untilAvailable } from '../../operator/testkit/events.ts';
import { eventually } from '../../operator/testkit/eventually.ts';
import { startNats } from '../../operator/testkit/nats.ts';
import { aTransition, startStore, type TestStore } from '../../operator/testkit/store.ts';
import { type Judgement, judge, paced } from './outbox-world.ts';
import {
  type FromPublisher,
  machineMs,
  type PublisherSample,
  type SoakSettings,
  type ToPublisher,
} from './soak-messages.ts';

export const soakTables = ['outbox', 'transition', 'audit_log'] as const;
export type SoakTable = (typeof soakTables)[number];
export type TableSample = { readonly live: number; readonly dead: number; readonly bytes: number };

export type SoakWorld = {
  /** Moves agents through their lives, this many events a second; resolves when all of them have their ack. */
  write(perSecond: number, seconds: number): Promise<void>;
  /** Milliseconds from commit to PubAck of what was acknowledged since the last call. */
  latencies(): readonly number[];
  tables(): Promise<Readonly<Record<SoakTable, TableSample>>>;
  publisher(): Promise<PublisherSample>;
  /** What a consumer that knows the stream only has found, once it has everything or its time is over. */
  judged(): Promise<Judgement & { readonly repeated: number }>;
  stop(): Promise<void>;
};

/** Events from an agent's first to its last. */
const lifeLength = 8;
const deadlineMs = 120_000;

/** Postgres with fsync, JetStream with every message on disk before its ack, and the publisher's process. */
export async function startSoakWorld(retention: Pick<SoakSettings, 'keep' | 'walkEveryMs'>): Promise<SoakWorld> {
  const store = await startStore({ poolSize: 16, fsync: true });
  const nats = await startNats({ syncAlways: true });
  const publisher = await startPublisher({ ...retention, databaseUrl: store.postgres.url, natsUrl: nats.url });
  const consumer = openTestConsumer(nats);
  await untilAvailable(consumer);
  const follower = follow(consumer);
  const latency = latencyMeter();
  publisher.onAcked((id, atMs) => latency.acked(id, atMs));
  const recorded = new Map<string, number>();
  return {
    write: async (perSecond, seconds) => {
      const living = new Map<string, string>();
      await paced(perSecond, seconds, async (chain, lastSeq) => {
        const seq = lastSeq % lifeLength;
        const id = seq === 0 ? randomUUID() : (living.get(chain) ?? '');
        living.set(chain, id);
        const eventId = await move(store, id, seq);
        latency.committed(eventId, machineMs());
        recorded.set(id, seq + 1);
        publisher.tell({ kind: 'committed', id });
      });
      await eventually('all have their ack', () => latency.open() === 0, deadlineMs, 50);
    },
    latencies: () => latency.take(),
    tables: () => tables(store),
    publisher: () => publisher.sample(),
    judged: async () => {
      const events = [...recorded.values()].reduce((sum, count) => sum + count, 0);
      // What is missing then is counted as lost.
      await eventually('the consumer has all', () => follower.count() >= events, deadlineMs, 50).catch(() => undefined);
      return { ...judge(recorded, follower.appeared), repeated: follower.repeated() };
    },
    stop: async () => {
      await publisher.stop();
      await follower.stop();
      await Promise.all([nats.stop(), store.stop()]);
    },
  };
}

/** Records the next event of an agent, its last one with its end. */
async function move({ database, epoch }: TestStore, id: string, lastSeq: number): Promise<string> {
  const to = lastSeq + 1 === lifeLength ? 'Deleted' : 'Starting';
  const recording = encodedRecording({ epoch, id, lastSeq });
  await recordTransitions(database.db, { ...recording, transitions: [aTransition({ to })] });
  return recording.outbox[0]?.eventId ?? '';
}

/** Pairs commits with acks, in whichever order they become known, and keeps neither. */
function latencyMeter() {
  const committedAt = new Map<string, number>();
  const ackedAt = new Map<string, number>();
  let found: number[] = [];
  return {
    committed: (id: string, atMs: number): void => {
      const acked = ackedAt.get(id);
      if (acked === undefined) committedAt.set(id, atMs);
      else found.push(Math.max(0, acked - atMs));
      ackedAt.delete(id);
    },
    acked: (id: string, atMs: number): void => {
      const committed = committedAt.get(id);
      if (committed === undefined) ackedAt.set(id, atMs);
      else found.push(Math.max(0, atMs - committed));
      committedAt.delete(id);
    },
    open: (): number => committedAt.size,
    take: (): readonly number[] => {
      const taken = found;
      found = [];
      return taken;
    },
  };
}

/** An independent consumer: what comes by the stream, in the order of first appearance. */
function follow(consumer: NatsBroker) {
  const appeared = new Map<string, number[]>();
  const end = new AbortController();
  let [count, repeated] = [0, 0];
  const reading = (async () => {
    for await (const { event } of readEvents(consumer, { follow: true, signal: end.signal })) {
      const known = appeared.get(event.agent_id) ?? [];
      if (known.includes(event.sequence)) repeated += 1;
      else {
        known.push(event.sequence);
        appeared.set(event.agent_id, known);
        count += 1;
      }
    }
  })();
  // A consumer that ended early has not had everything: the judgement shows it.
  reading.catch(() => undefined);
  return {
    appeared: appeared as ReadonlyMap<string, readonly number[]>,
    count: () => count,
    repeated: () => repeated,
    stop: async () => {
      end.abort();
      await reading.catch(() => undefined);
      await consumer.close();
    },
  };
}

async function tables({ database }: TestStore): Promise<Readonly<Record<SoakTable, TableSample>>> {
  const { rows } = await sql<TableSample & { name: SoakTable }>`/*soak_tables*/
    select relname as name, n_live_tup as live, n_dead_tup as dead, pg_total_relation_size(relid) as bytes
    from pg_stat_user_tables where relname = any(${[...soakTables]}::text[])`.execute(database.db);
  const found = new Map(rows.map(({ name, ...sample }) => [name, sample]));
  const none = { live: 0, dead: 0, bytes: 0 };
  const of = (name: SoakTable) => found.get(name) ?? none;
  return { outbox: of('outbox'), transition: of('transition'), audit_log: of('audit_log') };
}

async function startPublisher(settings: SoakSettings) {
  const child = fork(join(import.meta.dirname, 'soak-publisher.ts'), [JSON.stringify(settings)]);
  let onAcked: (id: string, atMs: number) => void = () => undefined;
  child.on('message', (message: FromPublisher) => {
    if (message.kind === 'acked') for (const [id, atMs] of message.events) onAcked(id, atMs);
  });
  const next = <Kind extends FromPublisher['kind']>(kind: Kind): Promise<Extract<FromPublisher, { kind: Kind }>> =>
    new Promise((resolve, reject) => {
      const giveUp = (): void => finish(() => reject(new Error(`the publisher's process does not say "${kind}"`)));
      const listen = (message: FromPublisher): void => {
        if (message.kind === kind) finish(() => resolve(message as Extract<FromPublisher, { kind: Kind }>));
      };
      const timer = setTimeout(giveUp, deadlineMs);
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        child.off('message', listen).off('exit', giveUp);
        settle();
      };
      child.on('message', listen).once('exit', giveUp);
    });
  const tell = (message: ToPublisher): void => void child.send(message);
  await next('publishing');
  return {
    tell,
    onAcked: (listener: typeof onAcked): void => {
      onAcked = listener;
    },
    sample: (): Promise<PublisherSample> => {
      const answer = next('sample');
      tell({ kind: 'sample' });
      return answer;
    },
    stop: async (): Promise<void> => {
      if (child.exitCode !== null) return;
      const exit = once(child, 'exit');
      if (child.connected) tell({ kind: 'stop' });
      await exit;
    },
  };
}

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { Publisher, type PublisherOptions } from '../../operator/events/publisher.ts';
import { silentLogger } from '../../operator/kernel/logger.ts';
import { outboxOf, outboxStats } from '../../operator/store/repositories/outbox.ts';
import { recordTransitions } from '../../operator/store/repositories/recording.ts';
import {
  encodedRecording,
  everythingIn,
  firstAppearances,
  openTestBroker,
  untilAvailable,
} from '../../operator/testkit/events.ts';
import { eventually } from '../../operator/testkit/eventually.ts';
import { startNats } from '../../operator/testkit/nats.ts';
import { startStore, type TestStore } from '../../operator/testkit/store.ts';
import { observedBroker } from './observed-broker.ts';

/** A Postgres that waits for the disk, a JetStream, and publishers whose acks are timed. */
export type OutboxWorld = {
  readonly store: TestStore;
  /** Lends a broker of its own, configured alike, and publishes to it without an outbox: the floor. */
  bare<Answer>(measure: (publish: () => Promise<unknown>) => Promise<Answer>): Promise<Answer>;
  /** Starts one more publisher. */
  publish(more?: Pick<PublisherOptions, 'maxAttempts' | 'attemptBackoffMs'>): Publisher;
  /** Puts `count` events there that every consumer has had, two hours ago: four of each resource. */
  past(count: number): Promise<void>;
  /** Records `count` events of one new aggregate after another, `perAggregate` each, as fast as 16 writers can. */
  backlog(count: number, perAggregate: number): Promise<void>;
  /** Records events at this rate; resolves when the last is out. Milliseconds from commit to PubAck, with the time of the ack. */
  atRate(perSecond: number, seconds: number): Promise<readonly AckedEvent[]>;
  /** Records an event that the broker refuses, of a resource of its own. */
  poison(): Promise<void>;
  drained(): Promise<void>;
  /** What an independent consumer, which knows the stream only, finds. */
  judged(): Promise<Judgement>;
  stop(): Promise<void>;
};

export type AckedEvent = { readonly ackedAt: number; readonly ms: number };
export type Judgement = { readonly events: number; readonly lost: number; readonly reordered: number };

const aggregatesAtRate = 400;
const drainDeadlineMs = 60_000;

export async function startOutboxWorld(options: { readonly syncAlways: boolean }): Promise<OutboxWorld> {
  const store = await startStore({ poolSize: 16, fsync: true });
  const nats = await startNats({ ...options, denyPublish: ['openos.events.poison.>'] });
  const broker = openTestBroker(nats);
  await untilAvailable(broker);
  const publishers: Publisher[] = [];
  const recorded = new Map<string, number>();
  const ackedAt = new Map<string, number>();
  // A repeat does not count: what matters is when the event was there first.
  const timed = observedBroker(broker, ({ headers: { 'ce-id': id = '' } }) => {
    if (!ackedAt.has(id)) ackedAt.set(id, performance.now());
  });

  async function record(id: string, lastSeq: number, count: number): Promise<readonly string[]> {
    const recording = encodedRecording({ epoch: store.epoch, id, lastSeq, count });
    await recordTransitions(store.database.db, recording);
    recorded.set(id, lastSeq + count);
    for (const publisher of publishers) publisher.nudge(id);
    return recording.outbox.map(({ eventId }) => eventId);
  }

  async function drained(): Promise<void> {
    const isEmpty = async () => (await outboxStats(store.database.db)).pending === 0;
    await eventually('nothing is pending', isEmpty, drainDeadlineMs, 20);
  }

  return {
    store,
    bare: (measure) => withBareBroker(options, measure),
    publish: (more = {}) => {
      const outbox = outboxOf(store.database.db);
      const publisher = new Publisher({ outbox, broker: timed, log: silentLogger, ...more });
      publishers.push(publisher);
      publisher.start();
      return publisher;
    },
    backlog: async (count, perAggregate) => {
      let left = Math.ceil(count / perAggregate);
      const writer = async (): Promise<void> => {
        while (left > 0) {
          left -= 1;
          await record(randomUUID(), 0, perAggregate);
        }
      };
      await Promise.all(Array.from({ length: 16 }, writer));
    },
    atRate: async (perSecond, seconds) => {
      const committedAt = new Map<string, number>();
      await paced(perSecond, seconds, async (chain, seq) => {
        for (const eventId of await record(chain, seq, 1)) committedAt.set(eventId, performance.now());
      });
      // Of these alone: beside them others may be refused and tried again all the time.
      const areOut = () => [...committedAt.keys()].every((eventId) => ackedAt.has(eventId));
      await eventually('all of them have their ack', areOut, drainDeadlineMs, 20);
      // An ack may come before its writer is told of its own commit.
      return [...committedAt].map(([eventId, at]) => ({
        ackedAt: ackedAt.get(eventId) ?? Number.NaN,
        ms: Math.max(0, (ackedAt.get(eventId) ?? Number.NaN) - at),
      }));
    },
    poison: async () => {
      const recording = encodedRecording({ epoch: store.epoch, tenantId: 'poison' });
      await recordTransitions(store.database.db, recording);
      for (const publisher of publishers) publisher.nudge(recording.aggregate.id);
    },
    past: async (count) => {
      await sql`insert into outbox (event_id, aggregate_kind, aggregate_id, aggregate_seq, tenant_id, event_type,
          schema_version, subject, envelope, occurred_at, state, published_at, acknowledged_at, stream_created, stream_seq)
        select gen_random_uuid(), 'agent', 'past-' || n / 4, n % 4 + 1, 'acme', 'agent.ready', '1.0', 'openos.events.past',
          repeat('x', 500), now(), 'Acknowledged', now() - interval '2 hours', now() - interval '2 hours', 'past', n + 1
        from generate_series(0, ${count}::integer - 1) n`.execute(store.database.db);
      await sql`vacuum analyze outbox`.execute(store.database.db);
    },
    drained,
    judged: async () => judge(recorded, firstAppearances(await everythingIn(nats))),
    stop: async () => {
      await Promise.all(publishers.map((publisher) => publisher.stop()));
      await broker.close();
      await Promise.all([nats.stop(), store.stop()]);
    },
  };
}

async function withBareBroker<Answer>(
  options: { readonly syncAlways: boolean },
  measure: (publish: () => Promise<unknown>) => Promise<Answer>,
): Promise<Answer> {
  const nats = await startNats(options);
  const broker = openTestBroker(nats);
  await untilAvailable(broker);
  const payload = 'x'.repeat(500);
  let sent = 0;
  try {
    return await measure(() => {
      sent += 1;
      return broker.publish({ subject: 'openos.events.bare', payload, headers: {}, messageId: `${sent}` });
    });
  } finally {
    await broker.close();
    await nats.stop();
  }
}

/** Calls `write` at this rate (per second, for so many seconds) over a few hundred chains, each in sequence; resolves when every call has. */
export async function paced(
  perSecond: number,
  seconds: number,
  write: (chain: string, lastSeq: number) => Promise<void>,
): Promise<void> {
  const chains = Array.from({ length: aggregatesAtRate }, () => ({
    id: randomUUID(),
    seq: 0,
    last: Promise.resolve(),
  }));
  const started = performance.now();
  for (let sent = 0; sent < perSecond * seconds; ) {
    const due = Math.min(perSecond * seconds, Math.floor(((performance.now() - started) / 1_000) * perSecond));
    for (; sent < due; sent += 1) {
      const chain = chains[sent % chains.length];
      if (chain === undefined) continue;
      const { id, seq } = chain;
      chain.seq += 1;
      chain.last = chain.last.then(() => write(id, seq));
    }
    await sleep(1);
  }
  await Promise.all(chains.map(({ last }) => last));
}

/** Compares what was recorded, how many of each aggregate, with sequences by first appearance. */
export function judge(
  recorded: ReadonlyMap<string, number>,
  appeared: ReadonlyMap<string, readonly number[]>,
): Judgement {
  let [events, lost, reordered] = [0, 0, 0];
  for (const [id, count] of recorded) {
    const sequences = appeared.get(id) ?? [];
    events += count;
    lost += count - sequences.length;
    reordered += sequences.filter((seq, index) => seq < (sequences[index - 1] ?? 0)).length;
  }
  return { events, lost, reordered };
}

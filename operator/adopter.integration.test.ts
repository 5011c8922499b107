import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Adopter } from './adopter.ts';
import { cloudEventHeaders } from './events/cloud-event.ts';
import type { NatsBroker } from './events/nats-broker.ts';
import { Publisher } from './events/publisher.ts';
import { type EventDraft, encode } from './events/registry.ts';
import { systemClock } from './kernel/clock.ts';
import { silentLogger } from './kernel/logger.ts';
import { LeaderEpoch } from './leader-epoch.ts';
import { openAggregates, openAggregatesOf, readHistory } from './store/repositories/history.ts';
import { placesUsed } from './store/repositories/ledger.ts';
import { outboxOf } from './store/repositories/outbox.ts';
import { recordTransitions } from './store/repositories/recording.ts';
import { removeEndedAggregates } from './store/repositories/retention.ts';
import { aDraft, encodedRecording, everythingIn, openTestBroker, untilAvailable, upTo } from './testkit/events.ts';
import { eventually } from './testkit/eventually.ts';
import { startNats, type TestNats } from './testkit/nats.ts';
import { openTestDatabase, startStore, type TestStore } from './testkit/store.ts';

let store: TestStore;
let nats: TestNats;
let broker: NatsBroker;
let epoch: LeaderEpoch;
let publisher: Publisher;
let adopted: number;
let told: string[];
const cleanup: (() => Promise<void>)[] = [];

beforeEach(async () => {
  adopted = 0;
  told = [];
  store = await startStore({ fencesRestarts: true });
  cleanup.push(() => store.stop());
  nats = await startNats({ syncAlways: true });
  cleanup.push(() => nats.stop());
  broker = openTestBroker(nats);
  await untilAvailable(broker);
  lead();
  await epoch.current();
});
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
});

function countAdopted(count: number): void {
  adopted += count;
}

/** What a leader does with the record: take it, compare it, publish from it. */
function lead(): void {
  const { database } = store;
  const metrics = { eventsAdopted: countAdopted };
  const parts = { database, broker, metrics, clock: systemClock, log: silentLogger };
  const adopter = new Adopter(parts, (reason) => told.push(reason));
  epoch = new LeaderEpoch(database, 'test', { holds: () => true }, silentLogger, (held) => adopter.run(held));
  publisher = new Publisher({
    outbox: outboxOf(database.db),
    broker,
    log: silentLogger,
    isHeld: () => !epoch.isCompared,
  });
  const stop = database.onRestart(() => {
    epoch.renew();
    void epoch.current().catch(() => undefined);
  });
  publisher.start();
  cleanup.push(async () => {
    stop();
    await publisher.stop();
    await broker.close();
  });
}

/** Every text that was ever committed, by event id: one each. */
const committed = new Map<string, Set<string>>();

/** Records what comes next of an agent as a pass does: it reads what is recorded, and a conflict is a reason to read again. */
async function recordNext(id: string, n: number): Promise<void> {
  const { db } = store.database;
  const { last } = await epoch.reading(() => readHistory(db, 'agent', id));
  const data = { namespace: 'team', name: 'writer', attempt: n, phase: 'Starting', reason: 'ContainersCreated' };
  const lastSeq = last?.seq ?? 0;
  await epoch.during(async (held) => {
    const recording = encodedRecording({ epoch: held, id, lastSeq, data });
    await recordTransitions(db, recording);
    for (const { eventId, envelope } of recording.outbox) {
      committed.set(eventId, (committed.get(eventId) ?? new Set()).add(envelope));
    }
  });
  publisher.nudge(id);
}

function traffic(agents: readonly string[]): { readonly end: () => Promise<void>; readonly count: () => number } {
  let count = 0;
  let isOver = false;
  const running = (async () => {
    while (!isOver) {
      for (const id of agents) {
        // Away, or someone else recorded: the next pass tries again.
        await recordNext(id, count).then(
          () => (count += 1),
          () => undefined,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const end = async () => {
    isOver = true;
    await running;
  };
  cleanup.push(end);
  return { end, count: () => count };
}

const outbox = () => store.database.db.selectFrom('outbox').selectAll().execute();
const drained = () =>
  eventually(
    'everything is published',
    async () => (await outbox()).every(({ state }) => state === 'Published'),
    20_000,
    50,
  );

/** Record and stream say the same, each id one thing, and no sequence is missing. */
async function expectOneHistory(agents: readonly string[]): Promise<void> {
  const rows = await outbox();
  const there = await everythingIn(nats);
  const texts = new Map<string, Set<string>>();
  for (const { event } of there) {
    texts.set(event.event_id, (texts.get(event.event_id) ?? new Set()).add(JSON.stringify(event)));
  }
  for (const [id, said] of texts) expect([id, said.size]).toEqual([id, 1]);
  for (const { event_id, envelope } of rows) expect([...(texts.get(event_id) ?? [])]).toEqual([envelope]);
  for (const id of agents) {
    const mine = rows.filter(({ aggregate_id }) => aggregate_id === id);
    const sequences = mine.map(({ aggregate_seq }) => aggregate_seq).sort((a, b) => a - b);
    expect(sequences).toEqual(upTo(sequences.length));
    const told = new Set(there.filter(({ event }) => event.agent_id === id).map(({ event }) => event.sequence));
    expect(told.size).toBe(sequences.length);
  }
}

const agents = Array.from({ length: 4 }, () => randomUUID());

test('a Postgres put back under traffic records nothing before it has what the stream has: no id stands for two facts', async () => {
  const { end, count } = traffic(agents);
  await eventually('there is something to copy', () => count() >= 40);
  await store.postgres.backUp();
  const atCopy = (await outbox()).length;
  await eventually('there is something to lose', () => count() >= 240, 30_000);
  await eventually(
    'it is published',
    async () => (await outbox()).filter((row) => row.state === 'Published').length > atCopy + 150,
  );
  await store.postgres.putBack();
  const atPutBack = count();
  await eventually('it is noticed', () => adopted > 100, 60_000);
  await eventually('recording goes on', () => count() >= atPutBack + 40, 30_000);
  await end();
  await drained();
  await expectOneHistory(agents);
  expect(told).toEqual(['EventsAdopted']);
  expect((await outbox()).length).toBeGreaterThan(atCopy + 150);
});

test('a process that starts on an older Postgres adopts before it records, and a second look adopts nothing', async () => {
  for (const n of upTo(10)) for (const id of agents) await recordNext(id, n);
  await drained();
  await store.postgres.backUp();
  // The first to meet the server that was started again is told so.
  await eventually('the record is read again', () => epoch.reading(() => outbox()));
  for (const n of upTo(10)) for (const id of agents) await recordNext(id, n);
  await drained();
  const before = await outbox();
  await publisher.stop();
  await store.postgres.putBack();
  // Another process: it has never met the server before.
  const fresh = await anotherProcess();
  // The leader before meets the server as well, and takes the record from it once more.
  await eventually('the record is taken over', () => fresh.current(), 20_000);
  expect(adopted).toBe(40);
  const key = ({ event_id, envelope, subject, stream_seq, trace_context, state, aggregate_seq }: (typeof before)[0]) =>
    JSON.stringify([event_id, envelope, subject, stream_seq, trace_context, state, aggregate_seq]);
  expect((await outbox()).map(key).sort()).toEqual(before.map(key).sort());
  fresh.renew();
  await eventually('the record is taken over again', () => fresh.current(), 20_000);
  expect(adopted).toBe(40);
  const { last, latestByPhase } = await readHistory(store.database.db, 'agent', agents[0] ?? '');
  expect(last).toMatchObject({ seq: 20, to: 'Starting', reason: 'ContainersCreated', tenantId: 'acme' });
  expect(last?.detail).toMatchObject({ namespace: 'team', name: 'writer' });
  expect(Object.keys(latestByPhase)).toContain('Starting');
});

async function anotherProcess(): Promise<LeaderEpoch> {
  const database = openTestDatabase(store.postgres, 8, true);
  cleanup.push(() => database.close());
  const metrics = { eventsAdopted: countAdopted };
  const adopter = new Adopter({ database, broker, metrics, clock: systemClock, log: silentLogger });
  return new LeaderEpoch(database, 'other', { holds: () => true }, silentLogger, (held) => adopter.run(held));
}

test('a Postgres that was only restarted adopts nothing, and recording goes on', async () => {
  const { end, count } = traffic(agents);
  await eventually('it goes', () => count() >= 20);
  await store.postgres.restart();
  const before = count();
  await eventually('recording goes on', () => count() >= before + 20, 30_000);
  await end();
  await drained();
  await expectOneHistory(agents);
  expect(adopted).toBe(0);
});

test('without a broker recording goes on and nothing is published until both could be compared', async () => {
  await nats.kill();
  await eventually('it is gone', () => !broker.state.available);
  epoch.renew();
  await epoch.current();
  expect(epoch.isCompared).toBe(false);
  for (const id of agents) await recordNext(id, 1);
  await nats.restart();
  await eventually('it is back', () => broker.state.available, 20_000);
  expect((await outbox()).every(({ state }) => state === 'Pending')).toBe(true);
  epoch.renew();
  await epoch.current();
  publisher.nudge();
  await drained();
});

describe('a story whose first events neither the record nor the stream has any more', () => {
  test('is open, holds its place, goes on after its last event, and is removed when it is over', async () => {
    const { db } = store.database;
    const [agent, over, tenant] = [randomUUID(), randomUUID(), randomUUID()];
    const held = { tenantId: 'kept', data: phaseData('Starting', 'ContainersCreated') };
    await putOnStream({ ...held, type: 'agent.starting', aggregate: { kind: 'agent', id: agent }, seq: 7 });
    await putOnStream({
      type: 'agent.deleted',
      aggregate: { kind: 'agent', id: over },
      seq: 9,
      data: phaseData('Deleted', 'AgentDeleted'),
    });
    const resumed = { name: 'kept', reason: 'Resumed' };
    const told = { type: 'tenant.resumed', aggregate: { kind: 'tenant', id: tenant } } as const;
    await putOnStream({ ...told, tenantId: 'kept', seq: 3, data: resumed });
    epoch.renew();
    await epoch.current();

    expect(adopted).toBe(3);
    expect(await everyOne(openAggregates(db, 'agent'))).toEqual([{ id: agent, tenantId: 'kept' }]);
    expect(await openAggregatesOf(db, 'tenant', 'kept')).toEqual([tenant]);
    expect(await placesUsed(db, 'kept', 'agents')).toBe(1);
    await recordNext(agent, 8);
    await drained();
    expect((await readHistory(db, 'agent', agent)).last?.seq).toBe(8);
    await db.updateTable('outbox').set({ state: 'Acknowledged' }).execute();
    expect((await removeEndedAggregates(db, -1_000, undefined)).removed).toBe(2);
  });

  test('has its first event in the record when that is found behind later ones', async () => {
    const { db } = store.database;
    const id = randomUUID();
    const aggregate = { kind: 'agent', id };
    await putOnStream({ aggregate, seq: 2 });
    epoch.renew();
    await epoch.current();
    expect((await readHistory(db, 'agent', id)).latestByPhase.Created?.reason).toBe('BeginningLost');
    await putOnStream({ type: 'agent.created', aggregate, seq: 1, data: phaseData('Created', 'Accepted') });
    epoch.renew();
    await epoch.current();
    expect(adopted).toBe(2);
    const { last, latestByPhase } = await readHistory(db, 'agent', id);
    expect(latestByPhase.Created).toMatchObject({ reason: 'Accepted', event: { state: 'Published' } });
    expect(last?.seq).toBe(2);
  });
});

function phaseData(phase: string, reason: string): EventDraft['data'] {
  return { namespace: 'team', name: 'writer', attempt: 1, phase, reason };
}

/** Publishes an event that the record does not know. */
async function putOnStream(over: Partial<EventDraft>): Promise<void> {
  const draft = aDraft(over);
  const encoded = encode(draft);
  const headers = cloudEventHeaders({ ...encoded, kind: draft.aggregate.kind, aggregateId: draft.aggregate.id });
  const { eventId: messageId, envelope: payload, subject } = encoded;
  await broker.publish({ subject, payload, headers, messageId });
}

async function everyOne<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

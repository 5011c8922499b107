import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import { readHistory } from '../store/repositories/history.ts';
import { outboxOf, outboxStats } from '../store/repositories/outbox.ts';
import { recordTransitions } from '../store/repositories/recording.ts';
import { unitOfWork } from '../store/unit-of-work.ts';
import {
  encodedRecording,
  everythingIn,
  firstAppearances,
  openTestBroker,
  untilAvailable,
  upTo,
} from '../testkit/events.ts';
import { eventually } from '../testkit/eventually.ts';
import { startNats, type TestNats } from '../testkit/nats.ts';
import { ServerProcess } from '../testkit/server-process.ts';
import { openTestDatabase, startStore, type TestStore } from '../testkit/store.ts';
import { Publisher, type PublisherOptions } from './publisher.ts';
import { streamName } from './streams.ts';

let store: TestStore;
let nats: TestNats;
const cleanup: (() => Promise<void>)[] = [];

beforeAll(async () => {
  store = await startStore({ poolSize: 16 });
});
afterAll(() => store.stop());
beforeEach(async () => {
  nats = await startNats({ denyPublish: ['openos.events.forbidden.>'] });
  cleanup.push(() => nats.stop());
});
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
  // A test that failed must not hand its events to the next one.
  await store.database.db.deleteFrom('outbox').execute();
});

const db = () => store.database.db;
const drained = () => eventually('the outbox is drained', async () => (await outboxStats(db())).pending === 0, 30_000);

function aPublisher(more: Partial<PublisherOptions> = {}): Publisher {
  const broker = more.broker ?? openTestBroker(nats);
  const publisher = new Publisher({ outbox: outboxOf(db()), broker, log: silentLogger, ...more });
  publisher.start();
  cleanup.push(async () => {
    await publisher.stop();
    await broker.close();
  });
  return publisher;
}

function record(recording: Partial<Parameters<typeof encodedRecording>[0]> = {}): Promise<number> {
  return recordTransitions(db(), encodedRecording({ epoch: store.epoch, ...recording }));
}

/** A writer that moves its own aggregates forward in steps of 1 to 4; every seventh transaction rolls back. */
async function write(steps: number, onCommit: (id: string) => void): Promise<ReadonlyMap<string, number>> {
  const written = new Map<string, number>();
  const ids = upTo(3).map(() => randomUUID());
  for (let step = 0; step < steps; step += 1) {
    const id = ids[step % ids.length] ?? '';
    const lastSeq = written.get(id) ?? 0;
    const recording = encodedRecording({ epoch: store.epoch, id, lastSeq, count: 1 + (step % 4) });
    const commit = unitOfWork(db(), store.epoch, async (trx) => {
      await recordTransitions(trx, recording);
      if (step % 7 === 6) throw new Error('rolled back');
    });
    const committed = await commit.then(
      () => true,
      () => false,
    );
    if (!committed) continue;
    written.set(id, lastSeq + recording.transitions.length);
    onCommit(id);
  }
  return written;
}

function sum(written: readonly ReadonlyMap<string, number>[]): number {
  return written.flatMap((map) => [...map.values()]).reduce((total, count) => total + count, 0);
}

async function expectDelivered(written: readonly ReadonlyMap<string, number>[]): Promise<void> {
  const expected = new Map(written.flatMap((map) => [...map]).map(([id, last]) => [id, upTo(last)]));
  const received = firstAppearances(await everythingIn(nats));
  for (const [id, sequences] of expected) expect(received.get(id)).toEqual(sequences);
  expect([...received.keys()].sort()).toEqual([...expected.keys()].sort());
}

describe('an event that was recorded', () => {
  test('is in the stream as it was encoded, marked with where it is, and its aggregate is told', async () => {
    const settled = new Set<string>();
    const publisher = aPublisher({ onSettled: (ids) => ids.forEach((id) => void settled.add(id)) });
    const recording = encodedRecording({ epoch: store.epoch, count: 4 });
    const { id } = recording.aggregate;
    await recordTransitions(db(), recording);
    publisher.nudge(id);
    await eventually('its events are settled', () => settled.has(id));
    await drained();

    const received = await everythingIn(nats);
    expect(received.map(({ event }) => event)).toEqual(recording.outbox.map(({ envelope }) => JSON.parse(envelope)));
    expect(received[0]?.headers).toMatchObject({
      'ce-id': recording.outbox[0]?.eventId,
      'ce-subject': `agent/${id}`,
      traceparent: recording.outbox[0]?.traceContext,
      'Nats-Msg-Id': recording.outbox[0]?.eventId,
    });
    const history = await readHistory(db(), 'agent', id);
    expect(history.last?.event).toMatchObject({ state: 'Published', publishedAt: expect.any(Date) });
    expect(history.firstUnpublishedSeq).toBeUndefined();
    const rows = await db().selectFrom('outbox').selectAll().orderBy('aggregate_seq').execute();
    expect(rows.map((row) => [row.stream_seq, row.attempts, row.lease_owner])).toEqual(
      [1, 2, 3, 4].map((n) => [n, 0, null]),
    );
    expect(publisher.state()).toMatchObject({ inFlight: 0, unmarked: 0, published: 4, deadLettered: 0 });
  });

  test('goes out by the poll when nobody nudges', async () => {
    aPublisher();
    await record();
    await drained();
  });

  test('is given back at once by a publisher that stops', async () => {
    const broker = openTestBroker(nats);
    await untilAvailable(broker);
    nats.pause();
    const publisher = aPublisher({ broker });
    await record({ count: 3 });
    await eventually('the events are leased', async () => (await leases()).length === 3);
    const stopping = publisher.stop();
    nats.resume();
    await stopping;
    expect(await leases()).toEqual([]);
  });
});

async function leases(): Promise<readonly unknown[]> {
  return db().selectFrom('outbox').select('event_id').where('lease_owner', 'is not', null).execute();
}

describe('order', () => {
  test('holds with three publishers, 16 writers and rollbacks', async () => {
    const publishers = upTo(3).map(() => aPublisher());
    let commits = 0;
    const onCommit = (id: string) => publishers[commits++ % publishers.length]?.nudge(id);
    const written = await Promise.all(upTo(16).map(() => write(50, onCommit)));
    await drained();
    await expectDelivered(written);
    expect(publishers.every((publisher) => publisher.state().published > 0)).toBe(true);
  });

  test('holds over SIGKILL: leases expire, another publisher goes on where the first one was', async () => {
    // The stream has to be there for a process that takes it as it finds it.
    const broker = openTestBroker(nats);
    await untilAvailable(broker);
    const victim = await ServerProcess.start({
      command: process.execPath,
      args: [join(import.meta.dirname, '../testkit/publisher-process.ts'), store.postgres.url, nats.url, '1500'],
      readyText: 'publishing',
    });
    cleanup.push(() => victim.end('SIGKILL'));
    const first = await write(6, () => undefined);
    await drained();
    nats.pause();
    const second = await write(6, () => undefined);
    await eventually('the victim holds leases', async () => (await leases()).length > 0);
    await victim.end('SIGKILL');
    nats.resume();

    aPublisher({ broker });
    await drained();
    await expectDelivered([first, second]);
  });
});

describe('when the broker is away', () => {
  const attempts = () => db().selectFrom('outbox').select(['attempts', 'state']).where('attempts', '>', 0).execute();

  test('from the start, events wait and no attempt is counted', async () => {
    await nats.kill();
    const publisher = aPublisher({ attemptBackoffMs: 1, maxAttempts: 1 });
    const written = await write(20, (id) => publisher.nudge(id));
    expect(publisher.state().published).toBe(0);
    await nats.restart();
    await drained();
    expect(await attempts()).toEqual([]);
    await expectDelivered([written]);
  });

  test('in the middle of the load, three times, nothing is lost, reordered or counted', async () => {
    const publisher = aPublisher({ attemptBackoffMs: 1, maxAttempts: 1 });
    const writing = Promise.all(upTo(8).map(() => write(60, (id) => publisher.nudge(id))));
    for (const round of upTo(3)) {
      await eventually('some are published', () => publisher.state().published > round * 50);
      await nats.kill();
      await nats.restart();
    }
    const written = await writing;
    await drained();
    expect(await attempts()).toEqual([]);
    await expectDelivered(written);
  });

  test('frozen, what was in flight is sent again under the same id', async () => {
    const broker = openTestBroker(nats, { publishTimeoutMs: 300 });
    await untilAvailable(broker);
    const publisher = aPublisher({ broker, maxAttempts: 1 });
    nats.pause();
    const written = await write(8, (id) => publisher.nudge(id));
    await eventually('the broker is given up', () => !broker.state.available);
    nats.resume();
    await drained();
    expect(await attempts()).toEqual([]);
    await expectDelivered([written]);
  });
});

test('when Postgres restarts, receipts wait in memory and all goes on', async () => {
  // A pool of its own: the writers' errors are theirs.
  const database = openTestDatabase(store.postgres, 4);
  cleanup.push(() => database.close());
  const written = await Promise.all(upTo(8).map(() => write(60, () => undefined)));
  const publisher = aPublisher({ outbox: outboxOf(database.db) });
  await eventually('some are published', () => publisher.state().published > 20);
  await store.postgres.restart();
  expect(publisher.state().published).toBeLessThan(sum(written));
  await eventually('Postgres is back', () => store.database.ping().then(() => true));
  await drained();
  await expectDelivered(written);
});

describe('an event the broker refuses', () => {
  test('is parked after its attempts, blocks its own agent only, and the agent is told', async () => {
    const settled = new Set<string>();
    aPublisher({ maxAttempts: 3, attemptBackoffMs: 20, onSettled: (ids) => ids.forEach((id) => void settled.add(id)) });
    const poisoned = randomUUID();
    await record({ id: poisoned });
    await record({ id: poisoned, lastSeq: 1, tenantId: 'forbidden' });
    await record({ id: poisoned, lastSeq: 2 });
    const others = await Promise.all(upTo(4).map(() => write(10, () => undefined)));

    await eventually('the poison is parked', async () => (await outboxStats(db())).deadLettered === 1);
    await eventually('the others are out', async () => (await outboxStats(db())).pending === 1);
    await expectDelivered([...others, new Map([[poisoned, 1]])]);
    expect(settled.has(poisoned)).toBe(true);
    const rows = await db()
      .selectFrom('outbox')
      .select(['state', 'attempts', 'lease_owner'])
      .where('aggregate_id', '=', poisoned)
      .orderBy('aggregate_seq')
      .execute();
    expect(rows).toEqual([
      { state: 'Published', attempts: 0, lease_owner: null },
      { state: 'DeadLettered', attempts: 3, lease_owner: null },
      { state: 'Pending', attempts: 0, lease_owner: null },
    ]);
    const history = await readHistory(db(), 'agent', poisoned);
    expect(history.firstUnpublishedSeq).toBe(2);
    const dead = await db().selectFrom('outbox').select('last_error').where('state', '=', 'DeadLettered').execute();
    expect(dead).toEqual([{ last_error: expect.stringMatching(/^MessageRefused: /) }]);
  });

  test('for its size is refused before it leaves us', async () => {
    aPublisher({ maxAttempts: 1 });
    const data = { namespace: 'n', name: 'x', attempt: 1, phase: 'p', reason: 'r', message: 'x'.repeat(2 ** 20) };
    await record({ data });
    await eventually('it is parked', async () => (await outboxStats(db())).deadLettered === 1);
  });
});

test('a duplicate of a message that a purge took is sent again, with the same event id', async () => {
  const publisher = aPublisher();
  await record({ count: 2 });
  await drained();
  const [before] = await everythingIn(nats);
  const admin = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  await (await jetstreamManager(admin)).streams.purge(streamName);
  await admin.close();
  await db().updateTable('outbox').set({ state: 'Pending' }).execute();
  publisher.nudge();
  await drained();

  const after = await everythingIn(nats);
  expect(after.map(({ event, streamSeq }) => [event.sequence, streamSeq])).toEqual([
    [1, 3],
    [2, 4],
  ]);
  expect(after[0]?.event).toEqual(before?.event);
  expect(after[0]?.headers).toMatchObject({
    'ce-id': before?.event.event_id,
    'Nats-Msg-Id': `${before?.event.event_id}/1`,
  });
});

test('after a replay an agent’s new events wait behind the replayed ones', async () => {
  const id = randomUUID();
  const publisher = aPublisher();
  await record({ id, count: 6 });
  await drained();
  await publisher.stop();
  await nats.wipe();
  await db().updateTable('outbox').set({ state: 'Pending' }).where('aggregate_seq', 'in', [2, 3, 5]).execute();
  await record({ id, lastSeq: 6 });

  aPublisher();
  await drained();
  expect(firstAppearances(await everythingIn(nats)).get(id)).toEqual([2, 3, 5, 7]);
});

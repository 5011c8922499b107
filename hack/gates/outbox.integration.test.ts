import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventStream } from '../../operator/events/streams.ts';
import { outboxStats } from '../../operator/store/repositories/outbox.ts';
import { recordTransitions } from '../../operator/store/repositories/recording.ts';
import { unitOfWork } from '../../operator/store/unit-of-work.ts';
import { encodedRecording, everythingIn, streamSettings, upTo } from '../../operator/testkit/events.ts';
import { eventually } from '../../operator/testkit/eventually.ts';
import { startNats, type TestNats } from '../../operator/testkit/nats.ts';
import { ServerProcess } from '../../operator/testkit/server-process.ts';
import { startStore, type TestStore } from '../../operator/testkit/store.ts';
import { type CommittedEvent, checkDelivery, type DeliveredEvent } from './delivery.ts';

const publisherProcess = join(import.meta.dirname, '../../operator/testkit/publisher-process.ts');
const leaseMs = 1_000;

let store: TestStore;
let nats: TestNats;
const publishers: ServerProcess[] = [];

beforeAll(async () => {
  [store, nats] = await Promise.all([startStore({ poolSize: 12 }), startNats()]);
  await withoutDedupe();
});
afterAll(async () => {
  await Promise.all(publishers.map((each) => each.end('SIGKILL')));
  await Promise.all([store?.stop(), nats?.stop()]);
});

const db = () => store.database.db;

/** The stream as the operator makes it, but for the shortest window in which the server recognises a repeat. */
async function withoutDedupe(): Promise<void> {
  const admin = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  await (await jetstreamManager(admin)).streams.add({ ...eventStream(streamSettings), duplicate_window: 100_000_000 });
  await admin.close();
}

async function startPublisher(): Promise<ServerProcess> {
  const args = [publisherProcess, store.postgres.url, nats.url, `${leaseMs}`];
  const started = await ServerProcess.start({ command: process.execPath, args, readyText: 'publishing' });
  publishers.push(started);
  return started;
}

/** Moves agents of its own forward, 1 to 3 rows at a time; every fifth transaction is rolled back. */
async function write(steps: number): Promise<void> {
  const last = new Map<string, number>(upTo(3).map(() => [randomUUID(), 0]));
  for (const step of upTo(steps)) {
    const [id = '', lastSeq = 0] = [...last][step % last.size] ?? [];
    const recording = encodedRecording({ epoch: store.epoch, id, lastSeq, count: 1 + (step % 3) });
    const isRolledBack = step % 5 === 0;
    await unitOfWork(db(), store.epoch, async (trx) => {
      await recordTransitions(trx, recording);
      if (isRolledBack) throw new Error('rolled back');
    }).catch((error: unknown) => {
      if (!isRolledBack) throw error;
    });
    if (!isRolledBack) last.set(id, lastSeq + recording.transitions.length);
  }
}

async function committed(): Promise<readonly CommittedEvent[]> {
  const rows = await db()
    .selectFrom('outbox')
    .select(['event_id', 'aggregate_id', 'aggregate_seq', 'envelope'])
    .execute();
  return rows.map((row) => ({
    eventId: row.event_id,
    aggregateId: row.aggregate_id,
    sequence: row.aggregate_seq,
    envelope: row.envelope,
  }));
}

async function delivered(): Promise<readonly DeliveredEvent[]> {
  const received = await everythingIn(nats);
  return received.map(({ event }) => {
    return { eventId: event.event_id, aggregateId: event.agent_id, sequence: event.sequence, event };
  });
}

const drained = () => eventually('all is published', async () => (await outboxStats(db())).pending === 0, 60_000, 50);

async function leased(): Promise<readonly string[]> {
  const rows = await db().selectFrom('outbox').select('event_id').where('lease_owner', 'is not', null).execute();
  return rows.map(({ event_id }) => event_id);
}

async function areOut(ids: readonly string[]): Promise<boolean> {
  const open = await db()
    .selectFrom('outbox')
    .select('event_id')
    .where('event_id', 'in', ids)
    .where('state', '=', 'Pending')
    .execute();
  return open.length === 0;
}

/** Kills one publisher and freezes another while events are in their hands, until others have sent those. */
async function disturb(): Promise<void> {
  const [victim, frozen] = publishers.slice(-2);
  nats.pause();
  await write(10);
  const inHand = await eventually('events are in hand', async () => {
    const ids = await leased();
    return ids.length > 0 && ids;
  });
  frozen?.signal('SIGSTOP');
  await victim?.end('SIGKILL');
  nats.resume();
  await startPublisher();
  await eventually('others have sent them', () => areOut(inHand), 30_000);
  frozen?.signal('SIGCONT');
}

describe('publishers that are killed and frozen', () => {
  test('deliver everything in order, to a broker that does not recognise repeats', async () => {
    await Promise.all(upTo(3).map(startPublisher));
    const writing = Promise.all(upTo(6).map(() => write(120)));
    for (const _ of upTo(3)) await disturb();
    await writing;
    await drained();
    const { checked, findings } = checkDelivery(await committed(), await delivered());
    expect(checked).toHaveLength(1);
    expect(findings).toEqual([]);
  });
});

describe('a replay of everything', () => {
  test('is told again under the same ids, and changes nothing for who has seen it', async () => {
    const before = await delivered();
    await db().updateTable('outbox').set({ state: 'Pending' }).execute();
    await drained();
    const after = await delivered();
    const all = await committed();
    expect(after.length - before.length).toBe(all.length);
    expect(checkDelivery(all, after).findings).toEqual([]);
    expect(
      after
        .slice(before.length)
        .map(({ eventId }) => eventId)
        .sort(),
    ).toEqual(all.map(({ eventId }) => eventId).sort());
  });
});

test('an event that somebody publishes out of turn is found', async () => {
  const all = await committed();
  const { outbox, aggregate } = encodedRecording({ epoch: store.epoch, count: 2 });
  const admin = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  for (const { subject, envelope } of outbox.toReversed()) await admin.request(subject, envelope);
  await admin.close();
  const strangers = outbox.map(({ eventId, seq, envelope }) => {
    return { eventId, aggregateId: aggregate.id, sequence: seq, envelope };
  });
  const { findings } = checkDelivery([...all, ...strangers], await delivered());
  expect(findings.map(({ where }) => where)).toEqual([2, 1].map((seq) => `${aggregate.id}, sequence ${seq}`));
});

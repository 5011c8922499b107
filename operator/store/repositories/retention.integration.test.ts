import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { upTo } from '../../testkit/events.ts';
import { aRecording, aTransition, openTestDatabase, startStore, type TestStore } from '../../testkit/store.ts';
import type { OutboxState } from '../tables/outbox.ts';
import { returnToPending } from './event-repair.ts';
import { openAggregates, readHistory } from './history.ts';
import { claimHeads, greatestStreamSeq, markPublished } from './outbox.ts';
import { park, projectedHistory, projectionStoreOf } from './projection.ts';
import { recordTransitions } from './recording.ts';
import {
  type AggregateCursor,
  removeAuditRows,
  removeEndedAggregates,
  removeParked,
  removeSettledEvents,
  retentionBatch,
  retentionSweeps,
} from './retention.ts';

let store: TestStore;
const db = () => store.database.db;
const hour = 3_600_000;
const stream = '2030-01-01T00:00:00.1Z';

beforeAll(async () => {
  store = await startStore();
});
afterAll(() => store.stop());
afterEach(async () => {
  for (const table of [
    'outbox',
    'transition',
    'audit_log',
    'stream_watermark',
    'projected_event',
    'projection_parked',
  ] as const)
    await db().deleteFrom(table).execute();
});

async function record(phases: readonly string[]): Promise<string> {
  const transitions = phases.map((to) => aTransition({ to }));
  const recording = aRecording({ transitions });
  await recordTransitions(db(), recording);
  return recording.aggregate.id;
}

/** Puts the events into this state, two hours ago, as the stream's next messages. */
async function settle(id: string, state: OutboxState, ...sequences: readonly number[]): Promise<void> {
  await sql`update outbox set state = ${state}, stream_created = ${stream}, stream_seq = pos,
      published_at = now() - interval '2 hours',
      acknowledged_at = case when ${state} = 'Acknowledged' then now() - interval '2 hours' end
    where aggregate_id = ${id} and aggregate_seq = any(${[...sequences]}::integer[])`.execute(db());
}

async function left(id: string): Promise<readonly number[]> {
  const rows = await db().selectFrom('outbox').select('aggregate_seq').where('aggregate_id', '=', id).execute();
  return rows.map(({ aggregate_seq }) => aggregate_seq).sort((a, b) => a - b);
}

/** Every batch of a walk, one after the other. */
async function walk<Cursor>(batch: (cursor: Cursor | undefined) => Promise<{ removed: number; next?: Cursor }>) {
  const removed: number[] = [];
  for (let cursor: Cursor | undefined, isOver = false; !isOver; ) {
    const done = await batch(cursor);
    removed.push(done.removed);
    cursor = done.next;
    isOver = done.next === undefined;
  }
  return removed;
}

const events = (keepMs = hour) => removeSettledEvents(db(), keepMs, undefined);
const ended = (keepMs = hour) =>
  walk((cursor: AggregateCursor | undefined) => removeEndedAggregates(db(), keepMs, cursor));

describe('an event', () => {
  test('that is Expired stays twice as long: it may have been on the stream for half of it', async () => {
    const id = await record(['Created', 'Starting', 'Ready']);
    await settle(id, 'Expired', 1, 2);
    expect(await events(hour + 60_000)).toEqual({ removed: 0 });
    expect(await events(hour - 60_000)).toEqual({ removed: 2 });
  });

  test.each<OutboxState>(['Acknowledged', 'Skipped'])('that is %s goes after its time', async (state) => {
    const id = await record(['Created', 'Starting', 'Ready']);
    await settle(id, state, 1, 2);
    expect(await events(3 * hour)).toEqual({ removed: 0 });
    expect(await events()).toEqual({ removed: 2 });
    expect(await left(id)).toEqual([3]);
  });

  test.each<OutboxState>(['Pending', 'Published', 'DeadLettered'])('that is %s stays', async (state) => {
    const id = await record(['Created', 'Starting', 'Ready']);
    await settle(id, state, 1, 2);
    expect(await events(0)).toEqual({ removed: 0 });
  });

  test('that is the newest of its aggregate stays', async () => {
    const id = await record(['Created', 'Ready']);
    await settle(id, 'Acknowledged', 1, 2);
    expect(await events()).toEqual({ removed: 1 });
    expect(await left(id)).toEqual([2]);
    expect((await readHistory(db(), 'agent', id)).last?.event.publishedAt).toBeInstanceOf(Date);
  });

  test('that is gone counts as Acknowledged, and later ones are claimed as if it were there', async () => {
    const id = await record(['Created', 'Starting', 'Ready']);
    await settle(id, 'Acknowledged', 1, 2);
    await events();
    const history = await readHistory(db(), 'agent', id);
    expect(history.latestByPhase.Created?.event.state).toBe('Acknowledged');
    expect(history.firstUnpublishedSeq).toBe(3);
    const claim = { owner: 'test', leaseMs: 1_000, heads: 8, runLength: 8, lowerBound: 0 };
    expect((await claimHeads(db(), claim)).map(({ seq }) => seq)).toEqual([3]);
  });

  test('that a person replays at that moment stays, and nobody waits', async () => {
    const id = await record(['Created', 'Ready']);
    await settle(id, 'Acknowledged', 1);
    const { event_id } = await db()
      .selectFrom('outbox')
      .select('event_id')
      .where('aggregate_seq', '=', 1)
      .executeTakeFirstOrThrow();
    await db()
      .transaction()
      .execute(async (trx) => {
        await returnToPending(trx, [event_id], { actor: 'test', detail: {} });
        expect(await events()).toEqual({ removed: 0 });
      });
    expect(await events()).toEqual({ removed: 0 });
    expect(await left(id)).toEqual([1, 2]);
  });

  test('that is gone leaves its number behind: a new stream begins above it', async () => {
    const id = await record(['Created', 'Ready']);
    await settle(id, 'Acknowledged', 1);
    await sql`update outbox set stream_seq = 4711 where aggregate_seq = 1`.execute(db());
    await events();
    expect(await left(id)).toEqual([2]);
    expect(await greatestStreamSeq(db())).toBe(4_711);
  });

  test('goes in batches, whatever lies between those that go', async () => {
    const ids = await Promise.all(upTo(30).map(() => record(upTo(40).map(() => 'Ready'))));
    for (const id of ids) await settle(id, 'Acknowledged', ...upTo(40));
    const removed = await walk((cursor: Parameters<typeof removeSettledEvents>[2]) =>
      removeSettledEvents(db(), hour, cursor),
    );
    expect(removed.every((count) => count <= retentionBatch)).toBe(true);
    expect(removed.reduce((sum, count) => sum + count, 0)).toBe(30 * 39);
    for (const id of ids) expect(await left(id)).toEqual([40]);
  });
});

describe('the record of an aggregate', () => {
  const all = (id: string) => readHistory(db(), 'agent', id).then(({ latestByPhase }) => Object.keys(latestByPhase));
  const longAgo = (id: string) =>
    sql`update transition set recorded_at = now() - interval '2 hours' where aggregate_id = ${id}`.execute(db());

  test('goes as a whole when it has been Deleted for long and all of it is told', async () => {
    const id = await record(['Created', 'Ready', 'Deleted']);
    await settle(id, 'Acknowledged', 1, 2, 3);
    await project(id);
    expect(await ended()).toEqual([0, 0]);
    await longAgo(id);
    expect((await ended()).at(0)).toBe(3);
    expect([await all(id), await left(id), await projectedHistory(db(), id)]).toEqual([[], [], []]);
    expect(await greatestStreamSeq(db())).toBeGreaterThan(0);
  });

  test('stays while it is not Deleted, to its first row: by that open ones are found', async () => {
    const id = await record(['Created', 'Ready']);
    await settle(id, 'Acknowledged', 1, 2);
    await longAgo(id);
    await ended(0);
    await events(0);
    expect(await all(id)).toEqual(['Created', 'Ready']);
    const open: string[] = [];
    for await (const each of openAggregates(db(), 'agent')) open.push(each.id);
    expect(open).toEqual([id]);
  });

  test.each<OutboxState>(['Pending', 'Published', 'DeadLettered'])('stays while one event is %s', async (state) => {
    const id = await record(['Created', 'Deleted']);
    await settle(id, 'Acknowledged', 1);
    await settle(id, state, 2);
    await longAgo(id);
    await ended();
    expect(await all(id)).toEqual(['Created', 'Deleted']);
  });

  test('that is longer than a batch goes by itself, and those after it follow', async () => {
    const lengths = [3, retentionBatch + 1, 3];
    for (const length of lengths) {
      const id = await record([...upTo(length - 1).map(() => 'Ready'), 'Deleted']);
      await settle(id, 'Acknowledged', ...upTo(length));
      await longAgo(id);
    }
    const open = await record(['Ready']);
    const removed = await ended();
    expect(removed.reduce((sum, count) => sum + count, 0)).toBe(retentionBatch + 7);
    expect(Math.max(...removed)).toBe(retentionBatch + 1);
    expect(await all(open)).toEqual(['Ready']);
  });

  async function project(id: string): Promise<void> {
    const position = { streamCreated: stream, streamSeq: 1 };
    const event = {
      ...position,
      eventId: randomUUID(),
      eventType: 'agent.deleted',
      kind: 'agent',
      aggregateId: id,
      tenantId: 'acme',
      sequence: 1,
      occurredAt: new Date(),
      data: {},
    };
    await projectionStoreOf(db()).project([event], position);
  }
});

test('a batch that is not committed yet holds up neither a claim nor what the publisher marks', async () => {
  const busy = await record(['Created', 'Starting', 'Ready']);
  await settle(busy, 'Acknowledged', 1, 2);
  const over = await record(['Created', 'Deleted']);
  await settle(over, 'Acknowledged', 1, 2);
  const rest = openTestDatabase(store.postgres, 1);
  const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const removing = rest.db.transaction().execute(async (trx) => {
    const { removed } = await removeSettledEvents(trx, hour, undefined);
    await removeEndedAggregates(trx, -1_000, undefined);
    begun.resolve();
    await end.promise;
    return removed;
  });
  await begun.promise;
  try {
    // Who would have to wait fails at once.
    await db()
      .transaction()
      .execute(async (trx) => {
        await sql`set local lock_timeout = '1ms'`.execute(trx);
        const claimed = await claimHeads(trx, { owner: 'a', leaseMs: 1_000, heads: 10, runLength: 10, lowerBound: 0 });
        expect(claimed.map(({ aggregateId, seq }) => [aggregateId, seq])).toEqual([[busy, 3]]);
        const marks = claimed.map(({ eventId }) => ({ eventId, streamCreated: stream, streamSeq: 9 }));
        expect(await markPublished(trx, marks)).toHaveLength(1);
      });
  } finally {
    end.resolve();
  }
  expect(await removing).toBe(3);
  await rest.close();
  expect(await left(busy)).toEqual([3]);
  expect(await left(over)).toEqual([]);
});

test('the audit log goes back as far as configured', async () => {
  for (const _ of upTo(3)) await record(['Created']);
  await sql`update audit_log set at = now() - interval '2 hours'
    where id in (select id from audit_log order by id limit 2)`.execute(db());
  expect(await removeAuditRows(db(), 3 * hour, undefined)).toEqual({ removed: 0 });
  expect(await removeAuditRows(db(), hour, undefined)).toEqual({ removed: 2 });
  expect(await db().selectFrom('audit_log').select('id').execute()).toHaveLength(1);
});

describe('what the projection put aside', () => {
  async function putAside(count: number, ageHours = 0): Promise<void> {
    for (const n of upTo(count)) {
      const message = { streamCreated: stream, streamSeq: ageHours * 1_000 + n, subject: 's', payload: '?' };
      await park(db(), { ...message, error: 'EnvelopeInvalid: not JSON' });
    }
    await sql`update projection_parked set parked_at = now() - ${ageHours}::integer * interval '1 hour'
      where stream_seq > ${ageHours * 1_000}`.execute(db());
  }
  const remaining = async () => {
    const rows = await db().selectFrom('projection_parked').select('stream_seq').orderBy('stream_seq').execute();
    return rows.map(({ stream_seq }) => stream_seq);
  };

  test('goes after its time', async () => {
    await putAside(2);
    await putAside(3, 5);
    expect(await removeParked(db(), 6 * hour)).toEqual({ removed: 0 });
    expect(await removeParked(db(), 4 * hour)).toEqual({ removed: 3 });
    expect(await remaining()).toEqual([1, 2]);
  });

  test('is never more than a fixed number of rows, the newest', async () => {
    await putAside(2);
    await putAside(3, 5);
    expect(await removeParked(db(), 6 * hour, 3)).toEqual({ removed: 2 });
    expect(await remaining()).toEqual([1, 2, 5_003]);
  });

  test('is among what retention walks through', async () => {
    await putAside(retentionBatch + 1, 2);
    const sweeps = retentionSweeps(db(), { eventsMs: hour, transitionsMs: hour, auditMs: hour });
    const sweep = sweeps.find(({ table }) => table === 'projection_parked');
    expect(await sweep?.next()).toEqual({ removed: retentionBatch, isOver: false });
    expect(await sweep?.next()).toEqual({ removed: 1, isOver: true });
    expect(await remaining()).toEqual([]);
  });
});

test('a walk goes on where its last batch ended, and begins anew after its end', async () => {
  const [sweep] = retentionSweeps(db(), { eventsMs: hour, transitionsMs: hour, auditMs: hour });
  const ids = await Promise.all(upTo(2).map(() => record(upTo(300).map(() => 'Ready'))));
  for (const id of ids) await settle(id, 'Acknowledged', ...upTo(300));
  expect(await sweep?.next()).toEqual({ removed: 499, isOver: false });
  expect(await sweep?.next()).toEqual({ removed: 99, isOver: true });
  expect(await sweep?.next()).toEqual({ removed: 0, isOver: true });
});

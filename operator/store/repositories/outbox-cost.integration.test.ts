import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestDatabase, startStore, type TestStore } from '../../testkit/store.ts';
import type { Database } from '../db.ts';
import { markAcknowledged } from './acknowledgement.ts';
import { claimHeads, deadLetter, markAttemptFailed, markPublished, releaseLeases } from './outbox.ts';

const owner = 'publisher';
const published = 3_000;
const waiting = 100;
/** Entries of all indexes that a statement may read for each row it is about. */
const mostPerRow = 20;

let store: TestStore;
/** One connection: what it reads is counted for itself. */
let database: Database;
let endTransaction: () => Promise<unknown>;

beforeAll(async () => {
  store = await startStore();
  database = openTestDatabase(store.postgres, 1);
  endTransaction = await openTransaction();
  await record(published, 30);
  // As the publisher does: under a lease, then marked. None of the versions in between can be removed.
  await sql`update outbox set lease_owner = ${owner}`.execute(database.db);
  await sql`update outbox set state = 'Published', lease_owner = null, stream_created = 'now', stream_seq = pos`.execute(
    database.db,
  );
  // Now nothing waits: whoever believes these statistics takes the indexes of what does for empty ones.
  await sql`analyze outbox`.execute(database.db);
});
afterAll(async () => {
  await endTransaction();
  await database.close();
  await store.stop();
});

/** An unrelated one that has written; returns how to end it. */
async function openTransaction(): Promise<() => Promise<unknown>> {
  const [begun, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const transaction = store.database.db.transaction().execute(async (trx) => {
    await sql`create table unrelated (id integer)`.execute(trx);
    begun.resolve();
    await over.promise;
  });
  await begun.promise;
  return () => {
    over.resolve();
    return transaction;
  };
}

/** Events of one aggregate after another; returns the first position. */
async function record(count: number, perAggregate: number): Promise<number> {
  const { rows } = await sql<{ pos: number }>`
    insert into outbox (event_id, aggregate_kind, aggregate_id, aggregate_seq, tenant_id, event_type, schema_version,
      subject, envelope, occurred_at)
    select gen_random_uuid(), 'agent', ${randomUUID()} || n / ${perAggregate}::integer, n % ${perAggregate}::integer + 1,
      'acme', 'agent.ready', '1.0', 'openos.events.acme', repeat('x', 500), now()
    from generate_series(0, ${count}::integer - 1) n returning pos`.execute(database.db);
  return Math.min(...rows.map(({ pos }) => pos));
}

async function entriesReadBy<Answer>(statement: () => Promise<Answer>): Promise<[Answer, number]> {
  const before = await entriesRead();
  const answer = await statement();
  return [answer, (await entriesRead()) - before];
}

async function entriesRead(): Promise<number> {
  await sql`select pg_stat_force_next_flush()`.execute(database.db);
  const { rows } = await sql<{ read: number }>`
    select (sum(idx_tup_read) + (select seq_tup_read from pg_stat_user_tables where relname = 'outbox'))::float8 as read
    from pg_stat_user_indexes where relname = 'outbox'`.execute(database.db);
  return rows[0]?.read ?? Number.NaN;
}

test('no statement of the publisher reads what it has published, whatever statistics and open transactions say', async () => {
  const { db } = database;
  const lowerBound = await record(waiting, 5);
  const claim = { owner, leaseMs: 10_000, heads: 128, runLength: 16, lowerBound };
  const [claimed, byClaim] = await entriesReadBy(() => claimHeads(db, claim));
  const ids = claimed.map(({ eventId }) => eventId);
  const marks = ids.slice(2).map((eventId, index) => ({ eventId, streamCreated: 'now', streamSeq: published + index }));
  const [refused = '', parked = ''] = ids;
  const refusal = { owner, error: 'MessageRefused: too large' };

  const [, byRelease] = await entriesReadBy(() => releaseLeases(db, 'another', ids));
  const [isRefused, byRefusal] = await entriesReadBy(() =>
    markAttemptFailed(db, { ...refusal, eventId: refused }, 1_000),
  );
  const [isParked, byParking] = await entriesReadBy(() => deadLetter(db, { ...refusal, eventId: parked }));
  const [marked, byMark] = await entriesReadBy(() => markPublished(db, marks));
  const [told, byAcknowledgement] = await entriesReadBy(() =>
    markAcknowledged(
      db,
      marks.map(({ eventId }) => eventId),
    ),
  );

  expect([claimed.length, isRefused, isParked, marked.length, told.length]).toEqual([waiting, true, true, 98, 98]);
  const most = { byClaim: waiting, byRelease: waiting, byRefusal: 1, byParking: 1, byMark: 98, byAcknowledgement: 98 };
  const read = { byClaim, byRelease, byRefusal, byParking, byMark, byAcknowledgement };
  const tooMuch = Object.entries(read).filter(([by, entries]) => entries > mostPerRow * most[by as keyof typeof most]);
  expect(tooMuch).toEqual([]);
});

test('a sweep reads each version of what was published once', async () => {
  await record(waiting, 5);
  const claim = { owner, leaseMs: 10_000, heads: 128, runLength: 16, lowerBound: 0 };
  const [claimed, entries] = await entriesReadBy(() => claimHeads(database.db, claim));
  expect(claimed).toHaveLength(waiting);
  expect(entries).toBeLessThan(3 * published + mostPerRow * waiting);
});

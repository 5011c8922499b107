import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aRecording, aTransition, startStore, type TestStore } from '../../testkit/store.ts';
import { openAggregates, readHistory } from './history.ts';
import { markPublished } from './outbox.ts';
import { recordTransitions } from './recording.ts';

async function everyOne<T>(of: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const one of of) all.push(one);
  return all;
}

describe('the history of an aggregate', () => {
  let store: TestStore;
  const db = () => store.database.db;

  beforeAll(async () => {
    store = await startStore();
  });
  afterAll(() => store.stop());

  function record(id: string, lastSeq: number, phases: readonly string[]): Promise<number> {
    const transitions = phases.map((to, index) =>
      aTransition({ from: phases[index - 1] ?? null, to, detail: { index } }),
    );
    return recordTransitions(db(), aRecording({ id, lastSeq, transitions }));
  }

  test('is empty for one that was never recorded', async () => {
    expect(await readHistory(db(), 'agent', randomUUID())).toEqual({ latestByPhase: {} });
  });

  test('has the newest row of each phase, the last row and the first event that is not out', async () => {
    const id = randomUUID();
    await record(id, 0, ['Created', 'Starting', 'Ready', 'NotReady', 'Ready']);
    const history = await readHistory(db(), 'agent', id);

    expect(history.last).toMatchObject({ seq: 5, from: 'NotReady', to: 'Ready', tenantId: 'acme', attempt: 1 });
    expect(history.last?.observedAt).toEqual(new Date('2030-01-01T00:00:00.123Z'));
    expect(history.last?.event).toMatchObject({ type: 'agent.created', state: 'Pending' });
    expect(history.last?.traceContext).toMatch(/^00-/);
    expect(Object.entries(history.latestByPhase).map(([phase, row]) => [phase, row.seq])).toEqual([
      ['Created', 1],
      ['Starting', 2],
      ['NotReady', 4],
      ['Ready', 5],
    ]);
    expect(history.firstUnpublishedSeq).toBe(1);
  });

  test('shows what became of the events', async () => {
    const recording = aRecording({ transitions: [aTransition(), aTransition({ from: 'Created', to: 'Scheduled' })] });
    await recordTransitions(db(), recording);
    const mark = { eventId: recording.outbox[0]?.eventId ?? '', streamCreated: 'x', streamSeq: 1 };
    expect(await markPublished(db(), [mark])).toHaveLength(1);

    const history = await readHistory(db(), 'agent', recording.aggregate.id);
    expect(history.latestByPhase.Created?.event.state).toBe('Published');
    expect(history.latestByPhase.Created?.event.publishedAt).toBeInstanceOf(Date);
    expect(history.firstUnpublishedSeq).toBe(2);
  });

  test('an event whose outbox row retention has taken is Acknowledged', async () => {
    const recording = aRecording();
    await recordTransitions(db(), recording);
    await db().deleteFrom('outbox').where('aggregate_id', '=', recording.aggregate.id).execute();
    const { last, firstUnpublishedSeq } = await readHistory(db(), 'agent', recording.aggregate.id);
    expect(last?.event).toEqual({ id: recording.outbox[0]?.eventId, type: 'agent.created', state: 'Acknowledged' });
    expect(firstUnpublishedSeq).toBeUndefined();
  });

  test('open aggregates are those of the kind that never were Deleted', async () => {
    const [open, over, pool] = [randomUUID(), randomUUID(), randomUUID()];
    await record(open, 0, ['Created', 'Ready', 'Terminating']);
    await record(over, 0, ['Created', 'Terminating', 'Deleted']);
    await recordTransitions(db(), aRecording({ id: pool, kind: 'agentpool' }));

    const agents = await everyOne(openAggregates(db(), 'agent'));
    expect(agents.find(({ id }) => id === open)).toEqual({ id: open, tenantId: 'acme' });
    expect(agents.map(({ id }) => id)).not.toContain(over);
    expect(await everyOne(openAggregates(db(), 'agentpool'))).toEqual([{ id: pool, tenantId: 'acme' }]);
  });

  test('open aggregates come in pages, each once, however many there are', async () => {
    await sql`insert into transition (aggregate_kind, aggregate_id, seq, tenant_id, to_phase, reason, attempt, observed_at,
        leader_epoch, event_id, event_type, detail)
      select 'many', 'many-' || n, 1, 'acme', 'Created', 'r', 1, now(), 1, gen_random_uuid(), 'many.created', '{}'
      from generate_series(1, 2000) n`.execute(db());
    const ids = (await everyOne(openAggregates(db(), 'many'))).map(({ id }) => id);
    expect(new Set(ids).size).toBe(2_000);
    expect(ids).toHaveLength(2_000);
  });

  test('reading does not walk the history: a long one is answered through the index', async () => {
    const id = randomUUID();
    await sql`insert into transition (aggregate_kind, aggregate_id, seq, tenant_id, from_phase, to_phase, reason, attempt,
        observed_at, leader_epoch, event_id, event_type, detail)
      select 'agent', ${id}, n, 'acme', 'a', case when n % 2 = 0 then 'Ready' else 'NotReady' end, 'r', 1, now(), 1,
        gen_random_uuid(), 'agent.ready', '{}' from generate_series(1, 20000) n`.execute(db());
    await sql`vacuum analyze transition`.execute(db());
    const before = await rowsRead();
    expect((await readHistory(db(), 'agent', id)).last?.seq).toBe(20_000);
    expect((await rowsRead()) - before).toBeLessThan(50);
  });

  /** Rows of `transition` that any plan has fetched, after the statistics of this session are flushed. */
  async function rowsRead(): Promise<number> {
    return db()
      .connection()
      .execute(async (connection) => {
        await sql`select pg_stat_force_next_flush()`.execute(connection);
        await sql`select pg_stat_clear_snapshot()`.execute(connection);
        const { rows } = await sql<{ rows: number }>`
        select seq_tup_read + idx_tup_fetch as rows from pg_stat_user_tables where relname = 'transition'`.execute(
          connection,
        );
        return rows[0]?.rows ?? 0;
      });
  }
});

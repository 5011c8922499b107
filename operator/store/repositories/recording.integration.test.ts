import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../testkit/eventually.ts';
import { anOutboxRow, aRecording, aTransition, startStore, type TestStore } from '../../testkit/store.ts';
import { unitOfWork } from '../unit-of-work.ts';
import { readHistory } from './history.ts';
import { currentEpoch, takeOver } from './leadership.ts';
import { recordTransitions } from './recording.ts';

describe('recordTransitions', () => {
  let store: TestStore;
  const db = () => store.database.db;

  beforeAll(async () => {
    store = await startStore();
  });
  afterAll(() => store.stop());

  async function counts(): Promise<unknown> {
    const { rows } = await sql`select (select count(*) from transition) as transition,
      (select count(*) from outbox) as outbox, (select count(*) from audit_log) as audit_log`.execute(db());
    return rows[0];
  }

  test('writes transitions, events and one audit row', async () => {
    const recording = aRecording({
      transitions: [
        aTransition({ detail: { name: 'writer', note: 'quote " and \\ and ünïcode' } }),
        aTransition({ from: 'Created', to: 'Scheduled', reason: 'PodScheduled' }),
      ],
      audit: { actor: 'kubectl', action: 'agent.transition', detail: { to: 'Scheduled' } },
    });
    expect(await recordTransitions(db(), recording)).toBe(2);

    const { id } = recording.aggregate;
    const outbox = await db().selectFrom('outbox').selectAll().where('aggregate_id', '=', id).orderBy('pos').execute();
    expect(outbox).toMatchObject([
      { aggregate_seq: 1, state: 'Pending', attempts: 0, envelope: '{"sequence":1}', tenant_id: 'acme' },
      { aggregate_seq: 2, state: 'Pending', event_id: recording.outbox[1]?.eventId },
    ]);
    const audit = await db().selectFrom('audit_log').selectAll().where('aggregate_id', '=', id).execute();
    expect(audit).toMatchObject([{ actor: 'kubectl', leader_epoch: 1, detail: { to: 'Scheduled' } }]);
    const history = await readHistory(db(), 'agent', id);
    expect(history.latestByPhase.Created?.detail).toEqual({ name: 'writer', note: 'quote " and \\ and ünïcode' });
  });

  test('the envelope comes back byte for byte', async () => {
    const envelope = '{"b":1,"a":"\\u0000 \\ud83d\\ude00 ✓ \\" \\n","z":1.10}';
    const recording = aRecording({ outbox: [anOutboxRow(1, { envelope })] });
    await recordTransitions(db(), recording);
    const { rows } = await sql`select envelope from outbox where aggregate_id = ${recording.aggregate.id}`.execute(
      db(),
    );
    expect(rows).toEqual([{ envelope }]);
  });

  test('a sequence that someone else took is a conflict and writes nothing', async () => {
    const id = randomUUID();
    await recordTransitions(db(), aRecording({ id }));
    const before = await counts();
    await expect(recordTransitions(db(), aRecording({ id }))).rejects.toMatchObject({
      code: 'SequenceConflict',
      kind: 'conflict',
    });
    expect(await counts()).toEqual(before);
  });

  test('a gap is a conflict: the row before must be there', async () => {
    const before = await counts();
    await expect(recordTransitions(db(), aRecording({ lastSeq: 7 }))).rejects.toMatchObject({
      code: 'SequenceConflict',
    });
    expect(await counts()).toEqual(before);
  });

  test('of twenty racers for one sequence one wins', async () => {
    const id = randomUUID();
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => recordTransitions(db(), aRecording({ id }))),
    );
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'SequenceConflict' });
    }
  });

  test('an event without its transition, or out of order, is refused before it is sent', async () => {
    const invalid = { code: 'RecordingInvalid', kind: 'terminal' };
    await expect(recordTransitions(db(), aRecording({ outbox: [] }))).rejects.toMatchObject(invalid);
    await expect(recordTransitions(db(), aRecording({ outbox: [anOutboxRow(2)] }))).rejects.toMatchObject(invalid);
    await expect(recordTransitions(db(), aRecording({ transitions: [], outbox: [] }))).rejects.toMatchObject(invalid);
  });

  test('inside a transaction that fails nothing stays', async () => {
    const before = await counts();
    const failure = unitOfWork(db(), store.epoch, async (trx) => {
      await recordTransitions(trx, aRecording({ epoch: store.epoch }));
      throw new Error('later step failed');
    });
    await expect(failure).rejects.toThrow();
    expect(await counts()).toEqual(before);
  });
});

describe('the fence', () => {
  let store: TestStore;
  const db = () => store.database.db;

  beforeAll(async () => {
    store = await startStore();
  });
  afterAll(() => store.stop());

  test('an epoch that is over writes nothing', async () => {
    const old = store.epoch;
    const epoch = await takeOver(db(), 'next');
    expect(await currentEpoch(db())).toEqual({ epoch, holder: 'next' });

    const notLeader = { code: 'NotLeader', kind: 'conflict' };
    const recording = aRecording({ epoch: old });
    await expect(recordTransitions(db(), recording)).rejects.toMatchObject(notLeader);
    await expect(unitOfWork(db(), old, async () => 'ran')).rejects.toMatchObject(notLeader);
    expect(await readHistory(db(), 'agent', recording.aggregate.id)).toEqual({ latestByPhase: {} });
    await recordTransitions(db(), aRecording({ epoch }));
  });

  test('a take-over waits for the open transaction of the old leader, and what it wrote counts', async () => {
    const { epoch } = await currentEpoch(db());
    const order: string[] = [];
    const recording = aRecording({ epoch });
    let taken: Promise<number> | undefined;
    await unitOfWork(db(), epoch, async (trx) => {
      taken = takeOver(db(), 'usurper').then((next) => {
        order.push('taken over');
        return next;
      });
      await eventually('the take-over waits', async () => {
        const { rows } = await sql`select 1 from pg_stat_activity where wait_event_type = 'Lock'`.execute(db());
        return rows.length === 1;
      });
      await recordTransitions(trx, recording);
      order.push('recorded');
    });
    expect(await taken).toBe(epoch + 1);
    expect(order).toEqual(['recorded', 'taken over']);
    expect((await readHistory(db(), 'agent', recording.aggregate.id)).last?.seq).toBe(1);
  });

  test('recordings that race with a take-over are either before it or refused', async () => {
    const { epoch } = await currentEpoch(db());
    const writers = Array.from({ length: 200 }, () =>
      recordTransitions(db(), aRecording({ epoch })).then(
        () => 'written',
        (error: { code: string }) => error.code,
      ),
    );
    await takeOver(db(), 'racer');
    const outcomes = await Promise.all(writers);
    const written = outcomes.filter((outcome) => outcome === 'written').length;
    expect(outcomes.filter((outcome) => outcome === 'NotLeader')).toHaveLength(200 - written);
    const { rows } = await sql<{
      count: number;
    }>`select count(*) from transition where leader_epoch = ${epoch}`.execute(db());
    expect(rows[0]?.count).toBeGreaterThanOrEqual(written);
    await expect(recordTransitions(db(), aRecording({ epoch }))).rejects.toMatchObject({ code: 'NotLeader' });
  });
});

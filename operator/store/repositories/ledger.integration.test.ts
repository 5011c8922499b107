import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { placeRules } from '../../resources/places.ts';
import { aRecording, aTransition, startStore, type TestStore } from '../../testkit/store.ts';
import { unitOfWork } from '../unit-of-work.ts';
import { bookPlaces, ledgerUse, markExceeded, placesUsed, recountPlaces } from './ledger.ts';
import { type PlaceChange, recordTransitions } from './recording.ts';

let store: TestStore;
let tenantId: string;
const db = () => store.database.db;
const rules = Object.values(placeRules);
const unchanged = { added: 0, removed: 0, corrected: 0 };

beforeAll(async () => {
  store = await startStore({ poolSize: 40 });
});
afterAll(() => store.stop());
beforeEach(() => {
  tenantId = randomUUID();
});

const taking = (limit?: number, over: Partial<Extract<PlaceChange, { kind: 'take' }>> = {}): PlaceChange => ({
  kind: 'take',
  resource: 'agents',
  tenantId,
  namespace: tenantId,
  ...(limit === undefined ? {} : { limit }),
  ...over,
});
const used = () => placesUsed(db(), tenantId, 'agents');
const recount = () => unitOfWork(db(), store.epoch, (trx) => recountPlaces(trx, rules, 'test'));

/** Records one move of an agent of the tenant, from the phase it is in after `lastSeq` rows. */
const move = (id: string, lastSeq: number, from: string | null, to: string, place?: PlaceChange) =>
  recordTransitions(
    db(),
    aRecording({
      id,
      lastSeq,
      tenantId,
      transitions: [aTransition({ from, to, detail: { namespace: tenantId } })],
      ...(place === undefined ? {} : { place }),
    }),
  );

async function rowsOf(id: string): Promise<number> {
  const { rows } = await sql<{ rows: number }>`
    select (select count(*) from transition where aggregate_id = ${id}) + (select count(*) from outbox where aggregate_id = ${id})
      + (select count(*) from audit_log where aggregate_id = ${id}) + (select count(*) from tenant_place where aggregate_id = ${id})
      as rows`.execute(db());
  return rows[0]?.rows ?? -1;
}

describe('a place of the quota', () => {
  test('is taken with the row that needs it, kept with others, and released', async () => {
    const id = randomUUID();
    await move(id, 0, null, 'Created', taking(1));
    expect(await used()).toBe(1);
    await move(id, 1, 'Created', 'Scheduled');
    expect(await used()).toBe(1);
    await move(id, 2, 'Scheduled', 'Suspended', { kind: 'release' });
    expect(await used()).toBe(0);
    await move(id, 3, 'Suspended', 'Created', taking(1));
    expect(await used()).toBe(1);
  });

  test('that is not there leaves nothing behind, and is a conflict: somebody may free one any moment', async () => {
    await move(randomUUID(), 0, null, 'Created', taking(1));
    const id = randomUUID();
    const refused = { code: 'QuotaReached', kind: 'conflict' };
    await expect(move(id, 0, null, 'Created', taking(1))).rejects.toMatchObject(refused);
    expect([await rowsOf(id), await used()]).toEqual([0, 1]);
    await expect(move(randomUUID(), 0, null, 'Created', taking(0, { resource: 'pools' }))).rejects.toMatchObject(
      refused,
    );
  });

  test('is counted for a tenant without bounds, too', async () => {
    await move(randomUUID(), 0, null, 'Created', taking());
    expect(await used()).toBe(1);
  });

  test('is not taken by a recording that is refused for another reason', async () => {
    const id = randomUUID();
    await expect(move(id, 5, 'Suspended', 'Created', taking())).rejects.toMatchObject({ code: 'SequenceConflict' });
    const late = aRecording({ id, tenantId, epoch: store.epoch + 1, place: taking() });
    await expect(recordTransitions(db(), late)).rejects.toMatchObject({ code: 'NotLeader' });
    expect([await rowsOf(id), await used()]).toEqual([0, 0]);
  });

  test('taken twice or released twice counts once', async () => {
    const id = randomUUID();
    await move(id, 0, null, 'Created', taking(1));
    await move(id, 1, 'Created', 'Scheduled', taking(1));
    expect(await used()).toBe(1);
    await move(id, 2, 'Scheduled', 'Failed', { kind: 'release' });
    await move(id, 3, 'Failed', 'Completed', { kind: 'release' });
    expect(await used()).toBe(0);
  });

  test('the last few go to as many as there are, whoever comes over however many connections', async () => {
    const limit = 7;
    const ids = Array.from({ length: 200 }, () => randomUUID());
    const results = await Promise.allSettled(ids.map((id) => move(id, 0, null, 'Created', taking(limit))));
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
    expect(failures).toEqual(Array(200 - limit).fill('QuotaReached'));
    const rows = await Promise.all(ids.map(rowsOf));
    expect(rows.filter((count) => count > 0)).toHaveLength(limit);
    expect([await used(), await recount()]).toEqual([limit, unchanged]);
  });

  test('is never above the bound nor lost while many take and release at once', async () => {
    const limit = 5;
    const seen: number[] = [];
    const worker = async () => {
      for (let turn = 0; turn < 15; turn += 1) {
        const id = randomUUID();
        const taken = await move(id, 0, null, 'Created', taking(limit)).catch(() => undefined);
        seen.push(await used());
        if (taken !== undefined) await move(id, 1, 'Created', 'Deleted', { kind: 'release' });
      }
    };
    await Promise.all(Array.from({ length: 30 }, worker));
    expect(Math.max(...seen)).toBe(limit);
    expect([await used(), await recount()]).toEqual([0, unchanged]);
  });
});

describe('a recount', () => {
  test('finds what the rows say, whatever happened to the ledger', async () => {
    const holders = [randomUUID(), randomUUID(), randomUUID()];
    for (const id of holders) await move(id, 0, null, 'Created', taking());
    const [ready = '', leaving = '', resting = ''] = holders;
    await move(ready, 1, 'Created', 'Ready');
    await move(leaving, 1, 'Created', 'Terminating');
    await move(resting, 1, 'Created', 'Failed', { kind: 'release' });
    await move(resting, 2, 'Failed', 'Terminating');
    expect([await used(), await recount()]).toEqual([2, unchanged]);

    await sql`delete from tenant_place where aggregate_id = ${ready}`.execute(db());
    await sql`insert into tenant_place (aggregate_id, resource, tenant_id, namespace)
      values (${resting}, 'agents', ${tenantId}, ${tenantId}), ('nobody', 'agents', ${tenantId}, 'x')`.execute(db());
    await sql`update tenant_usage set used = 41 where tenant_id = ${tenantId}`.execute(db());
    expect(await recount()).toEqual({ added: 1, removed: 2, corrected: 1 });
    expect([await used(), await recount()]).toEqual([2, unchanged]);
  });

  test('fills the ledger of a database that had none', async () => {
    await move(randomUUID(), 0, null, 'Created');
    expect(await used()).toBe(0);
    expect(await recount()).toEqual({ added: 1, removed: 0, corrected: 1 });
    expect(await used()).toBe(1);
  });
});

describe('a namespace that changes hands', () => {
  const book = (tenant: string, namespaces: readonly string[]) =>
    unitOfWork(db(), store.epoch, (trx) => bookPlaces(trx, tenant, namespaces, 'test'));

  test('takes its places along, over the quota if need be, and one that is let go takes them off', async () => {
    const heir = randomUUID();
    const [moved, let_go] = [`${tenantId}-a`, `${tenantId}-b`];
    for (const namespace of [moved, moved, let_go]) {
      await move(randomUUID(), 0, null, 'Created', taking(undefined, { namespace }));
    }
    await move(randomUUID(), 0, null, 'Created', taking(undefined, { namespace: `${tenantId}-c`, tenantId: heir }));
    expect(await ledgerUse(db(), heir, [moved])).toMatchObject({ agents: 1, astray: 3 });
    await book(heir, [moved, `${tenantId}-c`]);
    await book(tenantId, []);
    expect(await ledgerUse(db(), heir, [moved, `${tenantId}-c`])).toMatchObject({ agents: 3, astray: 0 });
    expect(await ledgerUse(db(), tenantId, [])).toMatchObject({ agents: 0, astray: 0 });
    expect((await recount()).corrected).toBe(0);
    const full = taking(3, { tenantId: heir, namespace: moved });
    await expect(move(randomUUID(), 0, null, 'Created', full)).rejects.toMatchObject({ code: 'QuotaReached' });
  });

  test('while its agents start and stop counts every place once', async () => {
    const heir = randomUUID();
    const starts = Array.from({ length: 60 }, async (_, index) => {
      const id = randomUUID();
      await move(id, 0, null, 'Created', taking());
      if (index % 2 === 0) await move(id, 1, 'Created', 'Deleted', { kind: 'release' });
    });
    const books = Array.from({ length: 20 }, (_, index) => book(index % 2 === 0 ? heir : tenantId, [tenantId]));
    await Promise.all([...starts, ...books]);
    await book(heir, [tenantId]);
    expect([await placesUsed(db(), heir, 'agents'), await used()]).toEqual([30, 0]);
    expect((await recount()).corrected).toBe(0);
  });
});

test('what was told as exceeded is remembered by resource', async () => {
  await markExceeded(db(), tenantId, 'pools', true, 'test');
  expect((await ledgerUse(db(), tenantId, [])).exceeded).toEqual(['pools']);
  await markExceeded(db(), tenantId, 'pools', false, 'test');
  expect((await ledgerUse(db(), tenantId, [])).exceeded).toEqual([]);
});

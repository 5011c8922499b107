import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import { eventually } from '../testkit/eventually.ts';
import { aRecording, startStore, type TestStore } from '../testkit/store.ts';
import { TcpProxy } from '../testkit/tcp-proxy.ts';
import { type Database, openDatabase } from './db.ts';
import { takeOver } from './repositories/leadership.ts';
import { placesUsed } from './repositories/ledger.ts';
import { recordTransitions } from './repositories/recording.ts';
import { unitOfWork } from './unit-of-work.ts';

/**
 * A leader that is frozen with a write in hand: what it sent is held up on the way and arrives when another one leads.
 * It must find out that it is late, wherever in the write that happened.
 */

/** Shorter than the leader's, so that a take-over need not wait long for the server to end its open transaction. */
const statementTimeoutMs = 1_000;

let store: TestStore;
let way: TcpProxy;
let frozen: Database;
let epoch: number;
let id: string;

beforeAll(async () => {
  store = await startStore();
});
afterAll(() => store?.stop());
beforeEach(async () => {
  way = await new TcpProxy(store.postgres.port).start();
  const url = store.postgres.url.replace(`:${store.postgres.port}/`, `:${way.port}/`);
  const options = { poolSize: 1, applicationName: 'frozen', allowUnsafe: true, log: silentLogger };
  frozen = openDatabase({ url, statementTimeoutMs, ...options });
  await frozen.ping();
  epoch = await takeOver(store.database.db, 'leader');
  id = randomUUID();
});
afterEach(async () => {
  way.release();
  await frozen.close();
  await way.close();
});

const codeOf = (write: Promise<unknown>) =>
  write.then(
    () => 'written',
    (error: { readonly code?: string }) => error.code,
  );

/** All that a write may leave behind. */
async function traces() {
  const { db } = store.database;
  const of = async (table: 'transition' | 'outbox' | 'audit_log') =>
    (await db.selectFrom(table).where('aggregate_id', '=', id).select('tenant_id').execute()).length;
  const [transitions, events, audit] = await Promise.all([of('transition'), of('outbox'), of('audit_log')]);
  return { transitions, events, audit, places: await placesUsed(db, id, 'agents') };
}
const nothing = { transitions: 0, events: 0, audit: 0, places: 0 };

const recording = () => aRecording({ id, epoch });
const taking = () => ({ ...recording(), place: { ...place, tenantId: id } });
const place = { kind: 'take', resource: 'agents', namespace: 'ns' } as const;

type Write = (atTheEnd?: () => void) => Promise<unknown>;

/** In which a leader writes: statements of their own, and transactions, whose end is told before it is sent. */
const statements: Readonly<Record<string, Write>> = {
  'a recording': () => recordTransitions(frozen.db, recording()),
  'a recording that takes a place': () => recordTransitions(frozen.db, taking()),
};
const transactions: Readonly<Record<string, Write>> = {
  'a transaction around a recording': (atTheEnd) =>
    unitOfWork(frozen.db, epoch, async (trx) => {
      await recordTransitions(trx, taking());
      atTheEnd?.();
    }),
  'a transaction that keeps the ledger': (atTheEnd) =>
    unitOfWork(frozen.db, epoch, async (trx) => {
      await trx.insertInto('tenant_usage').values({ tenant_id: id, resource: 'agents', used: 1 }).execute();
      atTheEnd?.();
    }),
};

describe('a leader frozen with a write in hand', () => {
  const all = Object.entries({ ...statements, ...transactions });

  test.each(all)('%s that arrives after the take-over is refused', async (_title, write) => {
    way.hold('toServer');
    const code = codeOf(write());
    await eventually('it is under way', () => way.held('toServer') !== '');
    expect(await takeOver(store.database.db, 'heir')).toBe(epoch + 1);
    way.release();
    expect(await code).toBe('NotLeader');
    expect(await traces()).toEqual(nothing);
  });

  test.each(
    Object.entries(transactions),
  )('%s whose COMMIT arrives after the take-over leaves nothing', async (_title, write) => {
    const code = codeOf(write(() => way.hold('toServer')));
    await eventually('its COMMIT is under way', () => /commit/i.test(way.held('toServer')));
    // It is open and could still be committed: whoever takes over waits until the server has ended it.
    expect(await takeOver(store.database.db, 'heir')).toBe(epoch + 1);
    way.release();
    expect(await code).toBe('DatabaseUnavailable');
    expect(await traces()).toEqual(nothing);
  });

  test.each(
    Object.entries(statements),
  )('%s whose answer is held up was before the take-over; the next is refused', async (_title, write) => {
    way.hold('toClient');
    const code = codeOf(write());
    await eventually('it is written', async () => (await traces()).transitions === 1);
    const written = await traces();
    expect(await takeOver(store.database.db, 'heir')).toBe(epoch + 1);
    way.release();
    expect(await code).toBe('written');
    expect(await codeOf(recordTransitions(frozen.db, aRecording({ epoch })))).toBe('NotLeader');
    expect(await traces()).toEqual(written);
  });
});

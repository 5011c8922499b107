import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { notLeader } from './kernel/errors.ts';
import { silentLogger } from './kernel/logger.ts';
import { LeaderEpoch } from './leader-epoch.ts';
import { recordTenant } from './recorder.ts';
import { currentEpoch, takeOver } from './store/repositories/leadership.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { eventually } from './testkit/eventually.ts';
import { startStore, type TestStore } from './testkit/store.ts';

/** Who leads takes the record back from a statement that was asleep, without getting into its own way. */

let store: TestStore;
let epoch: LeaderEpoch;
beforeAll(async () => {
  store = await startStore();
});
beforeEach(() => {
  epoch = new LeaderEpoch(store.database, 'leader', { holds: () => true }, silentLogger);
});
afterAll(() => store.stop());

const inForce = async () => (await currentEpoch(store.database.db)).epoch;

test('many writes that are refused together take it back once', async () => {
  const held = await epoch.current();
  const refused = Array.from({ length: 20 }, () => Promise.withResolvers<void>());
  const writes = refused.map(({ promise }) =>
    epoch.during(async () => {
      await promise;
      throw notLeader();
    }),
  );
  const ends = Promise.allSettled(writes);
  for (const { resolve } of refused) {
    const nextWrite = epoch.during(async (at) => at);
    resolve();
    await nextWrite;
  }
  expect((await ends).every(({ status }) => status === 'rejected')).toBe(true);
  expect(await epoch.during(async (at) => at)).toBe(held + 1);
  expect(await inForce()).toBe(held + 1);
});

test('also when it is a Tenant that is recorded', async () => {
  const ports = {
    database: store.database,
    epoch,
    metrics: createMetrics({ version: 'test', phases: [] }),
    recorded: () => undefined,
    log: silentLogger,
    freed: () => undefined,
  };
  const observed = { name: 'acme', tenant: undefined, traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
  const write = () => recordTenant(ports, observed, [{ kind: 'within', resource: 'agents' }]);
  await write();
  await takeOver(store.database.db, 'sleeper');
  await expect(write()).rejects.toMatchObject({ code: 'NotLeader' });
  await write();
  expect((await currentEpoch(store.database.db)).holder).toBe('leader');
});

test('says so whenever the record has become ours, whoever asked for it', async () => {
  let times = 0;
  const stop = epoch.onTaken(() => {
    times += 1;
  });
  await Promise.all([epoch.current(), epoch.current()]);
  expect(times).toBe(1);
  epoch.renew();
  await epoch.during(async () => undefined);
  expect(times).toBe(2);
  stop();
  epoch.renew();
  await epoch.current();
  expect(times).toBe(2);
});

test('is taken by one at a time: what changed meanwhile is taken once more after, and nobody is refused', async () => {
  const gates = [Promise.withResolvers<boolean>(), Promise.withResolvers<boolean>()];
  const compared: number[] = [];
  const slow = new LeaderEpoch(store.database, 'leader', { holds: () => true }, silentLogger, (held) => {
    compared.push(held);
    return gates[compared.length - 1]?.promise ?? Promise.resolve(true);
  });
  const first = slow.current();
  await eventually('it is under way', () => compared.length === 1);
  expect(slow.isTaking).toBe(true);
  const later = [1, 2, 3].map(() => {
    slow.renew();
    return slow.current();
  });
  gates[0]?.resolve(true);
  const held = await first;
  expect([held, slow.isCompared]).toEqual([compared[0], false]);
  await eventually('the next is under way', () => compared.length === 2);
  gates[1]?.resolve(true);
  expect(await Promise.all(later)).toEqual([held + 1, held + 1, held + 1]);
  expect(compared).toEqual([held, held + 1]);
  expect([slow.isCompared, slow.isTaking]).toEqual([true, false]);
  expect(await inForce()).toBe(held + 1);
});

test('who stopped leading while a take-over waited for another takes nothing', async () => {
  const gate = Promise.withResolvers<boolean>();
  let holds = true;
  let compared = 0;
  const slow = new LeaderEpoch(store.database, 'leader', { holds: () => holds }, silentLogger, () => {
    compared += 1;
    return gate.promise;
  });
  const first = slow.current();
  await eventually('it is under way', () => compared === 1);
  slow.renew();
  const next = slow.current();
  const refused = expect(next).rejects.toMatchObject({ code: 'NotLeader' });
  holds = false;
  gate.resolve(true);
  const held = await first;
  await refused;
  expect(await inForce()).toBe(held);
  expect(slow.isTaking).toBe(false);
});

import { beforeEach, expect, test } from 'vitest';
import { silentLogger } from './kernel/logger.ts';
import { OpenRows } from './open-rows.ts';
import type { OpenAggregate } from './store/repositories/history.ts';
import { FakeClock } from './testkit/clock.ts';

/** Rows without an object are queued, by one look at a time. */

let clock: FakeClock;
let queued: string[];
let pages: (() => Promise<readonly OpenAggregate[]>)[];
let looks: number;
let isListed: boolean;
let openRows: OpenRows<'agent' | 'tenant'>;

const open = (id: string): OpenAggregate => ({ id, tenantId: `tenant-of-${id}` });

beforeEach(() => {
  clock = new FakeClock();
  queued = [];
  pages = [];
  looks = 0;
  isListed = true;
  const queue = { add: (key: string) => queued.push(key) };
  const cache = { get: (uid: string) => (uid === 'stands' ? {} : undefined) };
  openRows = new OpenRows({
    kinds: {
      agent: { queue, cache, keyOf: ({ id }) => id },
      tenant: { queue, cache, keyOf: ({ tenantId }) => tenantId },
    },
    read: async function* (kind) {
      if (kind === 'tenant') return yield open('gone');
      looks += 1;
      for (const page of pages) yield* await page();
    },
    isListed: () => isListed,
    clock,
    log: silentLogger,
  });
});

test('what has rows and no object is queued under the key of its controller', async () => {
  pages = [async () => [open('a'), open('stands')], async () => [open('b')]];
  openRows.ask();
  await clock.advance(0);
  expect(queued).toEqual(['a', 'b', 'tenant-of-gone']);
});

test('nothing seems to be without an object before all objects are listed', async () => {
  pages = [async () => [open('a')]];
  isListed = false;
  openRows.ask();
  await clock.advance(0);
  expect(queued).toEqual([]);
  isListed = true;
  await clock.advance(60_000);
  expect(queued).toEqual(['a', 'tenant-of-gone']);
});

test('a look that takes longer than the time between two is not overtaken; asked meanwhile, one more follows', async () => {
  const slow = Promise.withResolvers<readonly OpenAggregate[]>();
  pages = [() => slow.promise];
  openRows.ask();
  await clock.advance(300_000);
  expect(looks).toBe(1);
  for (let times = 0; times < 5; times += 1) openRows.ask();
  await clock.advance(0);
  expect(looks).toBe(1);
  slow.resolve([]);
  await clock.advance(0);
  expect(looks).toBe(2);
  await clock.advance(60_000);
  expect(looks).toBe(3);
});

test('a database that is away is asked again', async () => {
  pages = [() => Promise.reject(new Error('away'))];
  openRows.ask();
  await clock.advance(0);
  expect(queued).toEqual([]);
  pages = [async () => [open('a')]];
  await clock.advance(60_000);
  expect(queued).toEqual(['a', 'tenant-of-gone']);
});

test('stopped it queues nothing more and waits for nothing', async () => {
  const slow = Promise.withResolvers<readonly OpenAggregate[]>();
  pages = [() => slow.promise];
  openRows.ask();
  await clock.advance(0);
  openRows.stop();
  slow.resolve([open('a')]);
  await clock.advance(600_000);
  expect(queued).toEqual([]);
  expect(clock.pending).toBe(0);
});

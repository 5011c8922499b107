import { beforeEach, expect, test } from 'vitest';
import { silentLogger } from './kernel/logger.ts';
import { RecordTaking } from './record-taking.ts';
import { FakeClock } from './testkit/clock.ts';

/** The record is taken when we lead, and again when it may be another: here from the outside, without a database. */

let clock: FakeClock;
let did: string[];
let epoch: { isCompared: boolean; isTaking: boolean; renew(): void; current(): Promise<number> };
let broker: { state: { available: boolean }; onState(listener: () => void): () => void };
let database: { available: boolean; onRestart(listener: () => void): () => void };
let brokerChanged: () => void;
let restarted: () => void;
let taking: RecordTaking;

beforeEach(() => {
  clock = new FakeClock();
  did = [];
  const take = async () => did.push('take');
  epoch = { isCompared: true, isTaking: false, renew: () => did.push('renew'), current: take };
  broker = {
    state: { available: true },
    onState: (listener) => {
      brokerChanged = listener;
      return () => did.push('deaf to the broker');
    },
  };
  database = {
    available: true,
    onRestart: (listener) => {
      restarted = listener;
      return () => did.push('deaf to the database');
    },
  };
  const onRestarted = () => did.push('told');
  taking = new RecordTaking({ epoch, broker, database, clock, log: silentLogger, onRestarted });
});

test('once it is ours and compared nothing more is done', async () => {
  taking.start();
  await clock.advance(60_000);
  expect(did).toEqual(['take']);
});

test('another start of the database takes it again, and then tells of it', async () => {
  taking.start();
  restarted();
  await clock.advance(0);
  expect(did).toEqual(['take', 'renew', 'take', 'told']);
});

test('a database that is away while it is taken again is no reason to stay silent, nor to break', async () => {
  taking.start();
  epoch.current = () => Promise.reject(new Error('away'));
  restarted();
  await clock.advance(0);
  expect(did).toEqual(['take', 'renew', 'told']);
});

test('what could not be compared is taken again every second, in a cluster where nobody asks', async () => {
  epoch.isCompared = false;
  taking.start();
  await clock.advance(2_000);
  expect(did).toEqual(['take', 'renew', 'take', 'renew', 'take']);
});

test('a broker that came back is a reason at once', async () => {
  epoch.isCompared = false;
  broker.state.available = false;
  taking.start();
  await clock.advance(10_000);
  expect(did).toEqual(['take']);
  broker.state.available = true;
  brokerChanged();
  expect(did).toEqual(['take', 'renew', 'take']);
});

test.each([
  ['while one is under way', () => (epoch.isTaking = true)],
  ['without a broker', () => (broker.state.available = false)],
  ['without a database', () => (database.available = false)],
])('not %s', async (_when, arrange) => {
  epoch.isCompared = false;
  arrange();
  taking.start();
  brokerChanged();
  await clock.advance(10_000);
  expect(did).toEqual(['take']);
});

test('stopped it neither listens nor waits, and tells of nothing', async () => {
  epoch.isCompared = false;
  taking.start();
  restarted();
  taking.stop();
  await clock.advance(60_000);
  expect(did).toEqual(['take', 'renew', 'take', 'deaf to the database', 'deaf to the broker']);
  expect(clock.pending).toBe(0);
});

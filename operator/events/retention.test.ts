import { expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import type { RetentionSweep } from '../store/repositories/retention.ts';
import { FakeClock } from '../testkit/clock.ts';
import { Retention } from './retention.ts';

/** Runs over a table that takes so many batches, each of them this long. */
function aRun({ batches = 3, batchMs = 0, failing = 0 }) {
  const clock = new FakeClock();
  const startedAt: number[] = [];
  const rows: string[] = [];
  let left = batches;
  let failures = failing;
  const sweep: RetentionSweep = {
    table: 'outbox',
    next: async () => {
      startedAt.push(clock.now());
      await new Promise<void>((resolve) => clock.setTimer(batchMs, resolve));
      if (failures > 0) {
        failures -= 1;
        throw new Error('the database is away');
      }
      left -= 1;
      return { removed: 500, isOver: left === 0 };
    },
  };
  const metrics = { rowsRemoved: (table: string, count: number) => void rows.push(`${table} ${count}`) };
  const retention = new Retention({ sweeps: [sweep], log: silentLogger, clock, metrics, everyMs: 600_000 });
  retention.start();
  return { clock, retention, rows, waits: () => startedAt.slice(1).map((at, index) => at - (startedAt[index] ?? 0)) };
}

test('what was removed is counted, until nothing is left', async () => {
  const { clock, retention, rows } = aRun({ batches: 3 });
  await clock.advance(1_000);
  expect(rows).toEqual(['outbox 500', 'outbox 500', 'outbox 500']);
  await retention.stop();
});

test('the slower its statements are, the longer it rests: a fifth of the time at most is work', async () => {
  const quick = aRun({ batchMs: 2 });
  await quick.clock.advance(2_000);
  expect(quick.waits()).toEqual([102, 102]);
  const slow = aRun({ batchMs: 200 });
  await slow.clock.advance(20_000);
  expect(slow.waits()).toEqual([1_000, 1_000]);
  await Promise.all([quick.retention.stop(), slow.retention.stop()]);
});

test('a database that is away is asked again after half a minute, and the walk goes on', async () => {
  const { clock, retention, rows, waits } = aRun({ batches: 2, failing: 2 });
  await clock.advance(61_000);
  expect(rows).toHaveLength(2);
  expect(waits()).toEqual([30_000, 30_000, 100]);
  await retention.stop();
});

test('told to stop it ends after the batch in hand', async () => {
  const { clock, retention, rows } = aRun({ batches: 100, batchMs: 50 });
  await clock.advance(10);
  const stopping = retention.stop();
  await clock.advance(1_000);
  await stopping;
  expect(rows).toHaveLength(1);
  expect(clock.pending).toBe(0);
});

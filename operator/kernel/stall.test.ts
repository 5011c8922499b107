import { expect, test } from 'vitest';
import { FakeClock } from '../testkit/clock.ts';
import { StallDetector } from './stall.ts';

test('fires after silence only, counted from the last move', () => {
  const clock = new FakeClock();
  const detector = new StallDetector(clock, 1_000, new AbortController().signal);
  clock.advanceSync(900);
  detector.moved();
  clock.advanceSync(999);
  expect(detector.fired).toBe(false);
  clock.advanceSync(1);
  expect(detector.fired).toBe(true);
  expect(detector.signal.aborted).toBe(true);
  expect(clock.pending).toBe(0);
});

test('an outer abort is passed on and is no stall', () => {
  const outer = new AbortController();
  const detector = new StallDetector(new FakeClock(), 1_000, outer.signal);
  outer.abort();
  expect(detector.signal.aborted).toBe(true);
  expect(detector.fired).toBe(false);
});

test('a stopped one waits for nothing', () => {
  const clock = new FakeClock();
  const outer = new AbortController();
  const detector = new StallDetector(clock, 1_000, outer.signal);
  detector.stop();
  outer.abort();
  expect(clock.pending).toBe(0);
  expect(detector.signal.aborted).toBe(false);
});

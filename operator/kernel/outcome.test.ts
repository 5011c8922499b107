import { expect, test } from 'vitest';
import { requeue, requeueAt, settled, soonest } from './outcome.ts';

test('the soonest of several outcomes counts, and settled asks for nothing', () => {
  expect(soonest(settled, requeue(500), requeue(20), settled)).toEqual({ kind: 'requeue', afterMs: 20 });
  expect(soonest(settled, settled)).toEqual(settled);
  expect(soonest()).toEqual(settled);
});

test('a deadline that has passed is now', () => {
  expect(requeueAt(1_000, 5_000)).toEqual(requeue(0));
  expect(requeueAt(5_000, 1_000)).toEqual(requeue(4_000));
});

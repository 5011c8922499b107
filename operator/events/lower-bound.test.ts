import { describe, expect, test } from 'vitest';
import { LowerBound } from './lower-bound.ts';

describe('the lower bound of a claim', () => {
  test('follows what was claimed more than two seconds ago', () => {
    const bound = new LowerBound(2_000, 60_000);
    expect(bound.next(0)).toBe(0);
    bound.claimed(100, 0);
    expect(bound.next(1_000)).toBe(0);
    bound.claimed(200, 1_000);
    bound.claimed(300, 2_500);
    expect(bound.next(2_600)).toBe(100);
    bound.claimed(400, 5_000);
    expect(bound.next(5_100)).toBe(300);
  });

  test('never goes back when an old row comes late', () => {
    const bound = new LowerBound(2_000, 60_000);
    bound.next(0);
    bound.claimed(300, 0);
    bound.claimed(5, 2_500);
    bound.claimed(6, 5_000);
    expect(bound.next(5_100)).toBe(300);
  });

  test('is 0 once per sweep interval, and after a reset', () => {
    const bound = new LowerBound(0, 3_000);
    for (const [position, now] of [
      [10, 0],
      [20, 1],
      [30, 2],
    ] as const)
      bound.claimed(position, now);
    expect([0, 10, 2_000, 3_000, 3_010].map((now) => bound.next(now))).toEqual([0, 20, 20, 0, 20]);
    bound.reset();
    expect([3_020, 3_030].map((now) => bound.next(now))).toEqual([0, 20]);
  });
});

import { beforeEach, describe, expect, test } from 'vitest';
import { LowerBound } from './lower-bound.ts';

describe('the lower bound of a claim', () => {
  test('follows what was claimed more than a second ago', () => {
    const bound = new LowerBound(1_000, 60_000);
    expect(bound.next(0)).toBe(0);
    bound.claimed(100, 0);
    bound.claimed(200, 500);
    bound.claimed(300, 1_250);
    expect(bound.next(1_300)).toBe(100);
    bound.claimed(400, 2_500);
    expect(bound.next(2_600)).toBe(300);
  });

  test('never goes back when an old row comes late', () => {
    const bound = new LowerBound(1_000, 60_000);
    bound.next(0);
    bound.claimed(300, 0);
    bound.claimed(5, 1_250);
    bound.claimed(6, 2_500);
    expect(bound.next(2_600)).toBe(300);
  });

  describe('once it is at 20', () => {
    let bound: LowerBound;

    beforeEach(() => {
      bound = new LowerBound(0, 3_000);
      for (const [position, now] of [
        [10, 0],
        [20, 1],
        [30, 2],
      ] as const)
        bound.claimed(position, now);
    });

    const at = (...times: readonly number[]) => times.map((now) => bound.next(now));

    test('is 0 once per sweep interval', () => {
      expect(at(0, 10, 2_000, 3_000, 3_010)).toEqual([0, 20, 20, 0, 20]);
    });

    test('sweeps less often when a sweep takes long, and as often as before when it does not any more', () => {
      expect(at(0)).toEqual([0]);
      bound.swept(100);
      expect(at(3_000, 4_999, 5_000)).toEqual([20, 20, 0]);
      bound.swept(60_000);
      expect(at(34_999, 35_000)).toEqual([20, 0]);
      bound.swept(1);
      expect(at(37_999, 38_000)).toEqual([20, 0]);
    });

    test('looks once from where something came back', () => {
      expect(at(0)).toEqual([0]);
      bound.lookFrom(7);
      bound.lookFrom(9);
      expect(at(10, 20)).toEqual([7, 20]);
      bound.lookFrom(25);
      expect(at(30)).toEqual([20]);
    });

    test('takes a look from 0 for a sweep', () => {
      expect(at(0)).toEqual([0]);
      bound.lookFrom(0);
      expect(at(1_000, 3_000, 4_000)).toEqual([0, 20, 0]);
    });
  });
});

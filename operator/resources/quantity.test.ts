import { describe, expect, test } from 'vitest';
import { quantityOf, quantityText } from './quantity.ts';

describe('a quantity', () => {
  test.each([
    ['4', 4],
    [4, 4],
    ['0.5', 0.5],
    ['.5', 0.5],
    ['500m', 0.5],
    ['250u', 0.00025],
    ['1e3', 1000],
    ['2E3', 2000],
    ['12E', 12e18],
    ['8k', 8000],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['64Mi', 64 * 2 ** 20],
    ['-1', -1],
  ])('%s is read', (text, amount) => {
    expect(quantityOf(text)).toBeCloseTo(amount, 9);
  });

  test.each(['', 'many', '4 Gi', '3X', 'Gi'])('"%s" is none', (text) => {
    expect(quantityOf(text)).toBeNaN();
  });

  test.each([
    [0, '0'],
    [12, '12'],
    [0.25, '250m'],
    [0.1 + 0.2, '300m'],
    [2 ** 30, '1Gi'],
    [192 * 2 ** 20, '192Mi'],
  ])('%s is written as %s', (amount, text) => {
    expect(quantityText(amount)).toBe(text);
  });
});

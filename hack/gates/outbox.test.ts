import { describe, expect, test } from 'vitest';
import { checkPromises, type Promised, promises } from './outbox.ts';

const file = 'operator/events/a.integration.test.ts';
const promised: readonly Promised[] = [{ promise: 'order', tests: [`${file} > order holds`] }];

function blocked(status: string, name = 'order holds over SIGKILL'): boolean {
  return checkPromises(promised, { tests: [{ file, name, status }] }).findings.length > 0;
}

test('a promise whose tests have passed stands', () => {
  expect(blocked('passed')).toBe(false);
});

describe('Gate 3 is blocked by a promise', () => {
  test.each(['failed', 'skipped', 'pending', 'todo'])('whose test is %s', (status) => {
    expect(blocked(status)).toBe(true);
  });

  test('whose test was renamed or did not run', () => {
    expect(blocked('passed', 'it is quick')).toBe(true);
    expect(checkPromises(promised, { tests: [] }).findings).toHaveLength(1);
  });
});

test('what is promised names its tests, each once', () => {
  expect(promises.length).toBeGreaterThan(5);
  for (const { tests } of promises) expect(new Set(tests).size).toBe(tests.length);
});

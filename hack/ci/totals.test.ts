import { describe, expect, test } from 'vitest';
import { closingLine, table, total } from './totals.ts';

function file(status: string, ...tests: readonly string[]) {
  return { name: 'a.test.ts', status, message: 'no such module\nin line 1', assertionResults: tests.map(outcome) };
}

function outcome(status: string) {
  return { status, fullName: 'it works', failureMessages: status === 'failed' ? ['expected 1\n    at line 2'] : [] };
}

function report(...testResults: readonly object[]) {
  return { success: true, numTotalTests: 99, testResults };
}

describe('a level', () => {
  test('that passed counts its tests', () => {
    const result = total('unit', { report: report(file('passed', 'passed', 'passed')), exitCode: 0 });
    expect(result).toEqual({ level: 'unit', passed: 2, failed: 0, failures: [], problems: [], said: [] });
  });

  test('counts its failed tests once, not once more for the exit code', () => {
    const result = total('unit', { report: report(file('failed', 'passed', 'failed')), exitCode: 1 });
    expect(result).toMatchObject({ passed: 1, failed: 1, problems: [] });
    expect(result.failures).toEqual(['it works: expected 1']);
  });

  test.each(['skipped', 'pending', 'todo', 'disabled', 'something-new'])('has failed when a test was %s', (status) => {
    const result = total('unit', { report: report(file('passed', 'passed', status)), exitCode: 0 });
    expect(result).toMatchObject({ passed: 1, failed: 1 });
  });

  test('has failed when a file could not be loaded, or a hook of it threw', () => {
    expect(total('unit', { report: report(file('passed', 'passed'), file('failed')), exitCode: 1 })).toMatchObject({
      passed: 1,
      failed: 1,
    });
    const { failed, problems } = total('unit', { report: report(file('failed', 'passed')), exitCode: 1 });
    expect(failed).toBe(1);
    expect(problems).toEqual(['a.test.ts failed as a whole: no such module']);
  });

  test.each([
    ['its report is missing', { report: undefined, exitCode: 0 }],
    ['its report is no report', { report: { hello: 'world' }, exitCode: 0 }],
    ['nothing ran', { report: report(), exitCode: 0 }],
    ['its runner did not come to its end', { report: report(file('passed', 'passed')), exitCode: undefined }],
    ['its runner crashed after the last test', { report: report(file('passed', 'passed')), exitCode: 139 }],
  ])('has failed when %s', (_, evidence) => {
    const result = total('integration', evidence);
    expect(result.failed).toBe(1);
    expect(result.problems).toHaveLength(1);
  });
});

describe('the reason of a level', () => {
  const passed = report(file('passed', 'passed'));

  test('whose runner failed beside its tests is what the runner complained about', () => {
    const result = total('integration', {
      report: passed,
      exitCode: 1,
      stderr: 'noise\nerror during close Error: it broke\n',
    });
    expect(result).toMatchObject({ failed: 1, said: ['error during close Error: it broke'] });
  });

  test('is told also beside tests that failed, and counts for nothing', () => {
    const stderr = '⎯⎯ Unhandled Errors ⎯⎯\n⎯⎯ Unhandled Rejection ⎯⎯\nError: it broke\n';
    const result = total('integration', { report: report(file('failed', 'failed')), exitCode: 1, stderr });
    expect(result).toMatchObject({ failed: 1, problems: [], said: ['Unhandled Rejection', 'Error: it broke'] });
  });

  test('is the last it wrote when it complained about nothing', () => {
    const result = total('e2e', { report: undefined, exitCode: 1, stderr: 'up.sh: no cluster came up\n' });
    expect(result.said).toEqual(['up.sh: no cluster came up']);
  });

  test('is not looked for where nothing failed, or tests have said it', () => {
    const stderr = 'a warning\n';
    expect(total('unit', { report: passed, exitCode: 0, stderr }).said).toEqual([]);
    expect(total('unit', { report: report(file('failed', 'failed')), exitCode: 1, stderr }).said).toEqual([]);
  });
});

test('the closing line holds the sums, and nothing else', () => {
  const levels = [
    { level: 'unit', passed: 3, failed: 0, failures: [], problems: [], said: [] },
    {
      level: 'e2e',
      passed: 4,
      failed: 2,
      failures: ['it works: expected 1'],
      problems: ['there is no report'],
      said: ['it broke'],
    },
  ];
  expect(closingLine(levels)).toBe('7 passed, 2 failed');
  expect(table(levels).split('\n')).toHaveLength(5);
});

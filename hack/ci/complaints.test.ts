import { describe, expect, test } from 'vitest';
import { complaints, lastWords } from './complaints.ts';

const rejection = `stderr | operator/a.test.ts > noise
a warning

\u001b[31m⎯⎯⎯⎯⎯⎯\u001b[39m\u001b[1m\u001b[41m Unhandled Errors \u001b[49m\u001b[22m\u001b[31m⎯⎯⎯⎯⎯⎯\u001b[39m

Vitest caught 1 unhandled error during the test run.
This might cause false positive tests. Resolve unhandled errors to make sure your tests are not affected.

⎯⎯⎯⎯ Unhandled Rejection ⎯⎯⎯⎯⎯
\u001b[31m\u001b[1mTypeError\u001b[22m: it broke\u001b[39m
\u001b[90m \u001b[2m❯\u001b[22m Client._end node_modules/pg/lib/client.js:\u001b[2m85:17\u001b[22m\u001b[39m
\u001b[36m \u001b[2m❯\u001b[22m Timeout._onTimeout operator/helper.ts:\u001b[2m1:90\u001b[22m\u001b[39m
      1| export function fails(): Promise<void> {
       |                                      ^
 ❯ listOnTimeout node:internal/timers:685:17

This error originated in "operator/a.test.ts" test file. It doesn't mean the error was thrown inside the file itself, but while it was running.
The last test to run before this error was "leaves a promise". This means either:
- the error was thrown while Vitest was running this test, or
- the error was thrown after the test completed, and this was the most recent test at that point.
⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯

`;

const workerExit = `⎯⎯⎯⎯⎯⎯ Unhandled Errors ⎯⎯⎯⎯⎯⎯

⎯⎯⎯⎯⎯⎯ Unhandled Error ⎯⎯⎯⎯⎯⎯⎯
Error: [vitest-pool]: Worker forks emitted error.
 ❯ EventEmitter.onTaskError node_modules/vitest/dist/chunks/index.js:6031:21

Caused by: Error: Worker exited unexpectedly with signal SIGKILL while running test file operator/a.test.ts
 ❯ ChildProcess.emit node:events:526:24
`;

const close = `error during close Error: Command failed: light.sh down
light.sh: processes 1 2 3 do not end

    at genericNodeError (node:internal/errors:986:15)
    at teardown (/src/operator/testkit/global-setup.ts:30:7)
    at startVitest (file:///src/node_modules/vitest/dist/chunks/cli-api.js:14763:4)
`;

describe('what a runner complains about', () => {
  test('is an error nobody caught, with its frames, its file and its test', () => {
    expect(complaints(rejection)).toEqual([
      'Unhandled Rejection',
      'TypeError: it broke',
      ' ❯ Client._end node_modules/pg/lib/client.js:85:17',
      ' ❯ Timeout._onTimeout operator/helper.ts:1:90',
      'This error originated in "operator/a.test.ts"',
      'The last test to run before this error was "leaves a promise"',
    ]);
  });

  test('is a worker that ended by itself', () => {
    expect(complaints(workerExit).at(-1)).toContain('signal SIGKILL while running test file operator/a.test.ts');
  });

  test('is an error while closing, also after others', () => {
    const said = complaints(rejection + close);
    expect(said).toContain('TypeError: it broke');
    expect(said.slice(-3)).toEqual([
      'error during close Error: Command failed: light.sh down',
      'light.sh: processes 1 2 3 do not end',
      '    at teardown (/src/operator/testkit/global-setup.ts:30:7)',
    ]);
  });

  test('is not a failed test, nor a warning', () => {
    expect(complaints('⎯⎯⎯ Failed Tests 1 ⎯⎯⎯\n FAIL  a.test.ts > exits\nError: it broke\n')).toEqual([]);
    expect(complaints('a warning\n')).toEqual([]);
  });

  test('is bounded', () => {
    const long = `error during close Error: it broke\n${`${'x'.repeat(5_000)}\n`.repeat(100)}`;
    const said = complaints(long);
    expect(said.length).toBeLessThan(30);
    expect(Math.max(...said.map((line) => line.length))).toBeLessThanOrEqual(200);
    expect(said.at(-1)).toBe('… and 77 lines more');
  });
});

test('the last words are the end of what was written', () => {
  const said = lastWords(Array.from({ length: 50 }, (_, i) => `line ${i}`).join('\n'));
  expect(said).toHaveLength(12);
  expect(said.at(-1)).toBe('line 49');
});

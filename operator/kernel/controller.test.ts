import { describe, expect, test } from 'vitest';
import { FakeClock, settle } from '../testkit/clock.ts';
import { Controller, errorPolicy, type PassResult, type Reconcile } from './controller.ts';
import { ApiError, aborted, classify, OperatorError } from './errors.ts';
import type { Logger } from './logger.ts';
import { requeue, settled } from './outcome.ts';
import { WorkQueue } from './queue.ts';

type Line = { readonly level: string; readonly fields: Readonly<Record<string, unknown>> };

function recordingLogger(lines: Line[], bound: Readonly<Record<string, unknown>> = {}): Logger {
  const at = (level: string) => (fields: Readonly<Record<string, unknown>>) =>
    void lines.push({ level, fields: { ...bound, ...fields } });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => recordingLogger(lines, { ...bound, ...fields }),
  };
}

function aController(reconcile: Reconcile, workers = 1) {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock, random: () => 1 });
  const lines: Line[] = [];
  const results: PassResult[] = [];
  const hooks = { onPass: (result: PassResult) => void results.push(result) };
  const log = recordingLogger(lines);
  const controller = new Controller({ name: 'agent', workers, reconcile, queue, log, clock, hooks });
  return { clock, queue, lines, results, controller };
}

describe('a pass', () => {
  test('that is settled is over; one that wants another look gets it then', async () => {
    const outcomes = [requeue(2_000), settled];
    const { clock, controller, queue, results } = aController(async () => outcomes.shift() ?? settled);
    controller.start();
    queue.add('k');
    await settle();
    expect(results).toEqual(['requeue']);
    await clock.advance(1_999);
    expect(results).toEqual(['requeue']);
    await clock.advance(1);
    expect(results).toEqual(['requeue', 'settled']);
    expect(clock.pending).toBe(0);
    await controller.stop(0);
  });

  test('that throws is tried again with growing delays until it goes well', async () => {
    let failures = 3;
    const { clock, controller, queue, results } = aController(async () => {
      failures -= 1;
      if (failures >= 0) throw new OperatorError('ApiServerUnavailable', 'retryable', 'm');
      return settled;
    });
    controller.start();
    queue.add('k');
    await settle();
    const waits: (number | undefined)[] = [];
    for (let i = 0; i < 3; i += 1) {
      waits.push(clock.nextInMs);
      await clock.advance(clock.nextInMs ?? 0);
    }
    expect(waits).toEqual([5, 10, 20]);
    expect(results).toEqual(['retryable', 'retryable', 'retryable', 'settled']);
    expect(queue.failures('k')).toBe(0);
    await controller.stop(0);
  });

  test('that fails for good waits for a change, not for time', async () => {
    let valid = false;
    const { clock, controller, queue, results } = aController(async () => {
      if (!valid) throw new ApiError('POST /pods', 422, {});
      return settled;
    });
    controller.start();
    queue.add('k');
    await settle();
    expect(clock.pending).toBe(0);
    valid = true;
    queue.add('k');
    await settle();
    expect(results).toEqual(['terminal', 'settled']);
    await controller.stop(0);
  });

  test('of one key never runs twice at once, passes of several keys do', async () => {
    const running = new Map<string, number>();
    let most = 0;
    const { controller, queue, results } = aController(async (key) => {
      running.set(key, (running.get(key) ?? 0) + 1);
      expect(running.get(key)).toBe(1);
      most = Math.max(most, [...running.values()].filter((n) => n > 0).length);
      queue.add(key === 'a' && results.length < 4 ? 'a' : 'b');
      await settle();
      running.set(key, 0);
      return settled;
    }, 3);
    controller.start();
    for (const key of ['a', 'b', 'c']) queue.add(key);
    for (let i = 0; i < 20; i += 1) await settle();
    expect(most).toBe(3);
    await controller.stop(0);
  });

  test('logs what happened with controller, key and reconcile id; a panic with its stack', async () => {
    const bug = new TypeError('undefined is not a function');
    const { controller, lines, queue, results } = aController(async (_key, { annotate }) => {
      annotate({ trace_id: 'a' });
      throw bug;
    });
    controller.start();
    queue.add('k');
    await settle();
    expect(results).toEqual(['panic']);
    expect(lines).toEqual([
      {
        level: 'error',
        fields: {
          controller: 'agent',
          key: 'k',
          reconcileId: expect.any(String),
          trace_id: 'a',
          code: 'Panic',
          retryInMs: 5,
          err: bug,
        },
      },
    ]);
    await controller.stop(0);
  });
});

describe('the error policy', () => {
  test.each([
    ['a conflict is retried soon and quietly', new ApiError('PATCH /x', 409, {}), 'conflict', 'debug', { maxMs: 500 }],
    ['403 is retried: others can cure it', new ApiError('POST /x', 403, {}), 'retryable', 'warn', {}],
    [
      '429 waits as long as it is asked to',
      new ApiError('GET /x', 429, {}, 3_000),
      'retryable',
      'warn',
      { minMs: 3_000 },
    ],
    ['422 waits for a change', new ApiError('POST /x', 422, {}), 'terminal', 'warn', undefined],
    ['a bug is retried and loud', classify(new TypeError('x')), 'panic', 'error', {}],
    ['giving up is no failure', aborted(), 'aborted', 'debug', {}],
  ])('%s', (_, error, result, level, bounds) => {
    const retry = bounds === undefined ? { retry: 'never' } : { retry: 'backoff', bounds };
    expect(errorPolicy(error)).toEqual({ result, level, ...retry });
  });
});

describe('stopping', () => {
  test('lets the pass in hand finish and starts no other', async () => {
    const pass = Promise.withResolvers<void>();
    const started: string[] = [];
    const { clock, controller, queue, results } = aController(async (key, { signal }) => {
      started.push(key);
      await pass.promise;
      expect(signal.aborted).toBe(false);
      return settled;
    });
    controller.start();
    for (const key of ['a', 'b']) queue.add(key);
    await settle();
    const stopped = controller.stop(5_000);
    await clock.advance(4_999);
    pass.resolve();
    await stopped;
    expect(started).toEqual(['a']);
    expect(results).toEqual(['settled']);
    expect(clock.pending).toBe(0);
  });

  test.each([
    ['after the deadline', 5_000],
    ['at once when leadership is lost', 0],
  ])('aborts the pass in hand %s', async (_, deadlineMs) => {
    const { clock, controller, queue, results } = aController(async (_key, { signal }) => {
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      return settled;
    });
    controller.start();
    queue.add('a');
    await settle();
    const stopped = controller.stop(deadlineMs);
    await clock.advance(deadlineMs);
    await stopped;
    expect(results).toEqual(['aborted']);
  });
});

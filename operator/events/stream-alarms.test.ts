import { describe, expect, test } from 'vitest';
import { parseEventsRequest } from './commands/request.ts';
import { backlog, fillAlarm, isLagging, replayCommand, type StreamFill, streamFill } from './stream-alarms.ts';

const now = Date.parse('2030-01-02T00:00:00Z');
const limits = { maxAgeMs: 100_000, maxBytes: 1_000 };
const stream = { created: 'a', firstSeq: 101, lastSeq: 200, deleted: new Set<number>(), bytes: 0, firstAt: now };
const consumer = { ackFloor: 100, pending: 100, unacknowledged: 0 };

describe('the backlog of a consumer', () => {
  test.each([
    ['that has had nothing of a young and small stream', {}, {}, 0],
    ['that has had nothing of a stream half as old as it gets', { firstAt: now - 50_000 }, {}, 0.5],
    ['that has had nothing of a stream as large as it gets', { bytes: 1_000 }, {}, 1],
    ['that has had half of it', { bytes: 1_000 }, { ackFloor: 150, pending: 50 }, 0.5],
    ['that has had all', { bytes: 1_000 }, { ackFloor: 200, pending: 0 }, 0],
    ['that is kept by its filter from the rest', { bytes: 1_000 }, { ackFloor: 120, pending: 0 }, 0],
    ['that has one left, the oldest', { bytes: 1_000 }, { pending: 0, unacknowledged: 1 }, 1],
    ['that was overtaken', { bytes: 1_000 }, { ackFloor: 7 }, 1],
    ['of an empty stream', { firstSeq: 201, firstAt: undefined }, {}, 0],
  ])('%s', (_, ofStream, ofConsumer, share) => {
    const { firstAt, ...rest } = { ...stream, ...ofStream };
    const now_ = { ...rest, ...(firstAt !== undefined && { firstAt }) };
    expect(backlog({ ...consumer, ...ofConsumer }, now_, limits, now)).toBeCloseTo(share, 5);
  });

  test('is lagging from 70 % on, until it is half', () => {
    expect([0.69, 0.7].map((share) => isLagging(share, false))).toEqual([false, true]);
    expect([0.49, 0.5].map((share) => isLagging(share, true))).toEqual([false, true]);
  });
});

test.each<[number, StreamFill, StreamFill]>([
  [0.69, 'roomy', 'roomy'],
  [0.7, 'roomy', 'filling'],
  [0.66, 'filling', 'filling'],
  [0.64, 'filling', 'roomy'],
  [0.9, 'filling', 'full'],
  [0.95, 'roomy', 'full'],
  [0.8, 'full', 'full'],
  [0.69, 'full', 'filling'],
])('a stream of %d of its room that was %s is %s', (share, before, fill) => {
  expect(streamFill(share * 1_000, 1_000, before)).toBe(fill);
});

test('a stream with room is no alarm', () => {
  const reasons = (['roomy', 'filling', 'full'] as const).map((fill) => fillAlarm(fill, 1, 2)?.reason);
  expect(reasons).toEqual([undefined, 'StreamFilling', 'StreamFull']);
});

test.each([
  [true, false],
  [false, true],
])('the command that is offered says which events, and is understood (they left: %s)', (haveLeft, again) => {
  const command = replayCommand({ consumer: 'billing', count: 3, firstSeq: 12, lastSeq: 40, haveLeft });
  const [, , ...args] = command.split(' ');
  expect(parseEventsRequest(args, now)).toMatchObject({ command: 'replay', again, filter: { streamSeq: [12, 40] } });
});

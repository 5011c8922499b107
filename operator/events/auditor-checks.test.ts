import { describe, expect, test } from 'vitest';
import type { EventInStream, StreamAccount } from '../store/repositories/audit.ts';
import { discontinuity, fate, type Sample } from './auditor-checks.ts';
import type { StreamState } from './stream-observer.ts';

const now = Date.parse('2030-01-01T12:00:00Z');
const minute = 60_000;
const limits = { maxAgeMs: 60 * minute, maxBytes: 1_000 };
const account: StreamAccount = { greatestSeq: 10, firstSeq: 1, strays: false };
const stream: StreamState = {
  created: 'a',
  firstSeq: 1,
  lastSeq: 10,
  deleted: new Set(),
  bytes: 100,
  firstAt: now - 10 * minute,
};

function anEvent(over: Partial<EventInStream> = {}): EventInStream {
  const publishedAt = new Date(now - 10 * minute);
  return { eventId: 'e5', state: 'Published', streamCreated: 'a', streamSeq: 5, publishedAt, ...over };
}

type Case = {
  readonly account?: Partial<StreamAccount>;
  readonly stream?: Partial<StreamState>;
  readonly samples?: readonly Sample[];
  readonly accounted?: ReadonlySet<number>;
};

function look({ samples = [], accounted = new Set(), ...over }: Case) {
  const found = discontinuity(
    { ...account, ...over.account },
    { ...stream, ...over.stream },
    samples,
    accounted,
    limits,
    now,
  );
  return found && [found.reason, found.isDeep ? 'deep' : 'shallow'].join(' ');
}

const sample = (found: string | undefined, over: Partial<EventInStream> = {}) => [{ event: anEvent(over), found }];

describe('something is wrong when', () => {
  test.each<[string, string, Case]>([
    ['nobody has compared this stream with the record', 'StreamReplaced shallow', { account: { firstSeq: 0 } }],
    ['events are recorded as being in another stream', 'StreamReplaced shallow', { account: { strays: true } }],
    ['it ends below what was recorded', 'StreamRolledBack deep', { stream: { lastSeq: 9 } }],
    ['somebody has halted it', 'SequenceReused deep', { account: { haltedReason: 'seen twice' } }],
    ['a message is gone from its midst', 'MessagesDeleted shallow', { stream: { deleted: new Set([5]) } }],
    [
      'one more message is gone than was known',
      'MessagesDeleted shallow',
      { stream: { deleted: new Set([5, 6]) }, accounted: new Set([5]) },
    ],
    ['its beginning went before its time', 'MessagesPurged shallow', { stream: { firstSeq: 4 } }],
    ['it was emptied', 'MessagesPurged shallow', { stream: { firstSeq: 11, bytes: 0 } }],
    ['a number holds another event', 'MessageMissing deep', { samples: sample('e99') }],
    ['a number holds nothing', 'MessageMissing deep', { samples: sample(undefined) }],
    [
      'an event is recorded where a gap was known before',
      'MessageMissing shallow',
      { samples: sample(undefined), stream: { deleted: new Set([5]) }, accounted: new Set([5]) },
    ],
  ])('%s: %s', (_, expected, found) => {
    expect(look(found)).toBe(expected);
  });
});

describe('nothing is wrong when', () => {
  test.each<[string, Case]>([
    ['everything is there', { samples: sample('e5') }],
    ['it has more than is recorded yet', { stream: { lastSeq: 12 } }],
    ['a known gap is still there', { stream: { deleted: new Set([5]) }, accounted: new Set([5]) }],
    ['what went was as old as it may get', { stream: { firstSeq: 4, firstAt: now - 56 * minute } }],
    ['what went had to make room', { stream: { firstSeq: 4, bytes: 950 } }],
    [
      'a sample has just aged out',
      {
        stream: { firstSeq: 6, firstAt: now - 58 * minute },
        samples: sample(undefined, { publishedAt: new Date(now - 60 * minute) }),
      },
    ],
  ])('%s', (_, found) => {
    expect(look(found)).toBeUndefined();
  });
});

describe('an event', () => {
  const young = anEvent();
  const old = anEvent({ publishedAt: new Date(now - 56 * minute) });
  test.each<[string, string, EventInStream, Partial<StreamState>]>([
    ['stands', 'within the stream', young, {}],
    ['is lost', 'in another stream', anEvent({ streamCreated: 'b' }), {}],
    ['is lost', 'that was deleted', young, { deleted: new Set([5]) }],
    ['is lost', 'before the first', young, { firstSeq: 6 }],
    ['is lost', 'beyond the last', young, { lastSeq: 4 }],
    ['is expired', 'before the first, and old', old, { firstSeq: 6 }],
    ['is expired', 'in another stream, and old', { ...old, streamCreated: 'b' }, {}],
    ['is expired', 'that had to make room', young, { firstSeq: 6, bytes: 950 }],
  ])('%s: %s', (expected, _, event, over) => {
    expect(`is ${fate(event, { ...stream, ...over }, limits, now)}`.replace('is stands', 'stands')).toBe(expected);
  });

  test('that was looked up is where it was found, whatever the stream says of its numbers', () => {
    expect(fate(young, stream, limits, now, 'e5')).toBe('stands');
    expect(fate(young, { ...stream, lastSeq: 4 }, limits, now, 'e5')).toBe('stands');
    expect(fate(young, stream, limits, now, 'e99')).toBe('lost');
    expect(fate(young, stream, limits, now, undefined)).toBe('lost');
    expect(fate(anEvent({ streamCreated: 'b' }), stream, limits, now, 'e5')).toBe('lost');
  });

  test('of a stream that keeps for less than the slack is lost in the first half of its life', () => {
    const short = { ...limits, maxAgeMs: 2 * minute };
    const at = (age: number) => anEvent({ streamCreated: 'b', publishedAt: new Date(now - age) });
    expect(fate(at(30_000), stream, short, now)).toBe('lost');
    expect(fate(at(90_000), stream, short, now)).toBe('expired');
  });
});

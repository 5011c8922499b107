import { describe, expect, test } from 'vitest';
import {
  acknowledged,
  type ConsumerView,
  type GivenUp,
  matches,
  type PublishedEvent,
  type StreamView,
  startOf,
} from './acknowledged.ts';

const event: PublishedEvent = { subject: 'openos.events.acme.agent.ready.v1', streamCreated: 'a', streamSeq: 7 };
const stream: StreamView = { created: 'a', firstSeq: 1, lastSeq: 10, deleted: new Set() };

function aConsumer(over: Partial<ConsumerView> = {}): ConsumerView {
  return {
    name: 'billing',
    filters: [],
    startSeq: 1,
    acksExplicitly: true,
    ackFloor: 7,
    pending: 3,
    unacknowledged: 0,
    ...over,
  };
}

type Case = {
  readonly consumer?: Partial<ConsumerView>;
  readonly stream?: Partial<StreamView>;
  readonly givenUp?: readonly GivenUp[];
};

function judge({ consumer = {}, stream: seen = {}, givenUp = [] }: Case): boolean {
  return acknowledged(event, [{ name: 'billing', view: aConsumer(consumer) }], { ...stream, ...seen }, givenUp);
}

describe('an event is acknowledged when', () => {
  test.each<[string, Case]>([
    ['the ack floor is at it', {}],
    ['the ack floor is past it', { consumer: { ackFloor: 9 } }],
    ['nothing is pending and nothing unacknowledged', { consumer: { ackFloor: 3, pending: 0 } }],
    ['it is the last of the stream', { consumer: { ackFloor: 3, pending: 0 }, stream: { lastSeq: 7 } }],
    ['it is the first of the stream', { stream: { firstSeq: 7 } }],
    ['its subject is one of the filters', { consumer: { filters: ['x.>', 'openos.events.*.agent.>'] } }],
    ['the consumer begins with it', { consumer: { startSeq: 7 } }],
    ['another message was given up', { givenUp: [{ consumer: 'billing', streamSeq: 6 }] }],
    ['it was given up for another consumer', { givenUp: [{ consumer: 'search', streamSeq: 7 }] }],
    ['another message is deleted', { stream: { deleted: new Set([6, 8]) } }],
  ])('%s', (_, given) => {
    expect(judge(given)).toBe(true);
  });
});

describe('an event is not acknowledged when', () => {
  test.each<[string, Case]>([
    ['the ack floor is below it', { consumer: { ackFloor: 6 } }],
    [
      'the last messages are given out and not acknowledged',
      { consumer: { ackFloor: 6, pending: 0, unacknowledged: 1 } },
    ],
    ['it came after the look at the stream', { consumer: { ackFloor: 6, pending: 0 }, stream: { lastSeq: 6 } }],
    ['max_deliver is used up', { givenUp: [{ consumer: 'billing', streamSeq: 7 }] }],
    [
      'max_deliver is used up and nothing is pending',
      { consumer: { ackFloor: 6, pending: 0 }, givenUp: [{ consumer: 'billing', streamSeq: 7 }] },
    ],
    ['a purge took it', { consumer: { ackFloor: 10, pending: 0 }, stream: { firstSeq: 11 } }],
    ['it was deleted alone', { stream: { deleted: new Set([7]) } }],
    [
      'the consumer filters it out',
      { consumer: { ackFloor: 10, pending: 0, filters: ['openos.events.*.agent.deleted.v1'] } },
    ],
    ['the consumer began after it', { consumer: { ackFloor: 10, pending: 0, startSeq: 8 } }],
    ['the stream is a namesake', { consumer: { ackFloor: 10 }, stream: { created: 'b' } }],
    ['the store was put back to before it', { consumer: { ackFloor: 5, pending: 0 }, stream: { lastSeq: 5 } }],
    ['sending counts as taking', { consumer: { acksExplicitly: false } }],
  ])('%s', (_, given) => {
    expect(judge(given)).toBe(false);
  });

  test('one of several consumers is behind', () => {
    const required = [
      { name: 'billing', view: aConsumer() },
      { name: 'search', view: aConsumer({ name: 'search', ackFloor: 6 }) },
    ];
    expect(acknowledged(event, required, stream, [])).toBe(false);
  });

  test('one of several consumers is missing', () => {
    expect(acknowledged(event, [{ name: 'billing', view: aConsumer() }, { name: 'search' }], stream, [])).toBe(false);
  });

  test('nobody is required', () => {
    expect(acknowledged(event, [], stream, [])).toBe(false);
  });
});

test.each([
  ['a.b.c', [], true],
  ['a.b.c', ['a.b.c'], true],
  ['a.b.c', ['a.*.c'], true],
  ['a.b.c', ['a.>'], true],
  ['a.b.c', ['>'], true],
  ['a.b.c', ['x', 'a.b.*'], true],
  ['a.b.c', ['a.b'], false],
  ['a.b.c', ['a.*'], false],
  ['a.b.c', ['a.b.c.>'], false],
  ['a.b.c', ['a.b.c.d'], false],
  ['a.b.c', ['a.x.c'], false],
])('%s among %j: %s', (subject, filters, expected) => {
  expect(matches(subject, filters)).toBe(expected);
});

describe('a consumer that is seen for the first time begins', () => {
  const origin = { createdAt: 2_000, deliverPolicy: 'all', isBuiltIn: false };

  test.each([
    ['with the first message when it is given all', origin, 1],
    ['where it was told to', { ...origin, deliverPolicy: 'by_start_sequence', optStartSeq: 5 }, 5],
    ['after what is there when it is given new ones', { ...origin, deliverPolicy: 'new' }, 11],
    ['after what is there when it is given the last ones', { ...origin, deliverPolicy: 'last_per_subject' }, 11],
    ['after what is there when it is older than the capture', { ...origin, createdAt: 999 }, 11],
    ['with the first message when it is ours', { ...origin, createdAt: 999, isBuiltIn: true }, 1],
  ])('%s', (_, given, expected) => {
    expect(startOf(given, 10, 1_000)).toBe(expected);
  });
});

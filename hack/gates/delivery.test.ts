import { describe, expect, test } from 'vitest';
import { type CommittedEvent, checkDelivery, type DeliveredEvent } from './delivery.ts';

const committed: readonly CommittedEvent[] = ['a', 'b'].flatMap((aggregateId) =>
  [1, 2, 3].map((sequence) => ({
    aggregateId,
    sequence,
    eventId: `${aggregateId}/${sequence}`,
    envelope: JSON.stringify({ aggregateId, sequence }),
  })),
);
const delivered: readonly DeliveredEvent[] = committed.map(({ envelope, ...each }) => ({
  ...each,
  event: JSON.parse(envelope),
}));

/** The stream as event ids say it. */
function stream(...ids: readonly string[]): readonly DeliveredEvent[] {
  return ids.flatMap((id) => delivered.filter(({ eventId }) => eventId === id));
}

const found = (received: readonly DeliveredEvent[]) =>
  checkDelivery(committed, received).findings.map(({ where }) => where);

test('aggregates may mix, and what is there may be repeated', () => {
  expect(found(stream('b/1', 'a/1', 'a/2', 'b/2', 'a/1', 'a/3', 'b/3', 'b/1', 'a/3'))).toEqual([]);
});

describe('Gate 3 is blocked by', () => {
  test('an event that is lost', () => {
    expect(found(stream('a/1', 'a/2', 'a/3', 'b/1', 'b/2'))).toEqual(['b, sequence 3']);
  });

  test('events that change places, though each is there', () => {
    expect(found(stream('a/1', 'a/3', 'a/2', 'b/1', 'b/2', 'b/3'))).toEqual(['a, sequence 3', 'a, sequence 2']);
  });

  test('a first one that comes late, though it is repeated in its place later', () => {
    expect(found(stream('a/2', 'a/1', 'a/2', 'a/3', 'b/1', 'b/2', 'b/3'))).toContain('a, sequence 2');
  });

  test('an event that nobody committed', () => {
    const stranger = { eventId: 'x', aggregateId: 'c', sequence: 1, event: {} };
    expect(found([...delivered, stranger])).toEqual(['c, sequence 1']);
  });

  test('a repeat that says something else', () => {
    const repeat = { eventId: 'a/1', aggregateId: 'a', sequence: 1, event: { aggregateId: 'a', sequence: 1, more: 1 } };
    expect(found([...delivered, repeat])).toEqual(['a, sequence 1']);
  });

  test('having seen nothing', () => {
    expect(checkDelivery([], []).checked).toEqual([]);
  });
});

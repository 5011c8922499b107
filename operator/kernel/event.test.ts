import { describe, expect, test } from 'vitest';
import type { EventAction } from './action.ts';
import { eventBody, microTime, truncated } from './event.ts';

const source = {
  reportingController: 'openos.dev/controller',
  instance: 'x'.repeat(300),
  name: 'abc',
  now: 1_893_456_000_007,
};
const regarding = { apiVersion: 'openos.dev/v1alpha1', kind: 'Tenant', name: 'n'.repeat(253), uid: 'u' };
const event: EventAction = { kind: 'event', type: 'Warning', regarding, reason: 'R', action: 'A', note: 'n' };

describe('an Event', () => {
  test('about what has no namespace is in the default one, and keeps to the limits of the API', () => {
    const body = eventBody(event, source);
    expect(body.metadata.namespace).toBe('default');
    expect(body.metadata.name.length).toBeLessThanOrEqual(253);
    expect(body).toMatchObject({ reportingInstance: 'x'.repeat(128), eventTime: '2030-01-01T00:00:00.007000Z' });
  });

  test('about what has one is there', () => {
    const body = eventBody({ ...event, regarding: { ...regarding, namespace: 'ns', name: 'a' } }, source);
    expect(body.metadata).toEqual({ namespace: 'ns', name: 'a.abc' });
  });
});

test('times have six decimals', () => {
  expect(microTime(0)).toBe('1970-01-01T00:00:00.000000Z');
});

test.each([
  ['short', 'ü', 2, 'ü'],
  ['cut between characters', 'aüüü', 6, 'aü…'],
  ['never in the middle of one', 'üüüü', 6, 'ü…'],
  ['nor of a wide one', '🙂🙂🙂', 8, '🙂…'],
])('a note is %s', (_, text, bytes, expected) => {
  const cut = truncated(text, bytes);
  expect(cut).toBe(expected);
  expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(bytes);
});

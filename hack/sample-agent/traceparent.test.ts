import { describe, expect, it } from 'vitest';
import { newSpanId, parseTraceparent } from './traceparent.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';

describe('traceparent', () => {
  it('yields trace and parent span', () => {
    expect(parseTraceparent(`00-${traceId}-${spanId}-01`)).toEqual({ traceId, parentSpanId: spanId });
  });

  it('of a later version may carry more', () => {
    expect(parseTraceparent(`01-${traceId}-${spanId}-01-more`)?.traceId).toBe(traceId);
  });

  it.each([
    ['absent', undefined],
    ['empty', ''],
    ['not hexadecimal', `00-${'z'.repeat(32)}-${spanId}-01`],
    ['of the forbidden version', `ff-${traceId}-${spanId}-01`],
    ['with an all-zero trace', `00-${'0'.repeat(32)}-${spanId}-01`],
    ['with an all-zero span', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['cut short', `00-${traceId}-${spanId}`],
  ])('%s is ignored', (_name, value) => {
    expect(parseTraceparent(value)).toBeUndefined();
  });

  it('new spans have a well-formed id', () => {
    expect(newSpanId()).toMatch(/^[0-9a-f]{16}$/);
  });
});

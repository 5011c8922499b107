import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import {
  activeTraceparent,
  formatTraceparent,
  newTraceContext,
  parseTraceparent,
  startTracing,
  withSpan,
} from './tracing.ts';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('traceparent', () => {
  test('survives reading and writing', () => {
    const parsed = parseTraceparent(traceparent);
    expect(parsed && formatTraceparent(parsed)).toBe(traceparent);
  });

  test('a new context has valid random ids', () => {
    const text = formatTraceparent(newTraceContext());
    expect(text).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(parseTraceparent(text)).toBeDefined();
    expect(formatTraceparent(newTraceContext())).not.toBe(text);
  });

  test('a later version may carry more', () => {
    expect(parseTraceparent(`01${traceparent.slice(2)}-more`)?.spanId).toBe('b7ad6b7169203331');
  });

  test.each([
    ['nothing', ''],
    ['zero trace id', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`],
    ['zero span id', `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`],
    ['version ff', `ff${traceparent.slice(2)}`],
    ['upper case', traceparent.toUpperCase()],
    ['more behind version 00', `${traceparent}-more`],
    ['a line break', `${traceparent}\n`],
  ])('is refused: %s', (_, text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });
});

describe('withSpan without a collector', () => {
  let tracing: { stop(): Promise<void> };
  beforeEach(async () => {
    tracing = await startTracing({ serviceVersion: '0', instance: 'i', log: silentLogger });
  });
  afterEach(() => tracing.stop());

  test('continues the trace of its parent', async () => {
    const traceId = await withSpan('a', traceparent, {}, (span) => span.traceId);
    expect(traceId).toBe('0af7651916cd43dd8448eb211c80319c');
  });

  test('begins a real trace without a parent, and spans inside belong to it', async () => {
    await withSpan('a', undefined, {}, async (outer) => {
      expect(parseTraceparent(outer.traceparent)).toBeDefined();
      expect(activeTraceparent()).toBe(outer.traceparent);
      await Promise.resolve();
      await withSpan('b', undefined, {}, (inner) => expect(inner.traceId).toBe(outer.traceId));
    });
    expect(activeTraceparent()).toBeUndefined();
  });

  test('a parent that cannot be read counts as none', async () => {
    const traceId = await withSpan('a', 'garbage', {}, (span) => span.traceId);
    expect(traceId).toMatch(/^[0-9a-f]{32}$/);
  });

  test('two at once do not see each other', async () => {
    const [a, b] = await Promise.all(
      ['a', 'b'].map((name) =>
        withSpan(name, undefined, {}, async (span) => {
          await new Promise(setImmediate);
          return [span.traceparent, activeTraceparent()];
        }),
      ),
    );
    expect(a?.[0]).toBe(a?.[1]);
    expect(b?.[0]).toBe(b?.[1]);
    expect(a?.[0]).not.toBe(b?.[0]);
  });

  test('throws on what its function throws', async () => {
    const error = new Error('boom');
    const failing = withSpan('a', undefined, {}, () => Promise.reject(error));
    await expect(failing).rejects.toBe(error);
  });
});

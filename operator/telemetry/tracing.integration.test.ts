import { expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import { startCollector } from '../testkit/collector.ts';
import { parseTraceparent, startTracing, withSpan } from './tracing.ts';

test('spans reach a collector with their parents, and without secrets', async () => {
  const sink = await startCollector();
  const tracing = await startTracing({
    otlpEndpoint: `${sink.url}/`,
    serviceVersion: '1.2.3',
    instance: 'pod-0',
    log: silentLogger,
  });
  let root = '';
  try {
    root = await withSpan('reconcile', undefined, { url: 'nats://u:s3cr3t@nats:4222' }, (span) => span.traceparent);
    const failing = withSpan('publish', root, {}, () => Promise.reject(new Error('postgres://u:s3cr3t@db refused')));
    await expect(failing).rejects.toThrow();
  } finally {
    await tracing.stop();
    sink.stop();
  }

  expect(sink.received.map(({ path }) => path)).toEqual(['/v1/traces']);
  expect(sink.received[0]?.body).not.toContain('s3cr3t');
  const [group] = sink.resources();
  expect(group?.resource.attributes).toContainEqual({ key: 'service.name', value: { stringValue: 'openos' } });
  const spans = sink.spans();
  const [reconcile, publish] = ['reconcile', 'publish'].map((name) => spans.find((span) => span.name === name));
  expect(reconcile?.spanId).toBe(parseTraceparent(root)?.spanId);
  expect(publish?.traceId).toBe(reconcile?.traceId);
  expect(publish?.parentSpanId).toBe(reconcile?.spanId);
  expect(publish?.status.code).toBe(2);
});

test('a collector that is away harms nobody', async () => {
  const tracing = await startTracing({
    otlpEndpoint: 'http://127.0.0.1:9',
    serviceVersion: '1.2.3',
    instance: 'pod-0',
    log: silentLogger,
  });
  expect(await withSpan('reconcile', undefined, {}, () => 42)).toBe(42);
  await tracing.stop();
});

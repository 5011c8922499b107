import { jetstream } from '@nats-io/jetstream';
import { ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { connect } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { projectedHistory } from './store/repositories/projection.ts';
import { type CollectedSpan, type Collector, startCollector } from './testkit/collector.ts';
import { eventually } from './testkit/eventually.ts';
import { openTestDatabase } from './testkit/store.ts';
import { startWorld, type World } from './testkit/world.ts';

let world: World;
let collector: Collector;

beforeAll(async () => {
  [world, collector] = await Promise.all([startWorld(), startCollector()]);
});
afterAll(async () => {
  await world.stop();
  collector.stop();
});

type Handled = { readonly type: string; readonly traceId: string; readonly parentSpanId: string | undefined };

/** A consumer as a stranger writes it: it knows the stream, the W3C header and the OpenTelemetry API. */
async function handleAll(agentId: string, count: number): Promise<readonly Handled[]> {
  const exporter = new InMemorySpanExporter();
  const tracer = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }).getTracer('billing');
  const connection = await connect({ servers: `127.0.0.1:${world.nats.port}`, user: 'openos', pass: 'secret' });
  const consumer = await jetstream(connection).consumers.get('OPENOS_EVENTS');
  let left = count;
  for await (const message of await consumer.consume()) {
    if (message.json<{ readonly agent_id: string }>().agent_id !== agentId) continue;
    const [, traceId = '', spanId = '', flags = ''] = message.headers?.get('traceparent').split('-') ?? [];
    const remote = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
    tracer.startSpan(message.headers?.get('ce-type') ?? '', {}, trace.setSpanContext(ROOT_CONTEXT, remote)).end();
    left -= 1;
    if (left === 0) break;
  }
  await connection.close();
  return exporter.getFinishedSpans().map((span) => ({
    type: span.name,
    traceId: span.spanContext().traceId,
    parentSpanId: span.parentSpanContext?.spanId,
  }));
}

test('a consumer goes on with the trace of the pass that recorded the event, and so does our own', async () => {
  const operator = await world.startOperator({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  await world.tenant('traced');
  const { metadata } = await world.createAgent('traced', 'writer');
  await world.ready('traced', 'writer');
  const handled = await handleAll(metadata.uid, 4);
  expect(handled.map(({ type }) => type)).toEqual([
    'agent.created',
    'agent.scheduled',
    'agent.starting',
    'agent.ready',
  ]);
  const database = openTestDatabase(world.postgres, 1);
  const projection = () => projectedHistory(database.db, metadata.uid);
  await eventually('the projection has had them', async () => (await projection()).length === handled.length);
  await database.close();
  expect(await operator.stop()).toBe(0);

  const spans = collector.spans();
  const passes = new Map(spans.filter(isPassOf(metadata.uid)).map((span) => [span.spanId, span]));
  const projected = spans.filter(({ name }) => name === 'project event');
  for (const { traceId, parentSpanId = '' } of handled) {
    expect(passes.get(parentSpanId)?.traceId).toBe(traceId);
    expect(projected).toContainEqual(expect.objectContaining({ traceId, parentSpanId }));
  }
  expect(new Set(handled.map(({ traceId }) => traceId)).size).toBe(1);
  // The pod came up between them: no two of these were recorded in the same pass.
  expect(new Set([handled.at(0)?.parentSpanId, handled.at(-1)?.parentSpanId]).size).toBe(2);
});

function isPassOf(uid: string): (span: CollectedSpan) => boolean {
  return ({ name, attributes }) =>
    name === 'reconcile agent' &&
    attributes.some(({ key, value }) => key === 'openos.key' && value.stringValue === uid);
}

import { randomBytes } from 'node:crypto';
import {
  type Attributes,
  type Context,
  context,
  diag,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import type { Logger } from '../kernel/logger.ts';
import { AsyncContextManager } from './context-manager.ts';
import { redactText } from './redact.ts';

export type TracingOptions = {
  /** Base URL of an OTLP/HTTP collector; without it spans are not recorded, but trace ids are real all the same. */
  readonly otlpEndpoint?: string | undefined;
  readonly serviceVersion: string;
  readonly instance: string;
  readonly log: Logger;
};

/** What code inside a span may do with it. */
export type SpanScope = {
  /** W3C traceparent of this span, to be stored or handed on. */
  readonly traceparent: string;
  readonly traceId: string;
  setAttributes(attributes: Attributes): void;
};

const stopDeadlineMs = 5_000;

/**
 * Installs tracing for the whole process, once, before the first span. Answers how to flush and stop it;
 * stopping takes at most five seconds and never throws.
 */
export async function startTracing(options: TracingOptions): Promise<{ stop(): Promise<void> }> {
  context.setGlobalContextManager(new AsyncContextManager());
  const exporter = options.otlpEndpoint === undefined ? undefined : await startExporter(options, options.otlpEndpoint);
  return {
    stop: async () => {
      await exporter?.shutdown().catch((err: unknown) => options.log.warn({ err }, 'the last spans were not exported'));
      for (const api of [context, trace, diag]) api.disable();
    },
  };
}

// Imported only when used: nobody without a collector should pay the SDK's start-up time and memory.
async function startExporter(options: TracingOptions, endpoint: string): Promise<{ shutdown(): Promise<void> }> {
  const { BatchSpanProcessor, TracerProvider } = await import('@opentelemetry/sdk-trace');
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  const { resourceFromAttributes } = await import('@opentelemetry/resources');
  const warn = (message: string): void => options.log.warn({}, `tracing: ${message}`);
  const quiet = (): void => {};
  diag.setLogger({ error: warn, warn, info: quiet, debug: quiet, verbose: quiet });

  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
    timeoutMillis: stopDeadlineMs,
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'openos',
      'service.version': options.serviceVersion,
      'service.instance.id': options.instance,
    }),
    spanProcessors: [new BatchSpanProcessor({ exporter, exportTimeoutMillis: stopDeadlineMs })],
  });
  trace.setGlobalTracerProvider(provider);
  return provider;
}

/**
 * A fresh root for a trace, with random ids. It is flagged as sampled although we may record nothing: an
 * agent that gets it in TRACEPARENT may have a collector where the operator has none.
 */
export function newTraceContext(): SpanContext {
  return {
    traceId: randomBytes(16).toString('hex'),
    spanId: randomBytes(8).toString('hex'),
    traceFlags: TraceFlags.SAMPLED,
  };
}

const traceparentPattern =
  /^(?:00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})|(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?)$/;

/** Reads a W3C traceparent (https://www.w3.org/TR/trace-context/); undefined when it is none. */
export function parseTraceparent(text: string): SpanContext | undefined {
  const [, ...groups] = traceparentPattern.exec(text) ?? [];
  const [traceId, spanId, flags] = groups.filter((group) => group !== undefined);
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  const parsed = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return isSpanContextValid(parsed) ? parsed : undefined;
}

/** Writes a W3C traceparent of version 00, 55 characters. */
export function formatTraceparent(span: SpanContext): string {
  return `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, '0')}`;
}

/** A trace context as fields of a log line, named as the logger names those of the span a line is written in. */
export function traceFields(traceparent: string): { readonly trace_id: string; readonly span_id: string } | undefined {
  const span = parseTraceparent(traceparent);
  return span && { trace_id: span.traceId, span_id: span.spanId };
}

/** The traceparent of the span this code runs in; undefined outside of any. */
export function activeTraceparent(): string | undefined {
  const span = trace.getActiveSpan()?.spanContext();
  return span === undefined ? undefined : formatTraceparent(span);
}

/**
 * Runs `fn` inside a span under `parentTraceparent`; without a (valid) parent under the active span, and
 * outside of any span as a new trace. What `fn` throws marks the span as failed and is thrown on.
 */
export async function withSpan<T>(
  name: string,
  parentTraceparent: string | undefined,
  attributes: Attributes,
  fn: (span: SpanScope) => Promise<T> | T,
): Promise<T> {
  const span = startSpan(name, parentContext(parentTraceparent), attributes);
  const { traceId } = span.spanContext();
  const scope: SpanScope = {
    traceId,
    traceparent: formatTraceparent(span.spanContext()),
    setAttributes: (more) => span.setAttributes(redactedAttributes(more)),
  };
  try {
    return await context.with(trace.setSpan(context.active(), span), fn, undefined, scope);
  } catch (error) {
    markFailed(span, error);
    throw error;
  } finally {
    span.end();
  }
}

function parentContext(traceparent: string | undefined): Context {
  const remote = traceparent === undefined ? undefined : parseTraceparent(traceparent);
  return remote === undefined ? context.active() : trace.setSpanContext(ROOT_CONTEXT, remote);
}

function startSpan(name: string, parent: Context, attributes: Attributes): Span {
  const span = trace.getTracer('openos').startSpan(name, { attributes: redactedAttributes(attributes) }, parent);
  if (isSpanContextValid(span.spanContext())) return span;
  // Nobody records and there is no parent: the trace still needs an id to be told by.
  return trace.wrapSpanContext(newTraceContext());
}

function markFailed(span: Span, error: unknown): void {
  const message = redactText(error instanceof Error ? error.message : String(error));
  span.recordException({ name: error instanceof Error ? error.name : 'Error', message });
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}

function redactedAttributes(attributes: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [key, typeof value === 'string' ? redactText(value) : value]),
  );
}

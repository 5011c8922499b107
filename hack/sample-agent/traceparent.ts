import { randomBytes } from 'node:crypto';

export type TraceContext = {
  /** 32 hexadecimal digits */
  readonly traceId: string;
  /** 16 hexadecimal digits: the span this process continues */
  readonly parentSpanId: string;
};

/** Reads a W3C `traceparent` (version-traceid-spanid-flags); undefined when absent, malformed or all zero. */
export function parseTraceparent(value: string | undefined): TraceContext | undefined {
  const match = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:$|-)/.exec(
    value ?? '',
  );
  const [, traceId, parentSpanId] = match ?? [];
  if (traceId === undefined || parentSpanId === undefined) return undefined;
  return { traceId, parentSpanId };
}

/** A new span id: 16 hexadecimal digits. */
export function newSpanId(): string {
  return randomBytes(8).toString('hex');
}

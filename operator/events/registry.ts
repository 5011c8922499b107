import type { z } from 'zod';
import { EventErrorCode, eventError } from './errors.ts';
import { eventId, tombstoneId } from './event-id.ts';
import { type AnyEvent, type EventType, eventSchemas } from './schemas/index.ts';
import { eventSubject } from './subjects.ts';

/** A fact to be told. */
export type EventDraft = {
  readonly type: EventType;
  readonly aggregate: { readonly kind: string; readonly id: string };
  readonly tenantId: string;
  readonly seq: number;
  readonly occurredAt: Date;
  /** W3C traceparent of the pass that observed it; `trace_id` is taken from it. */
  readonly traceContext: string;
  /** The event's own part; its schema decides. */
  readonly data: Readonly<Record<string, unknown>>;
};

/** An event as it enters the outbox; `envelope` is the exact text that is sent, now and in any replay. */
export type EncodedEvent = {
  readonly eventId: string;
  readonly eventType: EventType;
  readonly schemaVersion: string;
  readonly subject: string;
  readonly envelope: string;
  readonly occurredAt: Date;
  readonly seq: number;
  readonly traceContext: string;
};

const traceparent = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * Encodes a fact in the latest version of its event.
 * @throws OperatorError EventInvalid: the draft does not fit its schema, its aggregate or its trace
 */
export function encode(draft: EventDraft): EncodedEvent {
  return encodeAs(eventId(draft.aggregate, draft.seq), draft);
}

/**
 * Encodes the tombstone of an event that was given up; it has the sequence of that event and an id of its own.
 * @throws as {@link encode}
 */
export function encodeTombstone(draft: Omit<EventDraft, 'type'>): EncodedEvent {
  const type = `${draft.aggregate.kind}.skipped`;
  if (!isEventType(type)) throw eventError(EventErrorCode.EventInvalid, `no tombstone for a ${draft.aggregate.kind}`);
  return encodeAs(tombstoneId(draft.aggregate, draft.seq), { ...draft, type });
}

function encodeAs(id: string, draft: EventDraft): EncodedEvent {
  const { type, aggregate, tenantId, seq, occurredAt, traceContext, data } = draft;
  const traceId = traceparent.exec(traceContext)?.[1];
  const [kind] = type.split('.', 1);
  if (traceId === undefined) throw eventError(EventErrorCode.EventInvalid, `${type}: not a W3C traceparent`);
  if (kind !== aggregate.kind) throw eventError(EventErrorCode.EventInvalid, `${type} told of a ${aggregate.kind}`);
  if (Number.isNaN(occurredAt.getTime())) throw eventError(EventErrorCode.EventInvalid, `${type}: no valid time`);

  const [version, schema] = latest(type);
  const parsed = schema.safeParse({
    event_id: id,
    event_type: type,
    schema_version: version,
    occurred_at: occurredAt.toISOString(),
    trace_id: traceId,
    agent_id: aggregate.id,
    tenant_id: tenantId,
    sequence: seq,
    data,
  });
  if (!parsed.success) throw eventError(EventErrorCode.EventInvalid, `${type}: ${complaint(parsed.error)}`);
  const envelope = parsed.data as AnyEvent;
  return {
    eventId: envelope.event_id,
    eventType: type,
    schemaVersion: version,
    subject: eventSubject(tenantId, type, version),
    envelope: JSON.stringify(envelope),
    occurredAt,
    seq,
    traceContext,
  };
}

/**
 * Reads the text of an event, of any version this build knows.
 * @throws OperatorError EnvelopeInvalid, EventTypeUnknown, EventVersionUnknown
 */
export function decode(text: string): AnyEvent {
  const { event_type: type, schema_version: version } = parseJson(text);
  const versions = typeof type === 'string' && isEventType(type) ? eventSchemas[type] : undefined;
  if (versions === undefined) {
    throw eventError(EventErrorCode.EventTypeUnknown, `no schema for the event type ${JSON.stringify(type)}`);
  }
  const schema = Object.entries(versions).find(([known]) => known === version)?.[1];
  if (schema === undefined) {
    throw eventError(EventErrorCode.EventVersionUnknown, `no version ${JSON.stringify(version)} of ${type}`);
  }
  const parsed = schema.safeParse(parseJson(text));
  if (!parsed.success) throw eventError(EventErrorCode.EnvelopeInvalid, `${type}: ${complaint(parsed.error)}`);
  return parsed.data as AnyEvent;
}

/** Whether this build has a schema for the type. */
export function isEventType(type: string): type is EventType {
  return Object.hasOwn(eventSchemas, type);
}

function latest(type: EventType): readonly [string, z.ZodType] {
  const entry = isEventType(type) ? Object.entries<z.ZodType>(eventSchemas[type]).at(-1) : undefined;
  if (entry === undefined) throw eventError(EventErrorCode.EventInvalid, `no schema for the event type "${type}"`);
  return entry;
}

function parseJson(text: string): { readonly event_type?: unknown; readonly schema_version?: unknown } {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Told below, without the text: it may hold anything.
  }
  throw eventError(EventErrorCode.EnvelopeInvalid, 'not a JSON object');
}

/** Where and what, never the value. */
function complaint(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.') || 'envelope'}: ${issue.message}`).join('; ');
}

/** What the headers of a message are made of; the columns of an outbox row. */
export type HeaderSource = {
  readonly eventId: string;
  readonly eventType: string;
  readonly schemaVersion: string;
  readonly kind: string;
  readonly aggregateId: string;
  readonly occurredAt: Date;
  readonly traceContext: string | null;
};

/**
 * The event as a CloudEvent in binary mode: its attributes as headers, beside the W3C trace context.
 * The same row gives the same headers, however often it is sent.
 */
export function cloudEventHeaders(event: HeaderSource): Readonly<Record<string, string>> {
  return {
    'ce-specversion': '1.0',
    'ce-id': event.eventId,
    'ce-type': event.eventType,
    'ce-source': 'openos.dev/operator',
    'ce-subject': `${event.kind}/${event.aggregateId}`,
    'ce-time': event.occurredAt.toISOString(),
    'ce-dataschema': schemaId(event.eventType, event.schemaVersion),
    'content-type': 'application/json',
    ...(event.traceContext !== null && { traceparent: event.traceContext }),
  };
}

/** The name of a schema, as it stands in `$id` and in the header `ce-dataschema`. */
export function schemaId(eventType: string, schemaVersion: string): string {
  return `urn:openos:event:${eventType}:${schemaVersion}`;
}

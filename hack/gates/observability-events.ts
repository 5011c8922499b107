import { Ajv2020 } from 'ajv/dist/2020.js';
import { releasableSchemas } from '../../operator/events/render.ts';
import type { SeenEvent } from './observability.ts';
import type { Finding, Verdict } from './verdict.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** Headers of every message, and what each has to say. */
const headers: Readonly<Record<string, (seen: SeenEvent) => unknown>> = {
  'ce-specversion': () => '1.0',
  'ce-id': ({ event }) => event.event_id,
  'ce-type': ({ event }) => event.event_type,
  'ce-source': () => 'openos.dev/operator',
  'ce-subject': ({ event }) => `${kindOf(event)}/${event.agent_id}`,
  'ce-time': ({ event }) => event.occurred_at,
  'ce-dataschema': ({ event }) => `urn:openos:event:${event.event_type}:${event.schema_version}`,
  'content-type': () => 'application/json',
};
const moreHeaders: readonly string[] = ['traceparent', 'Nats-Msg-Id', 'Nats-Expected-Stream'];
const traceparent = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;

const validators = new Map(
  releasableSchemas().map(({ type, version, schema }) => {
    const ajv = new Ajv2020({ strict: true, validateFormats: false, allErrors: true });
    return [`${type}@${version}`, ajv.compile(closed(schema))] as const;
  }),
);

/** Whether each event fits its schema to the letter and its headers say the same. */
export function checkEvents(events: readonly SeenEvent[]): Verdict {
  const types = new Set(events.map(({ event }) => event.event_type));
  const kinds = new Set(events.map(({ event }) => kindOf(event)));
  return {
    checked: events.length === 0 ? [] : [`${events.length} events of ${types.size} types, of ${[...kinds].join(', ')}`],
    findings: events.length === 0 ? [nothing] : events.flatMap(eventFindings),
  };
}

const nothing: Finding = {
  where: 'the stream',
  broke: 'there is no event on it',
  fix: 'See why the run told nothing.',
};

function eventFindings(seen: SeenEvent): readonly Finding[] {
  const { event } = seen;
  const where = `${event.event_type} of ${kindOf(event)}/${event.agent_id}, sequence ${event.sequence}`;
  return [...schemaFaults(event), ...headerFaults(seen)].map((broke) => ({
    where,
    broke,
    fix: 'See operator/events: registry.ts makes the envelope, cloud-event.ts the headers.',
  }));
}

function schemaFaults(event: JsonObject): readonly string[] {
  const validate = validators.get(`${event.event_type}@${event.schema_version}`);
  if (validate === undefined) return [`has no schema: ${event.event_type}@${event.schema_version}`];
  if (validate(event)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) => {
    return `${instancePath || 'the event'} ${message} (${Object.values(params).join(', ')})`;
  });
}

function headerFaults(seen: SeenEvent): readonly string[] {
  const given = seen.headers;
  const { event } = seen;
  const trace = traceparent.exec(given.traceparent ?? '')?.[1];
  const [major] = String(event.schema_version).split('.');
  const subject = `openos.events.${encodeURIComponent(String(event.tenant_id))}.${event.event_type}.v${major}`;
  return [
    ...Object.entries(headers)
      .filter(([name, value]) => given[name] !== value(seen))
      .map(([name, value]) => `header ${name} is ${given[name] ?? 'not there'} and should be ${value(seen)}`),
    ...(trace === event.trace_id
      ? []
      : [`header traceparent is of the trace ${trace}, the event of ${event.trace_id}`]),
    // A repeat after the stream lost the message has the id with a number behind it.
    ...((given['Nats-Msg-Id'] ?? '').split('/')[0] === event.event_id ? [] : ['header Nats-Msg-Id is not its id']),
    ...(seen.subject === subject ? [] : [`its subject is ${seen.subject} and should be ${subject}`]),
    ...Object.keys(given)
      .filter((name) => headers[name] === undefined && !moreHeaders.includes(name))
      .map((name) => `header ${name} is in no contract`),
  ];
}

function kindOf(event: JsonObject): string {
  return String(event.event_type).split('.')[0] ?? '';
}

/** The schema with no room for fields it does not name: what we write ourselves is held to the letter. */
function closed(schema: unknown): JsonObject {
  const inner = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(inner);
    return typeof value === 'object' && value !== null ? closed(value) : value;
  };
  const copy = Object.fromEntries(Object.entries(schema as JsonObject).map(([key, value]) => [key, inner(value)]));
  return copy.type === 'object' && copy.properties !== undefined ? { ...copy, additionalProperties: false } : copy;
}

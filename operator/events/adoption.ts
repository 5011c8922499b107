import type { Logger } from '../kernel/logger.ts';
import type { Adoption, FoundEvent } from '../store/repositories/adoption.ts';
import type { Broker, StoredMessage } from './broker.ts';
import { eventId } from './event-id.ts';
import { decode } from './registry.ts';
import type { AnyEvent } from './schemas/index.ts';

export type AdoptionPorts = {
  readonly broker: Pick<Broker, 'read' | 'state'>;
  /** When the newest recording was made; undefined when there is none. */
  readonly newestRecordedAt: () => Promise<Date | undefined>;
  /** Compares these events with the record, and adopts those it lacks if that is wanted. */
  readonly take: (found: readonly FoundEvent[]) => Promise<Adoption>;
  readonly log: Logger;
};

/** The clocks of Postgres and NATS differ, and an event is published a moment after it was recorded. */
const overlapMs = 60_000;
const pageSize = 250;

/**
 * Goes through what the stream has had since the newest recording: were the record older than the stream, its next
 * sequence would be another fact under an id that consumers know.
 * @throws OperatorError when the broker or the database is away; then it can be run again
 */
export async function adoptMissing(ports: AdoptionPorts): Promise<Adoption> {
  const { broker, newestRecordedAt, take, log } = ports;
  const newest = await newestRecordedAt();
  const since = newest && new Date(newest.getTime() - overlapMs);
  const streamCreated = broker.state.available ? broker.state.streamCreated : '';
  const total: { adopted: FoundEvent[]; forked: FoundEvent[] } = { adopted: [], forked: [] };
  let page: FoundEvent[] = [];
  const flush = async (): Promise<void> => {
    if (page.length === 0) return;
    const { adopted, forked } = await take(page);
    total.adopted.push(...adopted);
    total.forked.push(...forked);
    page = [];
  };
  for await (const message of broker.read(since === undefined ? {} : { since })) {
    const found = foundEvent(message, streamCreated);
    if (found === undefined)
      log.warn({ streamSeq: message.streamSeq }, 'a message of the stream is not an event of ours');
    else page.push(found);
    if (page.length >= pageSize) await flush();
  }
  await flush();
  return total;
}

/**
 * What a message says of the transition it told; undefined for what is no event, or not ours. It does not say of which
 * spec an attempt was (its pod does), nor what a tombstone stands for (it needs no adopting).
 */
export function foundEvent(message: StoredMessage, streamCreated: string): FoundEvent | undefined {
  const event = decoded(message.payload);
  if (event === undefined) return undefined;
  const [kind = ''] = event.event_type.split('.', 1);
  // Only the id of the fact itself: a tombstone has one of its own, and a stranger's text has any.
  if (event.event_id !== eventId({ kind, id: event.agent_id }, event.sequence)) return undefined;
  const data: Readonly<Record<string, unknown>> = event.data;
  const phase = phaseOf(event.event_type, data);
  return {
    eventId: event.event_id,
    eventType: event.event_type,
    schemaVersion: event.schema_version,
    kind,
    aggregateId: event.agent_id,
    seq: event.sequence,
    tenantId: event.tenant_id,
    subject: message.subject,
    envelope: message.payload,
    occurredAt: new Date(event.occurred_at),
    traceContext: message.headers.traceparent ?? null,
    streamCreated,
    streamSeq: message.streamSeq,
    ...(phase !== undefined && { phase }),
    reason: String(data.reason),
    attempt: typeof data.attempt === 'number' ? data.attempt : 0,
    detail: detailOf(event.event_type, data, Date.parse(event.occurred_at)),
    first: firstOf(kind, event.agent_id),
  };
}

function decoded(text: string): AnyEvent | undefined {
  try {
    return decode(text);
  } catch {
    return undefined;
  }
}

/** Phases as the controllers record them; an Agent's are in its events as well. */
const phases: Readonly<Record<string, string>> = {
  'agent.created': 'Created',
  'agentpool.created': 'Created',
  'agentpool.scaled': 'Created',
  'agentpool.updated': 'Created',
  'agentpool.deleted': 'Deleted',
  'tenant.created': 'Active',
  'tenant.suspended': 'Suspended',
  'tenant.resumed': 'Active',
  'tenant.deleted': 'Deleted',
};

/** Every story begins with `created`. */
function firstOf(kind: string, id: string): FoundEvent['first'] {
  const eventType = `${kind}.created`;
  return { eventId: eventId({ kind, id }, 1), eventType, phase: phases[eventType] ?? 'Created' };
}

function phaseOf(type: string, data: Readonly<Record<string, unknown>>): string | undefined {
  return typeof data.phase === 'string' ? data.phase : phases[type];
}

/** Of what is told, what the controllers keep with a row. */
const kept: Readonly<Record<string, readonly string[]>> = {
  agent: ['namespace', 'name', 'startLatencyMilliseconds', 'message'],
  agentpool: ['namespace', 'name', 'replicas', 'revision'],
  tenant: ['name', 'suspend'],
};

function detailOf(
  type: string,
  data: Readonly<Record<string, unknown>>,
  at: number,
): Readonly<Record<string, unknown>> {
  const names = kept[type.split('.', 1)[0] ?? ''] ?? [];
  const entries = names.flatMap((name) => (data[name] === undefined ? [] : [[name, data[name]]]));
  return { ...Object.fromEntries(entries), ...(data.phase === 'Ready' && { firstReadyAt: at }) };
}

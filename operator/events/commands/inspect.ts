import { OperatorError } from '../../kernel/errors.ts';
import { type EventFilter, type LoggedEvent, neighboursOf, newestEvents } from '../../store/repositories/event-log.ts';
import type { Broker } from '../broker.ts';
import { asJson, asRow, explain, listHeader, resourceOf } from './format.ts';
import { connected, type EventsPorts } from './ports.ts';
import { type EventsRequest, usage } from './request.ts';

/** `list`: the newest events that fit, oldest first. */
export async function list(ports: EventsPorts, { filter, limit, output }: EventsRequest): Promise<void> {
  const events = await newestEvents(ports.db, filter, limit);
  if (output === 'text') ports.print(listHeader);
  for (const event of events) ports.print(output === 'json' ? asJson(event) : asRow(event));
  if (events.length === limit) ports.progress(`the newest ${limit} are shown; --limit N shows more`);
}

/** `dead-letters`: what was given up, why, and how much waits behind it. */
export async function deadLetters(ports: EventsPorts, { filter, limit, output }: EventsRequest): Promise<void> {
  const events = await newestEvents(ports.db, { ...filter, states: ['DeadLettered'] }, limit);
  if (output === 'text') ports.print(listHeader);
  for (const event of events) {
    const { waitingBehind } = await neighboursOf(ports.db, event);
    if (output === 'json') ports.print(asJson(event, { waitingBehind }));
    else ports.print(`${asRow(event)}\n  ${event.lastError}; ${waitingBehind} event(s) wait behind it`);
  }
}

/** `show`: all that is known of each event named, and what that means. */
export async function show(ports: EventsPorts, { filter, output }: EventsRequest): Promise<void> {
  if (filter.eventIds === undefined) throw usage('show needs the id of an event');
  for (const event of await named(ports, filter)) {
    const neighbours = await neighboursOf(ports.db, event);
    const inStream = event.streamSeq === null ? undefined : await stillThere(ports, event);
    const explanation = explain(event, neighbours, inStream);
    if (output === 'json') ports.print(asJson(event, { ...neighbours, inStream, explanation }));
    else for (const line of lines(event, explanation)) ports.print(line);
  }
}

/**
 * The events whose ids were given.
 * @throws OperatorError EventNotFound naming those there are not
 */
export async function named(ports: EventsPorts, filter: EventFilter): Promise<readonly LoggedEvent[]> {
  const { eventIds = [] } = filter;
  const events = await newestEvents(ports.db, { eventIds }, eventIds.length);
  const found = new Set(events.map(({ eventId }) => eventId));
  const missing = eventIds.filter((id) => !found.has(id.toLowerCase()));
  if (missing.length === 0) return events;
  const message = `no event has the id ${missing.join(', ')}: it was never recorded, or retention took it`;
  throw new OperatorError('EventNotFound', 'terminal', message);
}

/** Whether the stream has this event at the place it was given; a broker that is away is no answer. */
async function stillThere(ports: EventsPorts, event: LoggedEvent): Promise<boolean | undefined> {
  try {
    return await isInStream(await connected(ports), event);
  } catch {
    ports.progress('the broker is away: whether the stream still has the event was not looked up');
    return undefined;
  }
}

/** Whether the stream has the event, or the tombstone in its place. @throws as `Broker.publish` */
export async function isInStream(
  broker: Broker,
  { streamSeq, streamCreated, eventId, state }: LoggedEvent,
): Promise<boolean> {
  if (streamSeq === null || (broker.state.available && broker.state.streamCreated !== streamCreated)) return false;
  const message = await broker.messageAt(streamSeq);
  return message !== undefined && (state === 'Skipped' || message.headers['ce-id'] === eventId);
}

function lines(event: LoggedEvent, explanation: string): readonly string[] {
  const fields: readonly (readonly [string, string | null])[] = [
    ['event', event.eventId],
    ['type', `${event.eventType} ${event.schemaVersion}`],
    ['resource', `${event.kind} ${resourceOf(event)} (${event.aggregateId}), event ${event.seq}`],
    ['tenant', event.tenantId],
    ['occurred', event.occurredAt.toISOString()],
    ['state', event.state],
    ['published', event.publishedAt?.toISOString() ?? null],
    ['acknowledged', event.acknowledgedAt?.toISOString() ?? null],
    ['subject', event.subject],
    ['trace', event.traceContext],
    ['last error', event.lastError],
  ];
  const shown = fields.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(13)} ${value}`]));
  return [...shown, '', explanation, '', JSON.stringify(JSON.parse(event.envelope), undefined, 2)];
}

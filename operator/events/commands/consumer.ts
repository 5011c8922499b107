import { OperatorError } from '../../kernel/errors.ts';
import { eventsAfter, type LoggedEvent } from '../../store/repositories/event-log.ts';
import { markRedelivered } from '../../store/repositories/event-repair.ts';
import type { Broker } from '../broker.ts';
import { cloudEventHeaders } from '../cloud-event.ts';
import { EventErrorCode, eventError } from '../errors.ts';
import { natsObserver } from '../nats-observer.ts';
import type { Capture } from '../stream-observer.ts';
import { asJson, asRow, listHeader } from './format.ts';
import { named } from './inspect.ts';
import { connected, type EventsPorts } from './ports.ts';
import { type EventsRequest, requireChoice, usage } from './request.ts';

type Report = Capture['givenUp'][number];

/** An event that the stream has, and that the server gave up to deliver. */
type GivenUpEvent = { readonly event: LoggedEvent; readonly streamSeq: number; readonly report: Report };

const pageSize = 500;

/** `dead-letters --consumer`: what the server gave up for a consumer, how often it was tried, and when. */
export async function consumerDeadLetters(ports: EventsPorts, request: EventsRequest): Promise<void> {
  if (request.output === 'text') ports.print(listHeader);
  for (const each of await givenUp(ports, request)) print(ports, request, each);
}

/** `redeliver`: what was given up for a consumer is stored once more, at the end of the stream. */
export async function redeliver(ports: EventsPorts, request: EventsRequest): Promise<void> {
  requireChoice(request);
  const { eventIds } = request.filter;
  if (eventIds !== undefined) await named(ports, request.filter);
  const chosen = await givenUp(ports, request);
  const broker = await connected(ports);
  let moved = 0;
  for (const each of chosen) {
    if (!request.dryRun && !(await sendAgain(ports, broker, each))) continue;
    moved += 1;
    print(ports, request, each);
  }
  ports.progress(`${moved} event(s) ${request.dryRun ? 'would be ' : ''}sent again`);
}

/** What a consumer is still owed, aggregate by aggregate: what was sent again since is not at its old place any more. */
async function givenUp(ports: EventsPorts, { consumer, filter }: EventsRequest): Promise<readonly GivenUpEvent[]> {
  if (consumer === undefined) throw usage('redeliver needs --consumer NAME');
  const broker = await connected(ports);
  const observer = natsObserver(ports.broker);
  const standing = await observer.consumer(consumer);
  if (standing === undefined) throw notFound(consumer);
  const { created } = await observer.stream();
  const { givenUp: reports } = await observer.capture(0);
  const since = Date.parse(standing.created);
  // Of a message given up twice the later report counts; one of a namesake before it says nothing.
  const mine = reports.filter((report) => report.consumer === consumer && report.at >= since);
  const bySeq = new Map(mine.map((report) => [report.streamSeq, report]));
  const ids = await idsAt(broker, [...bySeq.keys()]);
  const wanted = filter.eventIds ?? [...ids.keys()];
  const found: GivenUpEvent[] = [];
  for (let from = 0; from < wanted.length; from += pageSize) {
    const page = { ...filter, eventIds: wanted.slice(from, from + pageSize) };
    for (const event of await eventsAfter(ports.db, page, undefined, pageSize)) {
      const report = event.streamCreated === created ? bySeq.get(event.streamSeq ?? 0) : undefined;
      if (report !== undefined) found.push({ event, streamSeq: report.streamSeq, report });
    }
  }
  return found;
}

/** Ids of the events at these places; what the stream no longer has is left out. */
async function idsAt(broker: Broker, sequences: readonly number[]): Promise<ReadonlyMap<string, number>> {
  const ids = new Map<string, number>();
  for (let from = 0; from < sequences.length; from += pageSize) {
    const page = sequences.slice(from, from + pageSize);
    const messages = await Promise.all(page.map((seq) => broker.messageAt(seq)));
    for (const message of messages) {
      const id = message?.headers['ce-id'];
      if (message !== undefined && id !== undefined) ids.set(id, message.streamSeq);
    }
  }
  return ids;
}

/**
 * Under an id of its own for the place it was given up at: the broker would take the event's own for a repeat, and
 * whoever dies before the note is made sends nothing twice.
 */
async function sendAgain(ports: EventsPorts, broker: Broker, { event, streamSeq: from }: GivenUpEvent) {
  const { eventId, subject, envelope } = event;
  const { duplicate, ...copy } = await broker.publish({
    subject,
    payload: envelope,
    headers: cloudEventHeaders(event),
    messageId: `${eventId}/after/${from}`,
  });
  if (duplicate && (await broker.messageAt(copy.streamSeq))?.headers['ce-id'] !== eventId) {
    throw eventError(EventErrorCode.BrokerUnavailable, 'the stream calls an event a duplicate of one it does not have');
  }
  return markRedelivered(ports.db, { ...copy, eventId }, from, ports.by);
}

function print({ print: line }: EventsPorts, { consumer, dryRun, output }: EventsRequest, each: GivenUpEvent): void {
  const { event, streamSeq, report } = each;
  const { deliveries } = report;
  const givenUpAt = new Date(report.at).toISOString();
  if (output === 'json') line(asJson(event, { consumer, deliveries, givenUpAt, givenUpSeq: streamSeq, dryRun }));
  else line(`${asRow(event)}\n  given up for ${consumer} at ${givenUpAt}, tried ${deliveries ?? 'some'} time(s)`);
}

function notFound(consumer: string): OperatorError {
  return new OperatorError('ConsumerNotFound', 'terminal', `the stream has no durable consumer "${consumer}"`);
}

import { OperatorError } from '../../kernel/errors.ts';
import {
  countEvents,
  type EventCursor,
  type EventFilter,
  eventsAfter,
  type LoggedEvent,
} from '../../store/repositories/event-log.ts';
import { markSkipped, requeue as requeueEvents, returnToPending } from '../../store/repositories/event-repair.ts';
import type { OutboxState } from '../../store/tables/outbox.ts';
import type { Broker } from '../broker.ts';
import { encodeTombstone } from '../registry.ts';
import { send } from '../send.ts';
import { asJson, asRow } from './format.ts';
import { isInStream, named } from './inspect.ts';
import { connected, type EventsPorts } from './ports.ts';
import { type EventsRequest, requireChoice, usage } from './request.ts';

const pageSize = 500;
const out: readonly OutboxState[] = ['Published', 'Acknowledged', 'Expired'];

/** `requeue`: dead-lettered events get all their attempts again. */
export async function requeue(ports: EventsPorts, request: EventsRequest): Promise<void> {
  requireChoice(request);
  const filter = await checked(ports, { ...request.filter, states: ['DeadLettered'] });
  await forEachPage(ports, filter, 'requeued', request, async (page) => page, requeueEvents);
}

/** `replay`: what the stream has lost is published again; with --again also what it still has. */
export async function replay(ports: EventsPorts, request: EventsRequest): Promise<void> {
  requireChoice(request);
  const { states = out } = request.filter;
  const filter = await checked(ports, { ...request.filter, states: states.filter((state) => out.includes(state)) });
  const broker = request.again ? undefined : await connected(ports);
  const select = async (page: readonly LoggedEvent[]) => (broker === undefined ? page : missingFrom(broker, page));
  await forEachPage(ports, filter, 'returned to the publisher', request, select, returnToPending);
}

/** `skip`: a dead-lettered event is given up; a tombstone takes its place in the stream. */
export async function skip(ports: EventsPorts, request: EventsRequest): Promise<void> {
  const { filter, reason, dryRun, output } = request;
  if (filter.eventIds === undefined) throw usage('skip needs the id of an event');
  if (reason === undefined || reason.trim() === '') throw usage('skip needs --reason TEXT: consumers will read it');
  for (const event of await named(ports, filter)) {
    if (event.state === 'Skipped') {
      ports.progress(`${event.eventId} is skipped already`);
      continue;
    }
    if (event.state !== 'DeadLettered') throw notDeadLettered(event);
    if (!dryRun) await bury(ports, event, reason);
    ports.print(output === 'json' ? asJson(event, { dryRun }) : asRow(event));
  }
}

/** The tombstone first: whoever dies in between skips again, and the broker knows the tombstone by its id. */
async function bury(ports: EventsPorts, event: LoggedEvent, reason: string): Promise<void> {
  const { kind, aggregateId, tenantId, seq, eventId, eventType } = event;
  const now = new Date(ports.clock.now());
  const tombstone = encodeTombstone({
    aggregate: { kind, id: aggregateId },
    tenantId,
    seq,
    occurredAt: now,
    traceContext: event.traceContext ?? '',
    data: { skippedEventId: eventId, skippedEventType: eventType, reason },
  });
  const receipt = await send(await connected(ports), { ...event, ...tombstone });
  const by = { ...ports.by, detail: { ...ports.by.detail, reason } };
  await markSkipped(ports.db, { ...receipt, eventId }, by);
}

async function missingFrom(broker: Broker, page: readonly LoggedEvent[]): Promise<readonly LoggedEvent[]> {
  const there = await Promise.all(page.map((event) => isInStream(broker, event)));
  return page.filter((_, index) => there[index] === false);
}

type Repair = typeof requeueEvents;
type Select = (page: readonly LoggedEvent[]) => Promise<readonly LoggedEvent[]>;

async function forEachPage(
  ports: EventsPorts,
  filter: EventFilter,
  done: string,
  { dryRun, output }: EventsRequest,
  select: Select,
  repair: Repair,
): Promise<void> {
  const total = await countEvents(ports.db, filter);
  let looked = 0;
  let changed = 0;
  let cursor: EventCursor | undefined;
  for (;;) {
    const page = await eventsAfter(ports.db, filter, cursor, pageSize);
    const last = page.at(-1);
    if (last === undefined) break;
    const chosen = await select(page);
    const ids = chosen.map(({ eventId }) => eventId);
    const repaired = new Set(dryRun || ids.length === 0 ? ids : await repair(ports.db, ids, ports.by));
    for (const event of chosen.filter(({ eventId }) => repaired.has(eventId))) {
      ports.print(output === 'json' ? asJson(event, { dryRun }) : asRow(event));
    }
    looked += page.length;
    changed += repaired.size;
    cursor = last;
    if (total > pageSize) ports.progress(`${looked} of ${total} looked at, ${changed} ${done}`);
  }
  ports.progress(`${changed} event(s) ${dryRun ? 'would be ' : ''}${done}`);
}

/** Ids that do not exist are a mistake to be told; everything else is a filter, and may match nothing. */
async function checked(ports: EventsPorts, filter: EventFilter): Promise<EventFilter> {
  if (filter.eventIds !== undefined) await named(ports, filter);
  return filter;
}

function notDeadLettered({ eventId, state }: LoggedEvent): OperatorError {
  const message = `${eventId} is ${state}: only a dead-lettered event can be skipped`;
  return new OperatorError('EventNotDeadLettered', 'terminal', message);
}

import type { AgentTransition } from '../../resources/agent/events.ts';
import type { AgentRow, DeliveryState } from '../../resources/agent/history.ts';
import { type ConsistencyMover, consistencyMoves } from '../../store/tables/consistency.ts';
import { rowsOf } from '../builders.ts';
import { demand } from './explore.ts';
import type { Change, ModelState } from './state.ts';

/** How far an event comes, as the real table of the consistency machine has it. Nothing here moves one otherwise. */

/** The part of a row that tells of its event. */
type Event = AgentRow['event'];
/** Something that one of the movers of the table does to the events of an agent. */
type EventMove = { readonly by: ConsistencyMover; readonly change: (state: ModelState) => Change };

/** Neither the publisher nor a command has anything left to do with it. */
export function isOver(state: DeliveryState): boolean {
  return state !== 'Pending' && state !== 'DeadLettered';
}

function mayMove({ state }: Event, to: DeliveryState, by: ConsistencyMover): boolean {
  return consistencyMoves.some((move) => move.from === state && move.to === to && move.by === by);
}

function sentUpTo({ sent, everSent }: ModelState, seq: number): Pick<ModelState, 'sent' | 'everSent'> {
  return { sent: Math.max(sent, seq), everSent: Math.max(everSent, seq) };
}

function oldestOpen(rows: readonly AgentRow[]): AgentRow | undefined {
  return rows.find(({ event }) => !isOver(event.state));
}

/** These events in another state, each that may come there by the table; undefined when none may. */
function moved(
  { rows }: Pick<ModelState, 'rows'>,
  which: (row: AgentRow) => boolean,
  to: DeliveryState,
  by: ConsistencyMover,
  publishedAt?: number,
): { readonly rows: readonly AgentRow[] } | undefined {
  if (!rows.some((row) => which(row) && mayMove(row.event, to, by))) return undefined;
  const after = rows.map((row): AgentRow => {
    if (!which(row) || !mayMove(row.event, to, by)) return row;
    const { publishedAt: before, ...event } = row.event;
    const at = publishedAt ?? (to === 'Pending' ? undefined : before);
    return { ...row, event: { ...event, state: to, ...(at === undefined ? {} : { publishedAt: at }) } };
  });
  return { rows: kept(after) };
}

/** What publisher, ack watcher and whoever looks after dead letters do sooner or later. */
export const eventCourses: Readonly<Record<string, EventMove>> = {
  'the oldest event is published': {
    by: 'publisher',
    change: (state) => {
      const { broker, database, rows, sent, now, woken } = state;
      const oldest = oldestOpen(rows);
      if (oldest?.event.state !== 'Pending' || (oldest.seq > sent && !broker)) return undefined;
      const out = moved(state, (row) => row === oldest, 'Published', 'publisher', now);
      if (out === undefined) return undefined;
      if (database) return { ...sentUpTo(state, oldest.seq), ...out };
      // On the stream, and not marked: the publisher cannot say so yet.
      return oldest.seq > sent ? { ...sentUpTo(state, oldest.seq), woken } : undefined;
    },
  },
  'a refused event is requeued': {
    by: 'requeue',
    change: (state) =>
      state.database ? moved(state, ({ event }) => event.state === 'DeadLettered', 'Pending', 'requeue') : undefined,
  },
  'a refused event is skipped': {
    by: 'skip',
    change: (state) => {
      if (!state.database || !state.broker) return undefined;
      const dead = state.rows.find(({ event }) => event.state === 'DeadLettered');
      const after = moved(state, (row) => row === dead, 'Skipped', 'skip', state.now);
      return after && { ...after, ...sentUpTo(state, dead?.seq ?? 0) };
    },
  },
  'the receipt of an event that was given up arrives': {
    by: 'publisher',
    change: (state) => {
      const { database, now, rows, sent } = state;
      const dead = rows.find(({ event }) => event.state === 'DeadLettered');
      const arrives = database && dead !== undefined && dead.seq <= sent;
      return arrives ? moved(state, (row) => row === dead, 'Published', 'publisher', now) : undefined;
    },
  },
  'consumers have had all there is': {
    by: 'ack watcher',
    change: (state) => {
      const { database, broker } = state;
      const last = state.rows.at(-1);
      const may = database && broker && last !== undefined && mayMove(last.event, 'Acknowledged', 'ack watcher');
      return may ? moved(state, () => true, 'Acknowledged', 'ack watcher') : undefined;
    },
  },
};

/** What goes wrong with events, and what people do to them. */
export const eventTroubles: Readonly<Record<string, EventMove>> = {
  'the broker refuses the oldest event': {
    by: 'publisher',
    change: (state) => {
      const { rows, sent, broker, database } = state;
      const oldest = oldestOpen(rows);
      if (!broker || !database || oldest === undefined || oldest.seq <= sent) return undefined;
      return moved(state, (row) => row === oldest, 'DeadLettered', 'publisher');
    },
  },
  'the oldest event is stored, its receipts are lost and it is given up': {
    by: 'publisher',
    change: (state) => {
      const { rows, sent, broker, database } = state;
      const oldest = oldestOpen(rows);
      if (!broker || !database || oldest === undefined || oldest.seq <= sent) return undefined;
      const after = moved(state, (row) => row === oldest, 'DeadLettered', 'publisher');
      return after && { ...after, ...sentUpTo(state, oldest.seq) };
    },
  },
  'the stream loses its newest event': {
    by: 'auditor',
    change: (state) => {
      const { rows, sent, database } = state;
      const newest = rows.findLast(({ event }) => isOver(event.state));
      if (!database || newest === undefined || newest.seq !== sent) return undefined;
      const after = moved(state, (row) => row === newest, 'Pending', 'auditor');
      return after && { ...after, sent: newest.seq - 1 };
    },
  },
  'its events are replayed': {
    by: 'replay',
    change: (state) => {
      const newest = state.rows.at(-1)?.event;
      if (!state.database || newest === undefined || !isOver(newest.state)) return undefined;
      const after = moved(state, () => true, 'Pending', 'replay');
      const first = after?.rows.find(({ event }) => event.state === 'Pending');
      return after && { ...after, sent: (first?.seq ?? 0) - 1 };
    },
  },
  'its events outlive the stream': {
    by: 'auditor',
    change: (state) => (state.database ? moved(state, () => true, 'Expired', 'auditor') : undefined),
  },
};

/**
 * What counts is the first time on the stream: a replay of what is long out puts nothing later before it.
 * @throws Violation when an event got on otherwise than by the table, or is said to be had before it is out.
 */
export function checkEvents({ rows, everSent }: ModelState): void {
  for (const [index, { seq, event }] of rows.entries()) {
    demand(index === 0 || seq > (rows[index - 1]?.seq ?? 0), 'out of sequence');
    demand(!isOver(event.state) || seq <= everSent, `${event.state}, and never on the stream`);
    const isBehindOpen = rows.slice(0, index).some((row) => !isOver(row.event.state) && row.seq > everSent);
    demand(!isBehindOpen || !isOver(event.state), 'told before what came earlier');
  }
}

/** Which moves of the consistency machine lie between two states, as `from → to`. */
export function eventMoves(before: ModelState, after: ModelState): readonly string[] {
  return after.rows.flatMap(({ seq, event: { state } }) => {
    const from = before.rows.find((row) => row.seq === seq)?.event.state;
    return from === undefined || from === state ? [] : [`${from} → ${state}`];
  });
}

/** The rows after a transaction; their events wait for the publisher. */
export function recorded(rows: readonly AgentRow[], transitions: readonly AgentTransition[]): readonly AgentRow[] {
  return kept([...rows, ...rowsOf(transitions, rows.at(-1)?.seq ?? 0)]);
}

/** Everything published and had at once: for models in which events are not the question. */
export function told(rows: readonly AgentRow[], publishedAt: number): Pick<ModelState, 'rows' | 'sent' | 'everSent'> {
  const sent = rows.at(-1)?.seq ?? 0;
  const published = rows.map((row) =>
    isOver(row.event.state) ? row : { ...row, event: { ...row.event, state: 'Acknowledged' as const, publishedAt } },
  );
  return { rows: kept(published), sent, everSent: sent };
}

/** No more than a history shows, or the publisher has yet to send. */
function kept(rows: readonly AgentRow[]): readonly AgentRow[] {
  const newest = new Set(new Map(rows.map((row) => [row.to, row])).values());
  return rows.filter((row) => newest.has(row) || !isOver(row.event.state));
}

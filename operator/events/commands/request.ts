import { parseArgs } from 'node:util';
import { OperatorError } from '../../kernel/errors.ts';
import type { EventFilter } from '../../store/repositories/event-log.ts';
import { OutboxState } from '../../store/tables/outbox.ts';

/** What the command line after `openos events` asks for. */
export type EventsRequest = {
  /** The first word; undefined when there is none. */
  readonly command: string | undefined;
  /** The options that were given. */
  readonly options: readonly EventOption[];
  readonly filter: EventFilter;
  /** Every event, when neither ids nor a filter say which. */
  readonly all: boolean;
  readonly again: boolean;
  readonly dryRun: boolean;
  readonly help: boolean;
  readonly output: 'text' | 'json';
  readonly limit: number;
  readonly reason: string | undefined;
  /** A durable consumer of the stream, whose dead letters are meant. */
  readonly consumer: string | undefined;
  /** Who asks, as the audit log will say. */
  readonly actor: string | undefined;
};

/** The options, as the help shows them. */
export const eventOptions = {
  tenant: { type: 'string', value: 'NAME', text: 'events of this tenant' },
  agent: { type: 'string', value: 'UID|NAMESPACE/NAME', text: 'events of this Agent or AgentPool' },
  type: { type: 'string', value: 'TYPE', text: 'events of this type, such as agent.ready' },
  state: { type: 'string', value: 'STATE', text: `events in this state: ${Object.keys(OutboxState).join(', ')}` },
  from: { type: 'string', value: 'TIME', text: 'events since then: RFC 3339, or how long ago: 90s, 15m, 2h, 7d' },
  to: { type: 'string', value: 'TIME', text: 'events before then' },
  'stream-seq': {
    type: 'string',
    value: 'FIRST-LAST',
    text: 'events that were last published under these numbers of the stream, or under this one',
  },
  limit: { type: 'string', value: 'N', text: 'list: the newest N (default 100)' },
  all: { type: 'boolean', text: 'requeue, replay, redeliver: all events, when nothing else says which' },
  again: {
    type: 'boolean',
    text: 'replay: also what the stream still has, if it is older than two minutes (consumers see it twice, with the same ce-id)',
  },
  consumer: {
    type: 'string',
    value: 'NAME',
    text: 'dead-letters, redeliver: what the broker gave up for this durable consumer',
  },
  reason: { type: 'string', value: 'TEXT', text: 'skip: why; consumers read it in the tombstone' },
  actor: {
    type: 'string',
    value: 'NAME',
    text: 'who does this, for the audit log (default $USER, or "openos events" where there is none)',
  },
  'dry-run': { type: 'boolean', text: 'say what would be done, and do nothing' },
  output: { type: 'string', short: 'o', value: 'text|json', text: 'json: one object per line (default text)' },
  help: { type: 'boolean', short: 'h', text: 'this text' },
} as const;

export type EventOption = keyof typeof eventOptions;

const most = 100_000;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ago = /^(\d{1,6})([smhd])$/;
const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads the command line after `openos events`; `now` is what "2h" is counted from.
 * @throws OperatorError UsageInvalid, which says what was expected
 */
export function parseEventsRequest(args: readonly string[], now: number): EventsRequest {
  const { values, positionals } = parse(args);
  const [command, ...ids] = positionals;
  const { tenant, agent, type, state, from, to } = values;
  for (const id of ids) if (!uuid.test(id)) throw usage(`"${id}" is not the id of an event`);
  const bounds = { from: timeOf('from', from, now), to: timeOf('to', to, now) };
  return {
    command,
    options: Object.keys(values) as EventOption[],
    filter: {
      ...(ids.length > 0 && { eventIds: ids }),
      ...(tenant !== undefined && { tenantId: tenant }),
      ...(agent !== undefined && aggregateOf(agent)),
      ...(type !== undefined && { eventType: type }),
      ...(state !== undefined && { states: [stateOf(state)] }),
      ...(bounds.from && { from: bounds.from }),
      ...(bounds.to && { to: bounds.to }),
      ...(values['stream-seq'] !== undefined && { streamSeq: sequencesOf(values['stream-seq']) }),
    },
    all: values.all ?? false,
    again: values.again ?? false,
    dryRun: values['dry-run'] ?? false,
    help: values.help ?? false,
    output: outputOf(values.output ?? 'text'),
    limit: limitOf(values.limit ?? '100'),
    reason: values.reason,
    consumer: values.consumer,
    actor: actorOf(values.actor),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: eventOptions });
  } catch (cause) {
    throw usage(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function aggregateOf(text: string): Pick<EventFilter, 'aggregateId' | 'named'> {
  const [namespace = '', name, ...rest] = text.split('/');
  if (uuid.test(text)) return { aggregateId: text };
  if (namespace === '' || name === undefined || name === '' || rest.length > 0)
    throw usage(`--agent ${text}: a UID or NAMESPACE/NAME`);
  return { named: { namespace, name } };
}

function stateOf(text: string): OutboxState {
  const state = Object.values(OutboxState).find((known) => known.toLowerCase() === text.toLowerCase());
  if (state === undefined) throw usage(`--state ${text}: one of ${Object.keys(OutboxState).join(', ')}`);
  return state;
}

function timeOf(option: string, text: string | undefined, now: number): Date | undefined {
  if (text === undefined) return undefined;
  const [, count, unit = ''] = ago.exec(text) ?? [];
  const time = count === undefined ? new Date(text) : new Date(now - Number(count) * (unitMs[unit] ?? 0));
  const isDated = count !== undefined || /^\d{4}-\d{2}-\d{2}/.test(text);
  if (!isDated || Number.isNaN(time.getTime())) {
    throw usage(`--${option} ${text}: a time such as 2030-01-31T08:00:00Z, or how long ago, such as 2h`);
  }
  return time;
}

function sequencesOf(text: string): readonly [number, number] {
  const [, first, last = first] = /^([1-9]\d{0,14})(?:-([1-9]\d{0,14}))?$/.exec(text) ?? [];
  if (first !== undefined && Number(first) <= Number(last)) return [Number(first), Number(last)];
  throw usage(`--stream-seq ${text}: a number, or the first and the last, such as 12-40`);
}

function outputOf(text: string): 'text' | 'json' {
  if (text === 'text' || text === 'json') return text;
  throw usage(`--output ${text}: text or json`);
}

function actorOf(text: string | undefined): string | undefined {
  if (text !== undefined && text.trim() === '') throw usage('--actor: a name');
  return text?.trim();
}

function limitOf(text: string): number {
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= most) return limit;
  throw usage(`--limit ${text}: a whole number from 1 to ${most}`);
}

/** What changes events says which ones. @throws OperatorError UsageInvalid */
export function requireChoice({ filter, all, command }: EventsRequest): void {
  if (all || Object.keys(filter).length > 0) return;
  throw usage(`${command} needs the ids of events, a filter such as --tenant or --from, or --all`);
}

/** The error of a command line that cannot be followed. */
export function usage(message: string, cause?: unknown): OperatorError {
  return new OperatorError('UsageInvalid', 'terminal', `${message}; see openos events --help`, { cause });
}

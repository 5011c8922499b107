import { adopt } from './adopt.ts';
import { consumerDeadLetters, redeliver } from './consumer.ts';
import { deadLetters, list, show } from './inspect.ts';
import type { EventsPorts } from './ports.ts';
import { rebuild } from './rebuild.ts';
import { replay, requeue, skip } from './repair.ts';
import { type EventOption, type EventsRequest, eventOptions, parseEventsRequest, usage } from './request.ts';

type EventsCommand = {
  readonly args: string;
  readonly text: string;
  /** Options it takes besides those that all take. */
  readonly takes: readonly EventOption[];
  readonly run: (ports: EventsPorts, request: EventsRequest) => Promise<void>;
};

const filters: readonly EventOption[] = ['tenant', 'agent', 'type', 'from', 'to', 'stream-seq'];
const everyones: readonly EventOption[] = ['actor', 'help', 'output'];

const commands: Readonly<Record<string, EventsCommand>> = {
  list: {
    args: '[EVENT-ID…]',
    text: 'the newest events and where each stands',
    takes: [...filters, 'state', 'limit'],
    run: list,
  },
  show: { args: 'EVENT-ID…', text: 'all that is known of an event, and what it waits for', takes: [], run: show },
  'dead-letters': {
    args: '',
    text: 'events the broker would not take, why, and what waits behind them; with --consumer what it gave up to deliver',
    takes: [...filters, 'limit', 'consumer'],
    run: (ports, request) =>
      request.consumer === undefined ? deadLetters(ports, request) : consumerDeadLetters(ports, request),
  },
  requeue: {
    args: '[EVENT-ID…]',
    text: 'publish dead-lettered events again, their cause being mended',
    takes: [...filters, 'all', 'dry-run'],
    run: requeue,
  },
  skip: {
    args: 'EVENT-ID… --reason TEXT',
    text: 'give a dead-lettered event up; a tombstone takes its place',
    takes: ['reason', 'dry-run'],
    run: skip,
  },
  replay: {
    args: '[EVENT-ID…]',
    text: 'publish again what the stream has lost',
    takes: [...filters, 'state', 'all', 'again', 'dry-run'],
    run: replay,
  },
  redeliver: {
    args: '[EVENT-ID…] --consumer NAME',
    text: 'send a consumer again what was given up for it; every consumer sees it twice, with the same ce-id, behind later events',
    takes: [...filters, 'consumer', 'all', 'dry-run'],
    run: redeliver,
  },
  adopt: {
    args: '',
    text: 'record again what the stream has and a restored database has lost',
    takes: ['dry-run'],
    run: adopt,
  },
  rebuild: {
    args: '',
    text: 'build the read model of openos-projector anew from the stream',
    takes: ['dry-run'],
    run: rebuild,
  },
};

/** The text of `openos events --help`. */
export function eventsUsage(): string {
  const options = Object.entries(eventOptions).map(([name, option]): readonly [string, string] => {
    const short = 'short' in option ? `-${option.short}, ` : '';
    return [`${short}--${name}${'value' in option ? ` ${option.value}` : ''}`, option.text];
  });
  return [
    'usage: openos events COMMAND [EVENT-ID…] [OPTIONS]\n\nReads and repairs the outbox. Every command can be run again: what is done already is left alone.\n\nCommands\n',
    ...Object.entries(commands).map(([name, { args, text }]) => `  ${`${name} ${args}`.padEnd(34)}  ${text}\n`),
    '\nOptions\n',
    ...options.map(([name, text]) => `  ${name.padEnd(34)}  ${text}\n`),
  ].join('');
}

/** Who, and by which command: what every change says in the audit log. */
function repairerOf({ by }: EventsPorts, { actor = by.actor, command }: EventsRequest): EventsPorts['by'] {
  return { actor, detail: { ...by.detail, command: `openos events ${command}` } };
}

/** What a command would silently leave aside may be what keeps it from doing too much. @throws OperatorError UsageInvalid */
function requireTaken({ args, takes }: EventsCommand, { command, filter, options }: EventsRequest): void {
  const stray = options.find((option) => !takes.includes(option) && !everyones.includes(option));
  if (stray !== undefined) throw usage(`${command} takes no --${stray}`);
  if (filter.eventIds !== undefined && !args.includes('EVENT-ID')) throw usage(`${command} takes no ids of events`);
}

export type EventsInvocation =
  | { readonly kind: 'help' }
  | { readonly kind: 'run'; readonly run: (ports: EventsPorts) => Promise<void> };

/**
 * Reads the command line after `openos events`. What it runs throws OperatorError EventNotFound,
 * EventNotDeadLettered, UsageInvalid, and those of the database and the broker.
 * @throws OperatorError UsageInvalid
 */
export function eventsInvocation(args: readonly string[], now: number): EventsInvocation {
  const request = parseEventsRequest(args, now);
  if (request.help) return { kind: 'help' };
  if (request.command === undefined) throw usage('a command is missing');
  const command = Object.hasOwn(commands, request.command) ? commands[request.command] : undefined;
  if (command === undefined) throw usage(`"${request.command}" is not a command`);
  requireTaken(command, request);
  return { kind: 'run', run: (ports) => command.run({ ...ports, by: repairerOf(ports, request) }, request) };
}

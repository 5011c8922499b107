import type { LoggedEvent, Neighbours } from '../../store/repositories/event-log.ts';

/** The event as `--output json` prints it: one line, the envelope as JSON and not as text. */
export function asJson(event: LoggedEvent, more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ ...event, envelope: JSON.parse(event.envelope) as unknown, ...more });
}

export const listHeader = row('OCCURRED', 'TENANT', 'RESOURCE', 'SEQ', 'TYPE', 'STATE', 'EVENT-ID');

/** The event as a row below {@link listHeader}. */
export function asRow(event: LoggedEvent): string {
  const { occurredAt, tenantId, seq, eventType, state, eventId } = event;
  return row(occurredAt.toISOString(), tenantId, resourceOf(event), String(seq), eventType, state, eventId);
}

/** NAMESPACE/NAME where it is known, else the UID. */
export function resourceOf({ namespace, name, aggregateId }: LoggedEvent): string {
  return [namespace, name].filter((part) => part !== null).join('/') || aggregateId;
}

function row(
  ...[occurred = '', tenant = '', resource = '', seq = '', type = '', state = '', id = '']: readonly string[]
) {
  return [
    occurred.padEnd(24),
    tenant.padEnd(16),
    resource.padEnd(36),
    seq.padStart(4),
    type.padEnd(20),
    state.padEnd(12),
    id,
  ].join('  ');
}

/** Where an event stands, in sentences for people. `inStream` is undefined when the broker was not asked. */
export function explain(event: LoggedEvent, neighbours: Neighbours, inStream: boolean | undefined): string {
  const { state, attempts, lastError, streamSeq } = event;
  const [first] = neighbours.openBefore;
  switch (state) {
    case 'Pending':
      if (first !== undefined)
        return `Waits behind ${neighbours.openBefore.length} earlier event(s) of its resource; the first is ${first}.`;
      if (attempts > 0) return `Refused ${attempts} time(s) by the broker (${lastError}); it is tried again.`;
      return 'Recorded, and not published yet: the publisher or the broker is away, or it goes out this moment.';
    case 'DeadLettered':
      return `Given up after ${attempts} refusal(s): ${lastError}. ${neighbours.waitingBehind} later event(s) of its resource wait behind it. Mend the cause and requeue it, or skip it.`;
    case 'Published':
      return `The stream took it as ${streamSeq}${stands(inStream)}. Not every required consumer is past it yet.`;
    case 'Acknowledged':
      return streamSeq === null
        ? 'Every required consumer is past it.'
        : `The stream took it as ${streamSeq}${stands(inStream)}, and every required consumer is past it.`;
    case 'Skipped':
      return `Given up by command; the stream has a tombstone in its place, as ${streamSeq}${stands(inStream)}.`;
    case 'Expired':
      return 'It was in the stream, and has aged out.';
    default:
      return state satisfies never;
  }
}

function stands(inStream: boolean | undefined): string {
  if (inStream === undefined) return '';
  return inStream ? ' and has it' : ' and does not have it any more (replay it if consumers need it)';
}

import type { Finding, Verdict } from './verdict.ts';

/** An event that was committed. */
export type CommittedEvent = {
  readonly eventId: string;
  readonly aggregateId: string;
  readonly sequence: number;
  /** The text that is sent. */
  readonly envelope: string;
};

/** What stands in the stream, in the order of the stream. */
export type DeliveredEvent = {
  readonly eventId: string;
  readonly aggregateId: string;
  readonly sequence: number;
  readonly event: unknown;
};

/**
 * What a consumer who knows only the stream says of it: every committed event is there, those of an aggregate
 * first appear in order, a repeat has the id of what it repeats, and no id stands for two facts.
 */
export function checkDelivery(committed: readonly CommittedEvent[], delivered: readonly DeliveredEvent[]): Verdict {
  const first = new Map<string, DeliveredEvent>();
  for (const each of delivered) if (!first.has(each.eventId)) first.set(each.eventId, each);
  const findings = [
    ...lost(committed, first),
    ...invented(committed, first),
    ...altered(committed, delivered),
    ...reordered([...first.values()]),
  ];
  const repeats = delivered.length - first.size;
  const aggregates = new Set(committed.map(({ aggregateId }) => aggregateId)).size;
  const line = `${committed.length} events of ${aggregates} aggregates: ${first.size} delivered, ${repeats} repeats`;
  return { checked: committed.length === 0 ? [] : [line], findings };
}

function lost(committed: readonly CommittedEvent[], first: ReadonlyMap<string, DeliveredEvent>): readonly Finding[] {
  const missing = committed.filter(({ eventId }) => !first.has(eventId));
  return missing.map((each) => finding(each, 'was committed and is not in the stream'));
}

function invented(
  committed: readonly CommittedEvent[],
  first: ReadonlyMap<string, DeliveredEvent>,
): readonly Finding[] {
  const known = new Set(committed.map(({ eventId }) => eventId));
  const strangers = [...first.values()].filter(({ eventId }) => !known.has(eventId));
  return strangers.map((each) => finding(each, 'is in the stream and was never committed'));
}

function altered(committed: readonly CommittedEvent[], delivered: readonly DeliveredEvent[]): readonly Finding[] {
  const texts = new Map(committed.map(({ eventId, envelope }) => [eventId, envelope]));
  return delivered.flatMap((each) => {
    const text = texts.get(each.eventId);
    if (text === undefined || text === JSON.stringify(each.event)) return [];
    return [finding(each, `its id stands for two facts:\n${text}\n${JSON.stringify(each.event)}`)];
  });
}

function reordered(first: readonly DeliveredEvent[]): readonly Finding[] {
  const last = new Map<string, number>();
  return first.flatMap((each) => {
    const before = last.get(each.aggregateId) ?? 0;
    last.set(each.aggregateId, each.sequence);
    if (each.sequence === before + 1) return [];
    return [finding(each, `first appears after sequence ${before} of its aggregate`)];
  });
}

function finding(
  { aggregateId, sequence }: { readonly aggregateId: string; readonly sequence: number },
  broke: string,
): Finding {
  const fix = 'See the claim in operator/store/repositories/outbox.ts and the publisher in operator/events.';
  return { where: `${aggregateId}, sequence ${sequence}`, broke, fix };
}

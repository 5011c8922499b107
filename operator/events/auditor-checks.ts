import type { EventInStream, StreamAccount } from '../store/repositories/audit.ts';
import type { StreamState } from './stream-observer.ts';

/** What can be wrong with a stream; documented in the README beside. */
export const DiscontinuityReason = {
  /** Another stream has taken its place, or one that nobody has compared with the record yet. */
  StreamReplaced: 'StreamReplaced',
  /** It ends below what was recorded. */
  StreamRolledBack: 'StreamRolledBack',
  /** It gave a number out a second time. */
  SequenceReused: 'SequenceReused',
  /** Messages are gone from its midst. */
  MessagesDeleted: 'MessagesDeleted',
  /** Messages are gone from its beginning before their time. */
  MessagesPurged: 'MessagesPurged',
  /** A recorded number holds another message, or none. */
  MessageMissing: 'MessageMissing',
} as const;
export type DiscontinuityReason = (typeof DiscontinuityReason)[keyof typeof DiscontinuityReason];

export type Discontinuity = {
  readonly reason: DiscontinuityReason;
  readonly message: string;
  /** The numbers themselves are in doubt: every recorded one has to be looked up. */
  readonly isDeep: boolean;
};

/** How long and how much the stream keeps. */
export type StreamLimits = { readonly maxAgeMs: number; readonly maxBytes: number };

/** A recorded event, and the id found under its number; undefined when there was nothing. */
export type Sample = { readonly event: EventInStream; readonly found: string | undefined };

/** Clocks differ, and the server removes what is too old only now and then. */
const ageSlackMs = 300_000;
/** The server makes room before the last byte is taken. */
export const fullShare = 0.9;

/**
 * What the stream has lost or done, so far as one look tells; undefined when nothing is wrong. `account` was read
 * before the stream, `accounted` are missing sequences that were dealt with, `now` is in ms since the epoch.
 */
export function discontinuity(
  account: StreamAccount,
  stream: StreamState,
  samples: readonly Sample[],
  accounted: ReadonlySet<number>,
  limits: StreamLimits,
  now: number,
): Discontinuity | undefined {
  if (account.haltedReason !== undefined) return deep('SequenceReused', account.haltedReason);
  if (stream.lastSeq < account.greatestSeq) {
    const message = `the stream ends at ${stream.lastSeq}, and had ${account.greatestSeq} before: its store was put back or emptied`;
    return deep('StreamRolledBack', message);
  }
  if (account.firstSeq === 0 || account.strays) {
    return shallow('StreamReplaced', 'the stream is not the one that events were published to');
  }
  const wrong = samples.find(({ event, found }) => fate(event, stream, limits, now, found) === 'lost');
  const missing = wrong && `the stream has not the event ${wrong.event.eventId} as ${wrong.event.streamSeq}`;
  // Nothing but a number given out twice, or to be given out twice, can explain it.
  if (wrong && missing !== undefined && !isGone(wrong.event, stream)) return deep('MessageMissing', missing);
  const deleted = [...stream.deleted].filter((seq) => !accounted.has(seq)).length;
  if (deleted > 0) return shallow('MessagesDeleted', `${deleted} messages are gone from the midst of the stream`);
  if (stream.firstSeq > account.firstSeq && !isTimeUp(stream, limits, now)) {
    const message = `the stream begins at ${stream.firstSeq}, and messages from ${account.firstSeq} on were not due to go`;
    return shallow('MessagesPurged', message);
  }
  return missing === undefined ? undefined : shallow('MessageMissing', missing);
}

/** Whether the stream itself says that it has nothing under the number any more. */
export function isGone({ streamSeq }: EventInStream, { firstSeq, deleted }: StreamState): boolean {
  return streamSeq < firstSeq || deleted.has(streamSeq);
}

/**
 * What became of an event that is recorded as being in the stream. `found` is the id that was looked up under its
 * number, after the stream; without it what the stream says of its numbers is believed.
 */
export function fate(
  event: EventInStream,
  stream: StreamState,
  limits: StreamLimits,
  now: number,
  ...found: readonly [] | readonly [string | undefined]
): 'stands' | 'lost' | 'expired' {
  const { eventId, publishedAt, streamCreated, streamSeq } = event;
  const isOurs = streamCreated === stream.created;
  const isThere = found.length === 1 ? found[0] === eventId : isWithin(streamSeq, stream);
  if (isOurs && isThere) return 'stands';
  const isCrowdedOut = isOurs && streamSeq < stream.firstSeq && isFull(stream, limits);
  return isCrowdedOut || isOld(publishedAt.getTime(), limits, now) ? 'expired' : 'lost';
}

/** Whether what went from the beginning was old enough, or had to make room. */
function isTimeUp(stream: StreamState, limits: StreamLimits, now: number): boolean {
  return isFull(stream, limits) || (stream.firstAt !== undefined && isOld(stream.firstAt, limits, now));
}

function isWithin(seq: number, { firstSeq, lastSeq, deleted }: StreamState): boolean {
  return seq >= firstSeq && seq <= lastSeq && !deleted.has(seq);
}

function isFull({ bytes }: StreamState, { maxBytes }: StreamLimits): boolean {
  return bytes >= maxBytes * fullShare;
}

function isOld(at: number, { maxAgeMs }: StreamLimits, now: number): boolean {
  return now - at >= maxAgeMs - Math.min(ageSlackMs, maxAgeMs / 2);
}

function deep(reason: DiscontinuityReason, message: string): Discontinuity {
  return { reason, message, isDeep: true };
}

function shallow(reason: DiscontinuityReason, message: string): Discontinuity {
  return { reason, message, isDeep: false };
}

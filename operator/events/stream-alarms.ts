import type { MissedEvents } from '../store/repositories/acknowledgement.ts';
import type { ConsumerView } from './acknowledged.ts';
import { fullShare, type StreamLimits } from './auditor-checks.ts';
import type { StreamState } from './stream-observer.ts';

/** What a person should look at. */
export type StreamAlarm = {
  readonly reason:
    | 'ConsumerMissing'
    | 'ConsumerUnfit'
    | 'ConsumerLagging'
    | 'ConsumerOvertaken'
    | 'StreamFilling'
    | 'StreamFull';
  /** A sentence, and what to do. */
  readonly message: string;
};

/** How much of its room the stream uses. */
export type StreamFill = 'roomy' | 'filling' | 'full';

/** Above the share a stream is `filling`; what was, has to shrink well before it is no longer. */
const filling = { from: 0.7, until: 0.65 } as const;

/** How full the stream is; `before` is how full it was. */
export function streamFill(bytes: number, maxBytes: number, before: StreamFill): StreamFill {
  const share = bytes / maxBytes;
  if (share >= fullShare) return 'full';
  if (share < (before === 'roomy' ? filling.from : filling.until)) return 'roomy';
  // Near its limit it goes to and fro with every file that is removed.
  return before === 'full' && share >= filling.from ? 'full' : 'filling';
}

/** @returns the alarm about a stream that is running out of room; undefined while it is not */
export function fillAlarm(fill: StreamFill, bytes: number, maxBytes: number): StreamAlarm | undefined {
  const used = `the stream uses ${Math.round((bytes / maxBytes) * 100)} % of its ${maxBytes} bytes`;
  const remedy = 'Raise events.maxBytes, or lower events.maxAge';
  if (fill === 'filling')
    return {
      reason: 'StreamFilling',
      message: `${used}: when it is full the oldest events go before their time. ${remedy}`,
    };
  if (fill === 'full')
    return { reason: 'StreamFull', message: `${used}: the oldest events go, whatever their age. ${remedy}` };
  return undefined;
}

/** A required consumer with so much of the stream ahead of it is told of, and with so little no longer. */
const lagging = { from: 0.7, until: 0.5 } as const;

/**
 * How much of what the stream gives a consumer, in room or in time, is used up by what it has not had: 0 when it has
 * had everything; near 1 the stream removes events it has yet to be given. `now` is in ms since the epoch.
 */
export function backlog(
  { ackFloor, pending, unacknowledged }: Pick<ConsumerView, 'ackFloor' | 'pending' | 'unacknowledged'>,
  { bytes, firstAt, firstSeq, lastSeq }: StreamState,
  { maxAgeMs, maxBytes }: StreamLimits,
  now: number,
): number {
  if (pending + unacknowledged === 0 || firstAt === undefined || lastSeq < firstSeq) return 0;
  const ahead = (lastSeq - Math.max(ackFloor, firstSeq - 1)) / (lastSeq - firstSeq + 1);
  const filled = Math.max(bytes / maxBytes, (now - firstAt) / maxAgeMs);
  return Math.max(0, Math.min(1, ahead * filled));
}

/** Whether a backlog counts as lagging; one that did has to shrink well before it does no longer. */
export function isLagging(share: number, wasLagging: boolean): boolean {
  return share >= (wasLagging ? lagging.until : lagging.from);
}

/** @returns the alarm about a consumer that is going to be overtaken */
export function laggingAlarm(consumer: string, share: number): StreamAlarm {
  const message = `the required consumer ${consumer} has used up ${Math.round(share * 100)} % of the time or the room that the stream gives it: what it does not take soon is removed. Let it take its events, or raise events.maxAge or events.maxBytes`;
  return { reason: 'ConsumerLagging', message };
}

/** Events that a required consumer is not given any more where they stand, or stood, in the stream. */
export type Missed = MissedEvents & {
  readonly consumer: string;
  /** They left the stream; else the consumer begins behind them. */
  readonly haveLeft: boolean;
};

/** @returns the command that sends them once more; every consumer gets them, with the same ce-id */
export function replayCommand({ firstSeq, haveLeft, lastSeq }: Missed): string {
  return `openos events replay --stream-seq ${firstSeq}-${lastSeq}${haveLeft ? '' : ' --again'}`;
}

/** @returns the alarm about a consumer that was overtaken, deleted and made anew, or changed */
export function overtakenAlarm(missed: Missed): StreamAlarm {
  const { consumer, count, firstSeq, haveLeft, lastSeq } = missed;
  const why = haveLeft
    ? `left the stream before the required consumer ${consumer} acknowledged them`
    : `are before the place where the required consumer ${consumer}, made anew or changed, begins`;
  const message = `${count} event(s) between ${firstSeq} and ${lastSeq} ${why}. To send them again: ${replayCommand(missed)}`;
  return { reason: 'ConsumerOvertaken', message };
}

import { randomUUID } from 'node:crypto';
import { type Clock, pause, systemClock } from '../kernel/clock.ts';
import { classify } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { AuditStore, EventInStream, StreamAccount } from '../store/repositories/audit.ts';
import {
  type Discontinuity,
  type DiscontinuityReason,
  discontinuity,
  fate,
  isGone,
  type StreamLimits,
} from './auditor-checks.ts';
import type { Broker } from './broker.ts';
import { EventErrorCode, eventError } from './errors.ts';
import { fillAlarm, type StreamAlarm, type StreamFill, streamFill } from './stream-alarms.ts';
import type { StreamObserver, StreamState } from './stream-observer.ts';

export type AuditorOptions = {
  readonly store: AuditStore;
  readonly observer: StreamObserver;
  readonly broker: Pick<Broker, 'state' | 'onState'>;
  readonly limits: StreamLimits;
  /** Names of the durable consumers all of which must have had an event. */
  readonly required: readonly string[];
  readonly log: Logger;
  /** Called when something is wrong with the stream, once each time. */
  readonly onDiscontinuity?: (found: Discontinuity, lost: number) => void;
  /** Called when the stream runs out of room, once each time. */
  readonly onAlarm?: (alarm: StreamAlarm) => void;
  /** Called when lost events wait for the publisher again. */
  readonly onReturned?: () => void;
  readonly metrics?: {
    readonly streamDiscontinuity: (reason: DiscontinuityReason) => void;
    readonly streamDoubted: (isOpen: boolean) => void;
    readonly eventsLost: (count: number) => void;
    readonly eventsExpired: (count: number) => void;
    readonly streamUsed: (bytes: number, limitBytes: number) => void;
  };
  readonly clock?: Clock;
  /** Time between two looks; milliseconds. */
  readonly auditMs?: number;
};

/** At most twice this passes between a loss and its discovery. */
export const defaultAuditMs = 30_000;
/** Between two looks at a stream in doubt, and after a look that failed. */
const soonMs = 1_000;
const randomSamples = 20;
const pageSize = 500;
const lookups = 32;

/**
 * Compares the record with the stream: an acknowledgement of the broker is not the end of the duty. What the stream
 * has lost returns to the publisher; while its numbers are in doubt nothing is acknowledged, and the doubt ends with
 * a comparison of everything that finds nothing missing.
 */
export class Auditor {
  readonly #options: AuditorOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  #loop: Promise<void> | undefined;
  #unsubscribe: (() => void) | undefined;
  #wake: () => void = () => undefined;
  #isNudged = false;
  #suspicion: Discontinuity | undefined;
  /** Missing sequences of the stream that were compared with the record. */
  #accounted: { readonly created: string; readonly deleted: ReadonlySet<number> } = none;
  #fill: StreamFill = 'roomy';
  /** What was told and has not ended. */
  #told: 'nothing lost' | 'events lost' | undefined;

  constructor(options: AuditorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Begins to look. Neither the database nor the broker needs to be there yet. */
  start(): void {
    if (this.#loop) return;
    this.#unsubscribe = this.#options.broker.onState(() => this.nudge());
    this.#loop = this.#run();
  }

  /** Asks for a look now. */
  nudge(): void {
    this.#isNudged = true;
    this.#wake();
  }

  /** Says that the stream gave a number out again: somebody has seen it. */
  suspect(message: string): void {
    this.#suspicion ??= { reason: 'SequenceReused', message, isDeep: true };
    this.nudge();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#unsubscribe?.();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { auditMs = defaultAuditMs, broker, log } = this.#options;
    while (!this.#stop.signal.aborted) {
      let isSettled = true;
      this.#isNudged = false;
      try {
        if (broker.state.available) isSettled = await this.#round(broker.state.streamCreated);
      } catch (error) {
        isSettled = false;
        log.debug({ code: classify(error).code }, 'the audit of the stream pauses');
      }
      await this.#sleep(isSettled ? auditMs : Math.min(auditMs, soonMs), isSettled);
    }
  }

  #sleep(ms: number, wakes: boolean): Promise<void> {
    const woken = new AbortController();
    if (wakes) this.#wake = () => woken.abort();
    if (wakes && this.#isNudged) woken.abort();
    return pause(this.#clock, ms, AbortSignal.any([this.#stop.signal, woken.signal]));
  }

  /** One look; answers whether the stream is as the record says. */
  async #round(created: string): Promise<boolean> {
    const { limits, observer, store } = this.#options;
    // First: whatever is recorded by now must be on the stream that is looked at after it.
    const account = await store.readStreamAccount(created);
    const suspicion = this.#suspicion;
    // Before the look that judges them: what goes meanwhile is not taken for another message in its place.
    const samples = suspicion === undefined ? await this.#sample(await observer.stream()) : [];
    const stream = await observer.stream();
    if (stream.created !== created) return false;
    this.#noteRoom(stream);
    const accounted = this.#accounted.created === created ? this.#accounted.deleted : none.deleted;
    const found = suspicion ?? discontinuity(account, stream, samples, accounted, limits, this.#clock.now());
    if (found !== undefined) return this.#settle(found, stream, suspicion);
    await this.#account(account, stream);
    return true;
  }

  #noteRoom({ bytes }: StreamState): void {
    const { limits, log, metrics, onAlarm } = this.#options;
    metrics?.streamUsed(bytes, limits.maxBytes);
    const fill = streamFill(bytes, limits.maxBytes, this.#fill);
    if (fill === this.#fill) return;
    const isWorse = fill === 'full' || this.#fill === 'roomy';
    this.#fill = fill;
    const alarm = isWorse ? fillAlarm(fill, bytes, limits.maxBytes) : undefined;
    if (alarm === undefined) log.info({ bytes }, 'the stream has more room again');
    else {
      log.warn({ code: alarm.reason, bytes, maxBytes: limits.maxBytes }, alarm.message);
      onAlarm?.(alarm);
    }
  }

  /** Random recorded events, and those at both ends of the stream, looked up. */
  async #sample(stream: StreamState) {
    const { firstSeq, lastSeq } = stream;
    const bothEnds = firstSeq <= lastSeq ? [firstSeq, lastSeq] : [];
    const ends = await Promise.all(bothEnds.map((seq) => this.#eventIdAt(stream, seq)));
    const random = Array.from({ length: randomSamples }, () => randomUUID());
    const points = [...ends.filter((id) => id !== undefined), ...random];
    const events = await this.#options.store.sampleInStream(stream.created, points);
    return Promise.all(events.map(async (event) => ({ event, found: await this.#eventIdAt(stream, event.streamSeq) })));
  }

  /** What went in its time is accounted for; also what was recorded as published only after it had gone. */
  async #account(account: StreamAccount, stream: StreamState): Promise<void> {
    const { limits, store } = this.#options;
    this.#told = undefined;
    const isKnown = stream.firstSeq === account.firstSeq;
    for (let isMore = true; isMore; ) {
      const page = await store.listPublishedBelow(stream.created, stream.firstSeq, pageSize);
      const isLost = (event: EventInStream) => isKnown && fate(event, stream, limits, this.#clock.now()) === 'lost';
      const { lost = [], expired = [] } = Object.groupBy(page, (event) => (isLost(event) ? 'lost' : 'expired'));
      await this.#expire(expired.map(({ eventId }) => eventId));
      if (lost.length > 0) await this.#return(lost.map(({ eventId }) => eventId));
      isMore = page.length === pageSize;
    }
    if (!isKnown) await store.closeDiscontinuity(boundsOf(stream));
  }

  /** Compares everything with the stream; answers whether nothing was missing. */
  async #settle(found: Discontinuity, stream: StreamState, suspicion: Discontinuity | undefined): Promise<boolean> {
    const { metrics, store } = this.#options;
    if (found.isDeep) await this.#open(found, stream);
    const { doubtFrom, expired, lost } = await this.#compare(found, stream);
    await this.#expire(expired);
    if (lost.length > 0) {
      await this.#open(found, stream);
      this.#tell(found, lost.length);
      // Before anything is published again: what takes those numbers now is not what consumers may have had.
      if (doubtFrom !== undefined) await store.keepDoubt(stream.created, doubtFrom, await this.#reached(stream));
      await this.#return(lost);
      return false;
    }
    if (found.isDeep) this.#tell(found, 0);
    await store.closeDiscontinuity(boundsOf(stream));
    metrics?.streamDoubted(false);
    if (this.#told !== undefined) this.#options.log.info({}, 'the stream has everything that the record says');
    this.#told = undefined;
    if (this.#suspicion === suspicion) this.#suspicion = undefined;
    this.#accounted = { created: stream.created, deleted: stream.deleted };
    return true;
  }

  async #open({ message }: Discontinuity, { created }: StreamState): Promise<void> {
    await this.#options.store.openDiscontinuity(created, message);
    this.#options.metrics?.streamDoubted(true);
  }

  async #compare({ isDeep }: Discontinuity, stream: StreamState): Promise<Comparison> {
    const { limits, store } = this.#options;
    const lost: string[] = [];
    const expired: string[] = [];
    let doubtFrom: number | undefined;
    for (let after: string | undefined; ; ) {
      const page = await store.listInStream(after, pageSize);
      const fates = await this.#inTurn(page, async (event) => {
        // Published while we look: the stream goes further by now.
        const mustAsk = event.streamCreated === stream.created && (isDeep || event.streamSeq > stream.lastSeq);
        if (!mustAsk) return fate(event, stream, limits, this.#clock.now());
        return fate(event, stream, limits, this.#clock.now(), await this.#eventIdAt(stream, event.streamSeq));
      });
      page.forEach((event, index) => {
        if (fates[index] === 'expired') expired.push(event.eventId);
        if (fates[index] !== 'lost') return;
        lost.push(event.eventId);
        if (isReused(event, stream)) doubtFrom = Math.min(doubtFrom ?? event.streamSeq, event.streamSeq);
      });
      after = page.at(-1)?.eventId;
      if (page.length < pageSize) return { lost, expired, doubtFrom };
    }
  }

  /** A few lookups at a time. */
  async #inTurn<Answer>(
    page: readonly EventInStream[],
    ask: (event: EventInStream) => Promise<Answer>,
  ): Promise<readonly Answer[]> {
    const answers: Answer[] = [];
    for (let at = 0; at < page.length; at += lookups) {
      answers.push(...(await Promise.all(page.slice(at, at + lookups).map(ask))));
    }
    return answers;
  }

  /** The greatest sequence that a required consumer, or the stream, has come to in this life or in one before. */
  async #reached(stream: StreamState): Promise<number> {
    const { observer, required } = this.#options;
    const { lastSeq } = await observer.stream();
    const consumers = await Promise.all(required.map((name) => observer.consumer(name)));
    return Math.max(stream.lastSeq, lastSeq, ...consumers.map((consumer) => consumer?.deliveredSeq ?? 0));
  }

  async #return(lost: readonly string[]): Promise<void> {
    const { metrics, onReturned, store } = this.#options;
    for (let at = 0; at < lost.length; at += pageSize) {
      const returned = await store.returnToPending(lost.slice(at, at + pageSize));
      metrics?.eventsLost(returned.length);
    }
    onReturned?.();
  }

  async #expire(eventIds: readonly string[]): Promise<void> {
    for (let at = 0; at < eventIds.length; at += pageSize) {
      const expired = await this.#options.store.markExpired(eventIds.slice(at, at + pageSize));
      this.#options.metrics?.eventsExpired(expired);
    }
  }

  /** @throws OperatorError BrokerUnavailable when another stream answers meanwhile */
  async #eventIdAt({ created }: StreamState, streamSeq: number): Promise<string | undefined> {
    const { broker, observer } = this.#options;
    const id = await observer.eventIdAt(streamSeq);
    if (broker.state.available && broker.state.streamCreated === created) return id;
    throw eventError(EventErrorCode.BrokerUnavailable, 'the stream changes while it is read');
  }

  #tell(found: Discontinuity, lost: number): void {
    const { log, metrics, onDiscontinuity } = this.#options;
    const isNews = this.#told === undefined || (lost > 0 && this.#told === 'nothing lost');
    if (!isNews) return;
    this.#told = lost > 0 ? 'events lost' : 'nothing lost';
    metrics?.streamDiscontinuity(found.reason);
    log.error({ reason: found.reason, lost }, `${found.message}; ${lost} events are published again`);
    onDiscontinuity?.(found, lost);
  }
}

type Comparison = {
  readonly lost: readonly string[];
  readonly expired: readonly string[];
  /** The lowest number that stands, or may come to stand, for two messages. */
  readonly doubtFrom: number | undefined;
};

const none = { created: '', deleted: new Set<number>() } as const;

function isReused(event: EventInStream, stream: StreamState): boolean {
  return event.streamCreated === stream.created && !isGone(event, stream);
}

function boundsOf({ created, firstSeq, lastSeq }: StreamState) {
  return { streamCreated: created, firstSeq, lastSeq };
}

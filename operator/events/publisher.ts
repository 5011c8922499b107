import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../kernel/clock.ts';
import { OperatorError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { ClaimedEvent, MarkedEvent, Outbox } from '../store/repositories/outbox.ts';
import type { Broker } from './broker.ts';
import { EventErrorCode } from './errors.ts';
import { LowerBound } from './lower-bound.ts';
import { MarkQueue } from './mark-queue.ts';
import { Pacer } from './pacer.ts';
import { watchReceipts } from './receipts.ts';
import { send } from './send.ts';

export type PublisherOptions = {
  readonly outbox: Outbox;
  readonly broker: Broker;
  readonly log: Logger;
  /** Called when something about these aggregates' events has been committed: published (by event id, when) or dead-lettered. */
  readonly onSettled?: (aggregateIds: ReadonlySet<string>, publishedAt: ReadonlyMap<string, Date>) => void;
  /** Called when the stream gave a number out a second time. */
  readonly onSequenceReused?: (message: string) => void;
  /** While it says so nothing is published: the record is not to be trusted yet. */
  readonly isHeld?: () => boolean;
  readonly metrics?: {
    readonly eventPublished: (latencyMs: number) => void;
    readonly eventAttemptFailed: () => void;
    readonly eventDeadLettered: () => void;
  };
  readonly clock?: Clock;
  /** Aggregates served at the same time; each has one message in flight. */
  readonly maxInFlight?: number;
  /** Refusals after which an event is parked. */
  readonly maxAttempts?: number;
  /** Wait after the first refusal; doubles up to a minute. Milliseconds. */
  readonly attemptBackoffMs?: number;
  /** Milliseconds until others may take what this publisher claimed; at most 10 s. */
  readonly leaseMs?: number;
};

export type PublisherState = {
  /** Aggregates whose events are being published or marked. */
  readonly inFlight: number;
  /** Events the broker has and the outbox does not know of yet. */
  readonly unmarked: number;
  /** Since the start of this process. */
  readonly published: number;
  readonly deadLettered: number;
};

const runLength = 16;
const pollMs = 250;
const idlePollMs = 1_000;
const idleAfterMs = 5_000;
const slowestAttemptBackoffMs = 60_000;
const stopDeadlineMs = 8_000;

/**
 * Carries outbox rows to the broker: in order per aggregate, at least once, any number of publishers at
 * a time. It claims heads under a lease, publishes outside of any transaction, and marks in batches.
 */
export class Publisher {
  readonly #outbox: Outbox;
  readonly #broker: Broker;
  readonly #sender: Pick<Broker, 'publish' | 'messageAt'>;
  readonly #options: PublisherOptions;
  readonly #clock: Clock;
  readonly #pacer: Pacer;
  readonly #marks: MarkQueue;
  readonly #bound = new LowerBound();
  readonly #owner = randomUUID();
  readonly #active = new Map<string, Promise<void>>();
  /** Aggregates that got new events while older ones of theirs were in flight. */
  readonly #revisit = new Set<string>();
  readonly #leaseMs: number;
  readonly #maxInFlight: number;
  #loop: Promise<void> | undefined;
  #unsubscribe: (() => void) | undefined;
  #stopping = false;
  #lastClaimAt = Number.NEGATIVE_INFINITY;
  #published = 0;
  #deadLettered = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#outbox = options.outbox;
    this.#broker = options.broker;
    this.#sender = watchReceipts(options.broker, (message) => options.onSequenceReused?.(message));
    this.#clock = options.clock ?? systemClock;
    this.#pacer = new Pacer(this.#clock);
    this.#leaseMs = Math.min(options.leaseMs ?? 10_000, 10_000);
    this.#maxInFlight = options.maxInFlight ?? 128;
    this.#marks = new MarkQueue({
      outbox: this.#outbox,
      clock: this.#clock,
      onMarked: (aggregateIds, events) => this.#onMarked(aggregateIds, events),
    });
  }

  /** Begins to publish. Neither the database nor the broker needs to be there yet. */
  start(): void {
    if (this.#loop) return;
    this.#unsubscribe = this.#broker.onState(({ available }) => {
      if (!available) return;
      this.#pacer.resume();
      this.#bound.lookFrom(0);
      this.#pacer.want();
    });
    this.#loop = this.#run();
  }

  /** Says that events were committed, for one aggregate if it is known: they go out without waiting for a poll. */
  nudge(aggregateId?: string): void {
    if (aggregateId !== undefined && this.#active.has(aggregateId)) this.#revisit.add(aggregateId);
    else this.#pacer.want();
  }

  state(): PublisherState {
    return {
      inFlight: this.#active.size,
      unmarked: this.#marks.size,
      published: this.#published,
      deadLettered: this.#deadLettered,
    };
  }

  /** Ends what is in flight, marks it, and gives the rest back, so that the next publisher need not wait. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#unsubscribe?.();
    this.#pacer.stop();
    await this.#loop;
    // A database that is away keeps marks waiting; then the leases end by themselves.
    const cancel = this.#clock.setTimer(stopDeadlineMs, () => this.#marks.abandon());
    await Promise.all(this.#active.values());
    cancel();
    await this.#outbox.releaseLeases(this.#owner).catch(() => undefined);
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const capacity = this.#maxInFlight - this.#active.size;
      const isOpen = this.#broker.state.available && !this.#isHeld();
      if (capacity > 0 && isOpen && this.#pacer.isReady) await this.#claim(capacity);
      else await this.#pacer.sleep(this.#pollMs());
    }
  }

  #isHeld(): boolean {
    return this.#options.isHeld?.() ?? false;
  }

  #pollMs(): number {
    return this.#clock.monotonic() - this.#lastClaimAt < idleAfterMs ? pollMs : idlePollMs;
  }

  async #claim(heads: number): Promise<void> {
    this.#pacer.take();
    const now = this.#clock.monotonic();
    const claim = { owner: this.#owner, leaseMs: this.#leaseMs, heads, runLength, lowerBound: this.#bound.next(now) };
    try {
      const events = await this.#outbox.claimHeads(claim);
      if (claim.lowerBound === 0) this.#bound.swept(this.#clock.monotonic() - now);
      // Perhaps it was this claim that met another server.
      if (this.#isHeld()) await this.#giveBack(events);
      else this.#dispatch(events, heads, now);
    } catch (error) {
      this.#pause(error);
      this.#bound.lookFrom(claim.lowerBound);
      this.#pacer.want();
    }
  }

  #dispatch(events: readonly ClaimedEvent[], heads: number, claimedAt: number): void {
    if (events.length === 0) return;
    this.#lastClaimAt = claimedAt;
    this.#bound.claimed(firstOf(events), claimedAt);
    const runs = Map.groupBy(events, ({ aggregateId }) => aggregateId);
    // A full claim, or a full run: more is waiting behind it.
    if (runs.size >= heads) this.#pacer.want();
    for (const [aggregateId, run] of runs) {
      if (run.length >= runLength) this.#revisit.add(aggregateId);
      // The outbox may know of our last mark before we do: then this run follows on the one still in hand.
      const before = this.#active.get(aggregateId) ?? Promise.resolve();
      const delivery = before.then(() => this.#deliver(aggregateId, run, claimedAt));
      this.#active.set(aggregateId, delivery);
      void delivery.then(() => this.#done(aggregateId, delivery));
    }
  }

  #done(aggregateId: string, delivery: Promise<void>): void {
    if (this.#active.get(aggregateId) !== delivery) return;
    this.#active.delete(aggregateId);
    if (this.#revisit.delete(aggregateId)) this.#pacer.want();
    else this.#pacer.wake();
  }

  /** Publishes the events of one aggregate one after the other; never rejects. */
  async #deliver(aggregateId: string, run: readonly ClaimedEvent[], claimedAt: number): Promise<void> {
    const marks: Promise<boolean>[] = [];
    // A publish may take half of the lease; one that starts later could end when others hold the event.
    const lastStart = claimedAt + this.#leaseMs / 2;
    let next = 0;
    for (const event of run) {
      if (this.#stopping || this.#clock.monotonic() > lastStart) break;
      const mark = await send(this.#sender, event).catch((error: unknown) => this.#failed(event, error));
      if (mark === 'refused') next += 1;
      if (typeof mark === 'string') break;
      next += 1;
      this.#pacer.resume();
      marks.push(this.#marks.add(mark, aggregateId));
    }
    await Promise.all(marks);
    await this.#giveBack(run.slice(next));
  }

  /** Tells a refused message, which counts as an attempt, from a broker that is away, which does not. */
  async #failed(event: ClaimedEvent, error: unknown): Promise<'refused' | 'unavailable'> {
    if (!(error instanceof OperatorError) || error.code !== EventErrorCode.MessageRefused) {
      this.#pause(error);
      return 'unavailable';
    }
    const refusal = { eventId: event.eventId, owner: this.#owner, error: `${error.code}: ${error.message}` };
    const isLast = event.attempts + 1 >= (this.#options.maxAttempts ?? 5);
    this.#options.metrics?.eventAttemptFailed();
    try {
      if (isLast) await this.#park(event, refusal);
      else await this.#outbox.markAttemptFailed(refusal, this.#attemptBackoff(event));
    } catch {
      // The database is away: the attempt is not counted, and the lease ends by itself.
    }
    return 'refused';
  }

  async #park(event: ClaimedEvent, refusal: Parameters<Outbox['deadLetter']>[0]): Promise<void> {
    if (!(await this.#outbox.deadLetter(refusal))) return;
    const { eventId, eventType, kind, aggregateId, attempts } = event;
    const fields = { eventId, eventType, kind, aggregateId, attempts: attempts + 1, reason: refusal.error };
    this.#options.log.error(fields, 'an event was dead-lettered: later events of its resource wait behind it');
    this.#deadLettered += 1;
    this.#options.metrics?.eventDeadLettered();
    this.#tell(new Set([aggregateId]), new Map());
  }

  #attemptBackoff(event: ClaimedEvent): number {
    const first = this.#options.attemptBackoffMs ?? 1_000;
    const wait = Math.min(first * 2 ** event.attempts, slowestAttemptBackoffMs);
    this.#pacer.wantLater(wait, () => this.#bound.lookFrom(event.pos));
    return wait;
  }

  async #giveBack(events: readonly ClaimedEvent[]): Promise<void> {
    if (events.length === 0) return;
    const ids = events.map(({ eventId }) => eventId);
    await this.#outbox.releaseLeases(this.#owner, ids).catch(() => undefined);
    this.#bound.lookFrom(firstOf(events));
    this.#pacer.want();
  }

  #onMarked(aggregateIds: ReadonlySet<string>, events: readonly MarkedEvent[]): void {
    this.#published += events.length;
    for (const { latencyMs } of events) this.#options.metrics?.eventPublished(latencyMs);
    this.#tell(aggregateIds, new Map(events.map(({ eventId, publishedAt }) => [eventId, publishedAt])));
  }

  #tell(aggregateIds: ReadonlySet<string>, publishedAt: ReadonlyMap<string, Date>): void {
    try {
      this.#options.onSettled?.(aggregateIds, publishedAt);
    } catch (error) {
      this.#options.log.error({ error }, 'a listener to settled events threw');
    }
  }

  #pause(error: unknown): void {
    const pauseMs = this.#pacer.pause();
    const code = error instanceof OperatorError ? error.code : 'unknown';
    if (pauseMs > 0) this.#options.log.debug({ code, pauseMs }, 'publishing pauses');
  }
}

function firstOf(events: readonly ClaimedEvent[]): number {
  return Math.min(...events.map(({ pos }) => pos));
}

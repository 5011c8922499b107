import { type Clock, pause, systemClock } from '../kernel/clock.ts';
import { classify } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type {
  AcknowledgedEvent,
  AcknowledgementStore,
  UnacknowledgedEvent,
} from '../store/repositories/acknowledgement.ts';
import { acknowledged, type GivenUp, passed, type RequiredConsumer, type StreamView } from './acknowledged.ts';
import type { StreamLimits } from './auditor-checks.ts';
import type { Broker } from './broker.ts';
import { EventErrorCode, eventError } from './errors.ts';
import { RequiredConsumers } from './required-consumers.ts';
import {
  backlog,
  isLagging,
  laggingAlarm,
  type Missed,
  overtakenAlarm,
  replayCommand,
  type StreamAlarm,
} from './stream-alarms.ts';
import type { StreamObserver, StreamState } from './stream-observer.ts';
import { allEvents } from './subjects.ts';

/** Why nothing, or not everything, is acknowledged. */
export type AckObstacle = {
  readonly reason: 'ConsumerMissing' | 'ConsumerUnfit' | 'StreamDiscontinuity';
  readonly message: string;
};

export type AckWatcherOptions = {
  readonly store: AcknowledgementStore;
  readonly observer: StreamObserver;
  readonly broker: Pick<Broker, 'state' | 'onState'>;
  /** Names of the durable consumers all of which must have had an event. */
  readonly required: readonly string[];
  readonly limits: StreamLimits;
  readonly log: Logger;
  /** Called when it is committed that these events were acknowledged. */
  readonly onAcknowledged?: (events: readonly AcknowledgedEvent[]) => void;
  /** Called on every change of what stands in the way. */
  readonly onObstacle?: (obstacle: AckObstacle | undefined) => void;
  /** Called once for each thing about a required consumer that a person should look at. */
  readonly onAlarm?: (alarm: StreamAlarm) => void;
  readonly metrics?: {
    readonly eventsAcknowledged: (count: number) => void;
    readonly unacknowledged: (events: number) => void;
    /** `lag` is undefined for a consumer that is missing. */
    readonly consumerLag: (consumer: string, lag: number | undefined) => void;
    /** From 0 to 1, where the stream removes what it has not had. */
    readonly consumerBacklog: (consumer: string, share: number) => void;
    readonly consumerMissed: (consumer: string, events: number) => void;
  };
  readonly clock?: Clock;
  /** Time between two looks while something is open; milliseconds. */
  readonly pollMs?: number;
  /** Time between two looks while nothing is open; milliseconds. */
  readonly idleMs?: number;
};

/** What was seen at the last look; judged at the next one, by what is known then. */
type Look = { readonly created: string; readonly lastSeq: number; readonly required: readonly RequiredConsumer[] };

const defaultPollMs = 1_000;
/** Nothing is open: publishing wakes us, and this is the net below it, for publishers and consumers elsewhere. */
const defaultIdleMs = 30_000;
/** A consumer that is being made anew is away for so many looks: while nothing waits for it that is no news. */
const looksAway = 5;
const pageSize = 500;
const pagesPerRound = 20;

/**
 * Moves published events to Acknowledged once every required consumer has had them. What consumers say at one look is
 * believed at the next, when all that could belie it has arrived: what is gone from the stream and what the server
 * gave up. A stream whose numbers cannot be trusted any more is left alone until the auditor has compared it. While
 * nothing is open it sees to it that the required consumers are there.
 */
export class AckWatcher {
  readonly #options: AckWatcherOptions;
  readonly #clock: Clock;
  readonly #consumers: RequiredConsumers;
  readonly #stop = new AbortController();
  #loop: Promise<void> | undefined;
  #unsubscribe: (() => void) | undefined;
  #wake: (() => void) | undefined;
  /** Said while a round was under way that may have looked before. */
  #nudged = false;
  #look: Look | undefined;
  /** Where a round went on that had more to look at than it may. */
  #from = 0;
  #obstacle: AckObstacle | undefined;
  /** Looks in a row at which a required consumer was missing. */
  #away = 0;
  readonly #lagging = new Set<string>();

  constructor(options: AckWatcherOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { observer, required: names, store } = options;
    this.#consumers = new RequiredConsumers({ store, observer, names, onMissed: (missed) => this.#missed(missed) });
  }

  /** Begins to watch. Neither the database nor the broker needs to be there yet. */
  start(): void {
    if (this.#loop) return;
    this.#unsubscribe = this.#options.broker.onState(() => {
      // What was seen over another connection may have been said by another store.
      this.#look = undefined;
      this.nudge();
    });
    this.#loop = this.#run();
  }

  /** Says that something was published. */
  nudge(): void {
    this.#nudged = true;
    this.#wake?.();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#unsubscribe?.();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { broker, log, pollMs = defaultPollMs } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let isOpen = false;
      this.#nudged = false;
      try {
        isOpen = broker.state.available && (await this.#round(broker.state.streamCreated));
      } catch (error) {
        isOpen = true;
        log.debug({ code: classify(error).code }, 'acknowledging pauses');
      }
      await (isOpen ? pause(this.#clock, pollMs, signal) : this.#idle());
    }
  }

  #idle(): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    if (this.#nudged) woken.abort();
    const { idleMs = defaultIdleMs } = this.#options;
    return pause(this.#clock, idleMs, AbortSignal.any([this.#stop.signal, woken.signal]));
  }

  /** One look; answers whether the next one is due soon. */
  async #round(created: string): Promise<boolean> {
    const { metrics, observer, store } = this.#options;
    // First: whatever is recorded by now must be on the stream that is looked at after it.
    const { greatestSeq, open, haltedReason } = await store.readStreamWatermark(created);
    metrics?.unacknowledged(open);
    const stream = await observer.stream();
    if (open === 0 || stream.created !== created) this.#look = undefined;
    if (stream.created !== created) return true;
    const isRolledBack = stream.lastSeq < greatestSeq;
    if (haltedReason !== undefined) this.#meet({ reason: 'StreamDiscontinuity', message: haltedReason });
    else if (open > 0 && isRolledBack) await this.#halt(created, rolledBack(stream, greatestSeq));
    else if (open > 0) await this.#judge(stream);
    // Of a stream that was put back the auditor knows more.
    else if (!isRolledBack) return this.#attend(stream);
    return open > 0;
  }

  async #judge(stream: StreamState): Promise<void> {
    const givenUp = await this.#consumers.givenUp();
    const look = this.#look;
    if (look?.created === stream.created) {
      const view = {
        created: stream.created,
        firstSeq: stream.firstSeq,
        deleted: stream.deleted,
        lastSeq: look.lastSeq,
      };
      if (!(await this.#acknowledge(view, look.required, givenUp))) return;
    }
    const required = await this.#lookAtConsumers(stream);
    this.#look = { created: stream.created, lastSeq: stream.lastSeq, required };
    this.#meet(obstacleOf(required));
  }

  /** Nothing is open: whether all are there all the same. Answers whether that is in doubt. */
  async #attend(stream: StreamState): Promise<boolean> {
    // By what it reports a consumer is told from its namesake.
    await this.#consumers.givenUp();
    const obstacle = obstacleOf(await this.#lookAtConsumers(stream));
    const isDoubtful = obstacle?.reason === 'ConsumerMissing' && !this.#obstacle && this.#away < looksAway;
    if (!isDoubtful) this.#meet(obstacle);
    return isDoubtful;
  }

  async #lookAtConsumers(stream: StreamState): Promise<readonly RequiredConsumer[]> {
    const { limits, metrics } = this.#options;
    const required = await this.#consumers.look(stream, this.#clock.monotonic());
    this.#away = required.some(({ view }) => view === undefined) ? this.#away + 1 : 0;
    for (const { name, view } of required) {
      const share = view ? backlog(view, stream, limits, this.#clock.now()) : 0;
      metrics?.consumerLag(name, view && view.pending + view.unacknowledged);
      metrics?.consumerBacklog(name, share);
      this.#noteBacklog(name, share);
    }
    return required;
  }

  #noteBacklog(consumer: string, share: number): void {
    const wasLagging = this.#lagging.has(consumer);
    if (!isLagging(share, wasLagging)) this.#lagging.delete(consumer);
    else if (!wasLagging) {
      this.#lagging.add(consumer);
      this.#warn(laggingAlarm(consumer, share), { consumer });
    }
  }

  #missed(missed: Missed): void {
    const { consumer, count: events, firstSeq, lastSeq } = missed;
    this.#options.metrics?.consumerMissed(consumer, events);
    this.#warn(overtakenAlarm(missed), { consumer, events, firstSeq, lastSeq, command: replayCommand(missed) });
  }

  #warn(alarm: StreamAlarm, fields: Readonly<Record<string, unknown>>): void {
    this.#options.log.warn({ code: alarm.reason, ...fields }, alarm.message);
    this.#options.onAlarm?.(alarm);
  }

  /** Acknowledges page by page; false when the numbers of the stream turned out not to be ours. */
  async #acknowledge(
    view: StreamView,
    required: readonly RequiredConsumer[],
    givenUp: readonly GivenUp[],
  ): Promise<boolean> {
    const { store } = this.#options;
    const through = Math.min(...required.map((consumer) => (consumer.view ? passed(consumer.view, view) : 0)));
    const range = {
      streamCreated: view.created,
      through,
      limit: pageSize,
      except: [...view.deleted, ...sequencesOf(givenUp)],
    };
    let from = Math.max(this.#from, view.firstSeq);
    this.#from = 0;
    for (let pages = 0; from <= through; pages += 1) {
      if (pages === pagesPerRound) {
        this.#from = from;
        return true;
      }
      const listed = await store.listUnacknowledged({ ...range, from });
      const { page, next } = wholeSequences(listed, pageSize);
      const done = page.filter((event) => acknowledged(event, required, view, givenUp));
      const doubt = reusedSequence(page) ?? (await this.#strangerAmong(done));
      if (doubt !== undefined) {
        await this.#halt(view.created, `the sequence ${doubt} of the stream stands for more than one event`);
        return false;
      }
      await this.#mark(done);
      if (next === undefined) break;
      from = next;
    }
    if (through > 0) await store.keepAcknowledgedSeq(view.created, through);
    return true;
  }

  async #mark(events: readonly UnacknowledgedEvent[]): Promise<void> {
    if (events.length === 0) return;
    const { metrics, onAcknowledged, store } = this.#options;
    const marked = await store.markAcknowledged(events.map(({ eventId }) => eventId));
    metrics?.eventsAcknowledged(events.length);
    onAcknowledged?.(marked);
  }

  /** A sequence at one end of a page under which the stream has another message than ours. */
  async #strangerAmong(events: readonly UnacknowledgedEvent[]): Promise<number | undefined> {
    const ends = new Set([events.at(0), events.at(-1)].filter((event) => event !== undefined));
    for (const { eventId, streamSeq } of ends) {
      const there = await this.#options.observer.eventIdAt(streamSeq);
      if (there === undefined)
        throw eventError(EventErrorCode.BrokerUnavailable, 'the stream changes while it is read');
      if (there !== eventId) return streamSeq;
    }
    return undefined;
  }

  async #halt(created: string, message: string): Promise<void> {
    this.#look = undefined;
    await this.#options.store.haltAcknowledging(created, message);
    this.#meet({ reason: 'StreamDiscontinuity', message });
  }

  #meet(obstacle: AckObstacle | undefined): void {
    if (this.#obstacle?.message === obstacle?.message) return;
    this.#obstacle = obstacle;
    if (obstacle)
      this.#options.log.error({ reason: obstacle.reason }, `events are not acknowledged: ${obstacle.message}`);
    else this.#options.log.info({}, 'events are acknowledged again');
    this.#options.onObstacle?.(obstacle);
    const { reason, message } = obstacle ?? {};
    // The auditor tells of the stream itself.
    if (message !== undefined && reason !== undefined && reason !== 'StreamDiscontinuity')
      this.#options.onAlarm?.({ reason, message });
  }
}

function rolledBack({ lastSeq }: StreamState, greatestSeq: number): string {
  return `the stream ends at ${lastSeq}, and had ${greatestSeq} before: its store was put back or emptied`;
}

function obstacleOf(required: readonly RequiredConsumer[]): AckObstacle | undefined {
  const missing = required.filter(({ view }) => view === undefined).map(({ name }) => name);
  if (missing.length > 0) {
    return { reason: 'ConsumerMissing', message: `required consumers are missing: ${missing.join(', ')}` };
  }
  const unfit = required.filter(({ view }) => view && (!view.acksExplicitly || !seesAll(view.filters)));
  if (unfit.length === 0) return undefined;
  const names = unfit.map(({ name }) => name).join(', ');
  return {
    reason: 'ConsumerUnfit',
    message: `required consumers do not get, or do not acknowledge, every event: ${names}`,
  };
}

function seesAll(filters: readonly string[]): boolean {
  return filters.length === 0 || filters.includes('>') || filters.includes(allEvents);
}

function sequencesOf(givenUp: readonly GivenUp[]): readonly number[] {
  return givenUp.map(({ streamSeq }) => streamSeq);
}

/** A page without the last sequence when there may be more of it; `next` is where to go on. */
function wholeSequences(
  listed: readonly UnacknowledgedEvent[],
  limit: number,
): { readonly page: readonly UnacknowledgedEvent[]; readonly next?: number } {
  const last = listed.at(-1)?.streamSeq;
  if (listed.length < limit || last === undefined) return { page: listed };
  const page = listed.filter(({ streamSeq }) => streamSeq < last);
  return page.length === 0 ? { page: listed } : { page, next: last };
}

/** A store that was put back gives numbers out a second time. */
function reusedSequence(page: readonly UnacknowledgedEvent[]): number | undefined {
  return page.find((event, index) => event.streamSeq === page[index - 1]?.streamSeq)?.streamSeq;
}

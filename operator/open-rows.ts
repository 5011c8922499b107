import type { CancelTimer, Clock } from './kernel/clock.ts';
import type { Logger } from './kernel/logger.ts';
import type { OpenAggregate } from './store/repositories/history.ts';

/** What is known of one kind: who waits for its keys, and what has an object. */
export type OpenKind = {
  readonly queue: { add(key: string, lane: 'background'): void };
  readonly cache: { get(uid: string): object | undefined };
  /** The key under which the controller finishes an aggregate without an object. */
  readonly keyOf: (open: OpenAggregate) => string;
};

export type OpenRowsParts<Kind extends string> = {
  readonly kinds: Readonly<Record<Kind, OpenKind>>;
  /** All aggregates of a kind whose story is not over. */
  readonly read: (kind: Kind) => AsyncIterable<OpenAggregate>;
  /** Before everything is listed every row would seem to be without an object. */
  readonly isListed: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
};

/** They are looked for again this often, besides whenever somebody asks. */
const everyMs = 60_000;

/**
 * Looks for whatever has rows, no Deleted row and no object, and queues it: theirs is the only key that no watch
 * delivers. One look at a time.
 */
export class OpenRows<Kind extends string> {
  readonly #parts: OpenRowsParts<Kind>;
  #cancelTimer: CancelTimer = () => undefined;
  #isLooking = false;
  #isAsked = false;
  #isStopped = false;

  constructor(parts: OpenRowsParts<Kind>) {
    this.#parts = parts;
  }

  /** Looks soon; asked during a look it looks once more, as what that one has passed may have changed. */
  ask(): void {
    this.#isAsked = true;
    if (!this.#isLooking) void this.#work();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer();
  }

  async #work(): Promise<void> {
    this.#cancelTimer();
    this.#isLooking = true;
    while (this.#isAsked && !this.#isStopped) {
      this.#isAsked = false;
      await this.#look();
    }
    this.#isLooking = false;
    if (!this.#isStopped) this.#cancelTimer = this.#parts.clock.setTimer(everyMs, () => this.ask());
  }

  async #look(): Promise<void> {
    const { isListed, kinds, log, read } = this.#parts;
    try {
      if (!isListed()) return;
      for (const kind of Object.keys(kinds) as Kind[]) {
        const { cache, keyOf, queue } = kinds[kind];
        for await (const open of read(kind)) {
          if (this.#isStopped) return;
          // All that stand are queued by their caches: looking at each of thousands every minute would be load for nothing.
          if (cache.get(open.id) === undefined) queue.add(keyOf(open), 'background');
        }
      }
    } catch (err) {
      log.debug({ err }, 'the open rows could not be read; they are when the database is back');
    }
  }
}

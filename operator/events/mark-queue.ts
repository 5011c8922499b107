import { type Clock, pause } from '../kernel/clock.ts';
import type { MarkedEvent, Outbox, PublishedMark } from '../store/repositories/outbox.ts';

type Waiting = { readonly mark: PublishedMark; readonly aggregateId: string; readonly done: (kept: boolean) => void };

export type MarkQueueOptions = {
  readonly outbox: Outbox;
  readonly clock: Clock;
  /** Events of these aggregates were marked. */
  readonly onMarked: (aggregateIds: ReadonlySet<string>, events: readonly MarkedEvent[]) => void;
};

const firstRetryMs = 50;
const slowestRetryMs = 1_000;
/** Bounds the statement, not the throughput. */
const mostPerStatement = 500;

/** Collects broker receipts while one update is under way and writes them with the next: one statement for many. */
export class MarkQueue {
  readonly #options: MarkQueueOptions;
  readonly #abandoned = new AbortController();
  #waiting: Waiting[] = [];
  #writing = false;

  constructor(options: MarkQueueOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** Resolves with true when the mark is committed, false when it was abandoned. */
  add(mark: PublishedMark, aggregateId: string): Promise<boolean> {
    if (this.#abandoned.signal.aborted) return Promise.resolve(false);
    return new Promise((done) => {
      this.#waiting.push({ mark, aggregateId, done });
      if (!this.#writing) void this.#write();
    });
  }

  /** Gives up what could not be written. Those events are sent again, with the same ids. */
  abandon(): void {
    this.#abandoned.abort();
    for (const { done } of this.#waiting) done(false);
    this.#waiting = [];
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, mostPerStatement);
      const kept = await this.#writeBatch(
        batch.map(({ mark }) => mark),
        new Set(batch.map((entry) => entry.aggregateId)),
      );
      for (const { done } of batch) done(kept);
    }
    this.#writing = false;
  }

  /** The broker has these events, so this is tried until it succeeds. */
  async #writeBatch(marks: readonly PublishedMark[], aggregateIds: ReadonlySet<string>): Promise<boolean> {
    const { outbox, clock, onMarked } = this.#options;
    const { signal } = this.#abandoned;
    for (let retryMs = firstRetryMs; !signal.aborted; retryMs = Math.min(retryMs * 2, slowestRetryMs)) {
      try {
        const events = await outbox.markPublished(marks);
        onMarked(aggregateIds, events);
        return true;
      } catch {
        // The database reports itself when it is away; a deadlock is cured by trying again.
        await pause(clock, retryMs, signal);
      }
    }
    return false;
  }
}

import { type Clock, pause, systemClock } from '../kernel/clock.ts';
import { classify } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { RetentionSweep } from '../store/repositories/retention.ts';

export type RetentionOptions = {
  readonly sweeps: readonly RetentionSweep[];
  readonly log: Logger;
  readonly metrics?: { readonly rowsRemoved: (table: RetentionSweep['table'], rows: number) => void };
  readonly clock?: Clock;
  /** Time between two walks through all tables; milliseconds. */
  readonly everyMs?: number;
};

const defaultEveryMs = 600_000;
const shortestPauseMs = 100;
const retryMs = 30_000;
/** Of its time it works at most one part and rests these many, whatever the load makes of its statements. */
const restPerWork = 4;

/**
 * Removes what has been of no more use for long enough, in small batches with rests between them: publishing and
 * recording never wait for it. Any number may run at a time; what cannot be removed now is met again.
 */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Begins to remove. The database need not be there yet. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** Ends after the batch in hand. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { everyMs = defaultEveryMs, sweeps } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      for (const sweep of sweeps) await this.#sweep(sweep);
      await pause(this.#clock, everyMs, signal);
    }
  }

  async #sweep({ table, next }: RetentionSweep): Promise<void> {
    const { log, metrics } = this.#options;
    const { signal } = this.#stop;
    for (let isOver = false; !isOver && !signal.aborted; ) {
      const startedAt = this.#clock.monotonic();
      try {
        const batch = await next();
        isOver = batch.isOver;
        if (batch.removed > 0) metrics?.rowsRemoved(table, batch.removed);
        const workedMs = this.#clock.monotonic() - startedAt;
        if (!isOver) await pause(this.#clock, Math.max(shortestPauseMs, restPerWork * workedMs), signal);
      } catch (error) {
        log.debug({ code: classify(error).code, table }, 'removing old rows pauses');
        await pause(this.#clock, retryMs, signal);
      }
    }
  }
}

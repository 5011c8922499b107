import type { CancelTimer, Clock } from '../kernel/clock.ts';

const firstPauseMs = 100;
const longestPauseMs = 5_000;

/** When a loop may work: it is wanted, it is not paused, or else it sleeps until one of them changes. */
export class Pacer {
  readonly #clock: Clock;
  readonly #timers = new Set<CancelTimer>();
  #wanted = true;
  #pausedUntil = 0;
  #pauseMs = firstPauseMs;
  #wake: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** There is work, and nothing speaks against doing it now. */
  get isReady(): boolean {
    return this.#wanted && this.#clock.monotonic() >= this.#pausedUntil;
  }

  /** Takes the wish: whoever wants more from here on says so again. */
  take(): void {
    this.#wanted = false;
  }

  want(): void {
    this.#wanted = true;
    this.#wake();
  }

  /** Wants something in `ms` milliseconds, after `first` was done. */
  wantLater(ms: number, first: () => void): void {
    const cancel = this.#clock.setTimer(ms, () => {
      this.#timers.delete(cancel);
      first();
      this.want();
    });
    this.#timers.add(cancel);
  }

  /** Ends a sleep without wanting anything. */
  wake(): void {
    this.#wake();
  }

  /** Stands still for a while, longer from time to time. Returns the milliseconds; 0 when it stood still already. */
  pause(): number {
    const now = this.#clock.monotonic();
    // All that was in flight fails at the same time; that is one failure.
    if (now < this.#pausedUntil) return 0;
    const pauseMs = this.#pauseMs;
    this.#pausedUntil = now + pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    return pauseMs;
  }

  resume(): void {
    this.#pausedUntil = 0;
    this.#pauseMs = firstPauseMs;
  }

  /** Until something is wanted, a pause ends, someone wakes it, or `pollMs` have passed. */
  sleep(pollMs: number): Promise<void> {
    const paused = this.#pausedUntil - this.#clock.monotonic();
    const wait = this.#wanted && paused > 0 ? paused : pollMs;
    return new Promise((resolve) => {
      const cancel = this.#clock.setTimer(wait, () => this.want());
      this.#wake = () => {
        cancel();
        this.#wake = () => {};
        resolve();
      };
    });
  }

  stop(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    this.#wake();
  }
}

import type { CancelTimer, Clock } from '../kernel/clock.ts';

type Timer = { readonly at: number; readonly fn: () => void };

/** A clock that stands still until a test advances it. */
export class FakeClock implements Clock {
  #now: number;
  readonly #timers = new Set<Timer>();

  /** `start` in milliseconds since the epoch. */
  constructor(start = Date.parse('2030-01-01T00:00:00Z')) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  setTimer(ms: number, fn: () => void): CancelTimer {
    const timer = { at: this.#now + Math.max(0, ms), fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer is due; undefined when none waits. */
  get nextInMs(): number | undefined {
    const next = this.#next();
    return next === undefined ? undefined : next.at - this.#now;
  }

  /** Lets `ms` milliseconds pass: fires what becomes due, in order, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    // What was just set going may still be about to set its timer.
    await settle();
    const end = this.#now + ms;
    for (let due = this.#next(); due !== undefined && due.at <= end; due = this.#next()) {
      this.#fire(due);
      await settle();
    }
    this.#now = end;
    await settle();
  }

  /** As `advance`, for tests in which nothing awaits. */
  advanceSync(ms: number): void {
    const end = this.#now + ms;
    for (let due = this.#next(); due !== undefined && due.at <= end; due = this.#next()) this.#fire(due);
    this.#now = end;
  }

  #fire(timer: Timer): void {
    this.#timers.delete(timer);
    this.#now = Math.max(this.#now, timer.at);
    timer.fn();
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) if (next === undefined || timer.at < next.at) next = timer;
    return next;
  }
}

/** Lets every promise that can settle without time or input settle. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

import type { Clock } from './clock.ts';

/** Aborts its signal when nothing moved for a while, or when the outer signal aborts. */
export class StallDetector {
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #outer: AbortSignal;
  readonly #controller = new AbortController();
  readonly #abort = () => this.#controller.abort();
  #lastMove: number;
  #cancel: () => void;

  constructor(clock: Clock, stallMs: number, outer: AbortSignal) {
    this.#clock = clock;
    this.#stallMs = stallMs;
    this.#outer = outer;
    this.#lastMove = clock.monotonic();
    this.#cancel = clock.setTimer(stallMs, () => this.#check());
    outer.addEventListener('abort', this.#abort);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether it was silence that aborted, not the outer signal. */
  get fired(): boolean {
    return this.#controller.signal.aborted && !this.#outer.aborted;
  }

  moved(): void {
    this.#lastMove = this.#clock.monotonic();
  }

  stop(): void {
    this.#cancel();
    this.#outer.removeEventListener('abort', this.#abort);
  }

  // One timer for the whole watch instead of a new one per event.
  #check(): void {
    const left = this.#lastMove + this.#stallMs - this.#clock.monotonic();
    if (left <= 0) this.#abort();
    else this.#cancel = this.#clock.setTimer(left, () => this.#check());
  }
}

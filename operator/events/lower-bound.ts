/**
 * From which position on it is worth to look for pending rows. Claims stay cheap while dead rows pile
 * up below it; rows that committed late, or came back, are found by a sweep from 0 every few seconds.
 */
export class LowerBound {
  readonly #ageMs: number;
  readonly #sweepMs: number;
  #bound = 0;
  #candidate = 0;
  #candidateAt = Number.NEGATIVE_INFINITY;
  #greatest = 0;
  #sweptAt = Number.NEGATIVE_INFINITY;

  /** `ageMs`: how long a position must have been passed; `sweepMs`: time between two sweeps. */
  constructor(ageMs = 2_000, sweepMs = 3_000) {
    this.#ageMs = ageMs;
    this.#sweepMs = sweepMs;
  }

  /** The bound of the next claim at `now`, a monotonic time in milliseconds; 0 = a sweep. */
  next(now: number): number {
    if (now - this.#sweptAt < this.#sweepMs) return this.#bound;
    this.#sweptAt = now;
    return 0;
  }

  /** Notes what was claimed at `now`. */
  claimed(position: number, now: number): void {
    this.#greatest = Math.max(this.#greatest, position);
    if (now - this.#candidateAt < this.#ageMs) return;
    this.#bound = this.#candidate;
    this.#candidate = this.#greatest;
    this.#candidateAt = now;
  }

  /** Something below the bound is pending again: the next claim is a sweep. */
  reset(): void {
    this.#sweptAt = Number.NEGATIVE_INFINITY;
  }
}

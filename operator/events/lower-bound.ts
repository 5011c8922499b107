/** A sweep may take this share of the time: it reads all that vacuum cannot remove while some transaction stays open. */
const sweepShare = 0.02;
const longestSweepMs = 30_000;

/**
 * From which position on it is worth to look for pending rows. Claims stay cheap while dead rows pile
 * up below it; rows that committed late are found by a sweep from 0 every few seconds.
 */
export class LowerBound {
  readonly #ageMs: number;
  readonly #sweepMs: number;
  #bound = 0;
  #candidate = 0;
  #candidateAt = Number.NEGATIVE_INFINITY;
  #greatest = 0;
  #sweptAt = Number.NEGATIVE_INFINITY;
  #betweenMs: number;
  #from = Number.POSITIVE_INFINITY;

  /** `ageMs`: how long a position must have been passed; `sweepMs`: least time between two sweeps. */
  constructor(ageMs = 1_000, sweepMs = 3_000) {
    this.#ageMs = ageMs;
    this.#sweepMs = sweepMs;
    this.#betweenMs = sweepMs;
  }

  /** The bound of the next claim at `now`, a monotonic time in milliseconds; 0 = a sweep. */
  next(now: number): number {
    const isSweep = now - this.#sweptAt >= this.#betweenMs;
    const from = isSweep ? 0 : Math.min(this.#bound, this.#from);
    this.#from = Number.POSITIVE_INFINITY;
    if (from === 0) this.#sweptAt = now;
    return from;
  }

  /** Notes how long the last sweep took, in milliseconds. */
  swept(tookMs: number): void {
    this.#betweenMs = Math.max(this.#sweepMs, Math.min(tookMs / sweepShare, longestSweepMs));
  }

  /** Notes the first position that was claimed at `now`: what comes after it may still wait for its turn. */
  claimed(position: number, now: number): void {
    this.#greatest = Math.max(this.#greatest, position);
    if (now - this.#candidateAt < this.#ageMs) return;
    this.#bound = this.#candidate;
    this.#candidate = this.#greatest;
    this.#candidateAt = now;
  }

  /** Something at this position or above is to be claimed again: the next claim looks from there. */
  lookFrom(position: number): void {
    this.#from = Math.min(this.#from, position);
  }
}

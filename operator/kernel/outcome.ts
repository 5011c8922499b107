/** How a reconcile ends: nothing more to do until something changes, or look again after a while. */
export type Outcome = { readonly kind: 'settled' } | { readonly kind: 'requeue'; readonly afterMs: number };

export const settled: Outcome = { kind: 'settled' };

/** Look again after `afterMs` milliseconds (never negative). */
export function requeue(afterMs: number): Outcome {
  return { kind: 'requeue', afterMs: Math.max(0, afterMs) };
}

/** Look again when the clock reads `at` (ms since the epoch): every deadline becomes one of these. */
export function requeueAt(at: number, now: number): Outcome {
  return requeue(at - now);
}

/** The earliest of several outcomes; settled when none of them asks for another look. */
export function soonest(...outcomes: readonly Outcome[]): Outcome {
  return outcomes.reduce((best, next) => {
    if (next.kind === 'settled') return best;
    if (best.kind === 'settled') return next;
    return next.afterMs < best.afterMs ? next : best;
  }, settled);
}

/** Cancels a timer that has not fired yet; harmless afterwards. */
export type CancelTimer = () => void;

/** Where time comes from. Everything that waits takes one, so that tests own the time. */
export type Clock = {
  /** Milliseconds since the epoch: for what is shown and recorded. Can jump. */
  now(): number;
  /** Milliseconds from an arbitrary start, never going back: for durations and leases. */
  monotonic(): number;
  /** Calls `fn` once after `ms` milliseconds (at the latest after 24 days, see `longestTimerMs`). */
  setTimer(ms: number, fn: () => void): CancelTimer;
};

// A longer setTimeout fires at once. Whoever is woken early looks at the clock and waits again.
export const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer: (ms, fn) => {
    const timer = setTimeout(fn, Math.min(Math.max(0, ms), longestTimerMs));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms` milliseconds, or as soon as `signal` aborts: the caller looks at the signal. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      cancel();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.setTimer(ms, finish);
    signal.addEventListener('abort', finish);
  });
}

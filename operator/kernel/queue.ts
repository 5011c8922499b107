import type { CancelTimer, Clock } from './clock.ts';

/** `urgent`: somebody changed something. `background`: the first list, resyncs; they wait behind. */
export type Lane = 'urgent' | 'background';

export type QueueHooks = {
  /** Keys waiting (not in flight, not delayed) after a change. */
  readonly onDepth?: (depth: number) => void;
  /** Milliseconds a key waited from when it became due until a worker took it. */
  readonly onTaken?: (lane: Lane, waitedMs: number) => void;
  readonly onRetry?: () => void;
};

export type QueueOptions = {
  readonly clock: Clock;
  /** Uniform in [0, 1); for the jitter of retries. */
  readonly random?: () => number;
  readonly hooks?: QueueHooks;
};

export type RetryBounds = { readonly minMs?: number; readonly maxMs?: number };

const retryBaseMs = 5;
const retryMaxMs = 60_000;
// So often the urgent lane goes first before the background lane gets a turn: it waits, it does not starve.
const urgentTurns = 16;

type Waiting = { readonly lane: Lane; readonly since: number };
type Delayed = { readonly at: number; readonly cancel: CancelTimer };

/**
 * A work queue of keys. A key waits at most once, is worked on by at most one worker, and is queued
 * again when it is added meanwhile. Delays: the earliest wins, and taking the key ends its delay,
 * because a pass looks at everything and says anew when to look next.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #hooks: QueueHooks;
  readonly #waiting = new Map<string, Waiting>();
  readonly #lanes: Readonly<Record<Lane, Fifo>> = { urgent: new Fifo(), background: new Fifo() };
  readonly #inFlight = new Set<string>();
  /** Added while in flight: queued again when done. */
  readonly #again = new Map<string, Waiting>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  readonly #takers = new Set<(key: string | undefined) => void>();
  #idle: PromiseWithResolvers<void> | undefined;
  #urgentInARow = 0;
  #closed = false;

  constructor(options: QueueOptions) {
    this.#clock = options.clock;
    this.#random = options.random ?? Math.random;
    this.#hooks = options.hooks ?? {};
  }

  /** Keys that wait to be taken. */
  get depth(): number {
    return this.#waiting.size;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  add(key: string, lane: Lane = 'urgent'): void {
    if (this.#closed) return;
    const since = this.#clock.monotonic();
    if (this.#inFlight.has(key)) {
      this.#again.set(key, promoted(this.#again.get(key), { lane, since }));
      return;
    }
    this.#enqueue(key, { lane, since });
  }

  /** Adds the key to the urgent lane after `ms` milliseconds, unless it is due earlier already. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const at = this.#clock.monotonic() + ms;
    const delayed = this.#delayed.get(key);
    if (delayed !== undefined && delayed.at <= at) return;
    delayed?.cancel();
    this.#delayed.set(key, { at, cancel: this.#clock.setTimer(ms, () => this.#due(key)) });
  }

  /**
   * Adds the key after its own backoff: 5 ms doubling to 60 s, half of it random; never before
   * `minMs` (what a server asked for), never after `maxMs`. Returns the delay in milliseconds.
   */
  retry(key: string, bounds: RetryBounds = {}): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#hooks.onRetry?.();
    const full = Math.min(retryMaxMs, bounds.maxMs ?? retryMaxMs, retryBaseMs * 2 ** Math.min(failures, 30));
    const ms = Math.max(bounds.minMs ?? 0, full / 2 + (full / 2) * this.#random());
    this.addAfter(key, ms);
    return ms;
  }

  /** How often the key was retried since it was last forgotten. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Ends the key's backoff: it went well, or retrying is pointless. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key; `undefined` once `signal` aborts or the queue is closed. The caller says `done(key)`. */
  take(signal?: AbortSignal): Promise<string | undefined> {
    if (this.#closed || signal?.aborted) return Promise.resolve(undefined);
    const key = this.#next();
    if (key !== undefined) return Promise.resolve(key);
    return new Promise((resolve) => {
      const taker = (taken: string | undefined) => {
        this.#takers.delete(taker);
        signal?.removeEventListener('abort', onAbort);
        resolve(taken);
      };
      const onAbort = () => taker(undefined);
      signal?.addEventListener('abort', onAbort);
      this.#takers.add(taker);
    });
  }

  /** The worker has finished with the key. */
  done(key: string): void {
    this.#inFlight.delete(key);
    const again = this.#again.get(key);
    this.#again.delete(key);
    if (again !== undefined && !this.#closed) this.#enqueue(key, again);
    if (this.#inFlight.size === 0) this.#idle?.resolve();
  }

  /** Hands out nothing more and forgets what waits; keys in flight go on. */
  close(): void {
    this.#closed = true;
    for (const delayed of this.#delayed.values()) delayed.cancel();
    this.#delayed.clear();
    this.#waiting.clear();
    this.#again.clear();
    for (const taker of [...this.#takers]) taker(undefined);
  }

  /** Resolves when no key is in flight. */
  drained(): Promise<void> {
    if (this.#inFlight.size === 0) return Promise.resolve();
    if (this.#idle === undefined) {
      this.#idle = Promise.withResolvers();
      this.#idle.promise.then(() => {
        this.#idle = undefined;
      });
    }
    return this.#idle.promise;
  }

  #due(key: string): void {
    this.#delayed.delete(key);
    this.add(key);
  }

  #enqueue(key: string, entry: Waiting): void {
    const waiting = this.#waiting.get(key);
    const next = promoted(waiting, entry);
    this.#waiting.set(key, next);
    if (waiting?.lane !== next.lane) this.#lanes[next.lane].push(key);
    if (waiting === undefined) this.#hooks.onDepth?.(this.depth);
    this.#serve();
  }

  // The taker's promise resolves in a microtask: a worker starts within the tick the event arrived in.
  #serve(): void {
    for (const taker of this.#takers) {
      const key = this.#next();
      if (key === undefined) return;
      taker(key);
    }
  }

  #next(): string | undefined {
    const lane = this.#urgentInARow < urgentTurns ? 'urgent' : 'background';
    const key = this.#shift(lane) ?? this.#shift(lane === 'urgent' ? 'background' : 'urgent');
    if (key === undefined) return undefined;
    const entry = this.#waiting.get(key);
    if (entry === undefined) return undefined;
    this.#waiting.delete(key);
    this.#urgentInARow = entry.lane === 'urgent' ? this.#urgentInARow + 1 : 0;
    this.#inFlight.add(key);
    this.#delayed.get(key)?.cancel();
    this.#delayed.delete(key);
    this.#hooks.onDepth?.(this.depth);
    this.#hooks.onTaken?.(entry.lane, this.#clock.monotonic() - entry.since);
    return key;
  }

  // A key that was promoted leaves its old place behind: passed over here.
  #shift(lane: Lane): string | undefined {
    for (let key = this.#lanes[lane].shift(); key !== undefined; key = this.#lanes[lane].shift()) {
      if (this.#waiting.get(key)?.lane === lane) return key;
    }
    return undefined;
  }
}

// The urgent lane wins, the earliest arrival counts.
function promoted(before: Waiting | undefined, next: Waiting): Waiting {
  if (before === undefined) return next;
  return { lane: before.lane === 'urgent' ? 'urgent' : next.lane, since: before.since };
}

/** First in, first out, in constant time (`Array.shift` is linear for long arrays). */
class Fifo {
  #items: string[] = [];
  #head = 0;

  push(item: string): void {
    this.#items.push(item);
  }

  shift(): string | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

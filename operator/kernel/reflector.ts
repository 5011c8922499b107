import { type Indexer, ObjectCache, withoutManagedFields } from './cache.ts';
import type { KubeClient, Selection, WatchEvent } from './client.ts';
import { type Clock, pause } from './clock.ts';
import { ApiError, classify, OperatorError } from './errors.ts';
import type { Logger } from './logger.ts';
import type { ResourceType, StoredObject } from './object.ts';
import { StallDetector } from './stall.ts';

export type ChangeType = 'added' | 'modified' | 'deleted';

/** `previous` is what the cache held before. `initial`: from the very first list, nobody has just done something. */
export type ChangeHandler<T> = (type: ChangeType, object: T, previous: T | undefined, initial: boolean) => void;

export type ReflectorHooks = {
  readonly onList?: () => void;
  readonly onWatch?: () => void;
  readonly onEvent?: (type: ChangeType | 'bookmark') => void;
  readonly onError?: (code: string) => void;
};

export type ReflectorTimings = {
  /** How long a watch is asked to last; each takes a random length in between, so that many do not end together. */
  readonly watchSeconds: readonly [least: number, most: number];
  /**
   * A watch without even a bookmark (the server sends one a minute) for so long is given up. A peer that is gone is
   * noticed by the transport long before; this is for one whose kernel lives, such as a proxy that lost its server.
   */
  readonly stallMs: number;
  /** Waits between attempts grow from the first to the second. The longest is what recovery may take. */
  readonly backoffMs: readonly [least: number, most: number];
};

export type ReflectorOptions<T extends StoredObject> = {
  readonly client: Pick<KubeClient, 'pages' | 'watch'>;
  readonly resource: ResourceType;
  readonly selection?: Selection;
  /** What is kept of each object, after managedFields were dropped. */
  readonly transform?: (object: T) => T;
  readonly indexers?: Readonly<Record<string, Indexer<T>>>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
  readonly hooks?: ReflectorHooks;
  readonly timings?: Partial<ReflectorTimings>;
};

const defaultTimings: ReflectorTimings = { watchSeconds: [300, 600], stallMs: 75_000, backoffMs: [50, 3_000] };
const longestRetryAfterMs = 30_000;

/**
 * A local copy of one resource, kept by list and watch for as long as `run` runs, whatever happens
 * to the server or the connection. A broken watch goes on from the last seen version; only when the
 * server no longer knows that version everything is listed again, and what vanished meanwhile is
 * reported as deleted. There is one stream at a time, and nothing of an aborted one reaches the cache.
 */
export class Reflector<T extends StoredObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #timings: ReflectorTimings;
  readonly #log: Logger;
  readonly #cache: ObjectCache<T>;
  readonly #handlers = new Set<ChangeHandler<T>>();
  readonly #firstSync = Promise.withResolvers<void>();
  /** Where the next watch begins; undefined: list first. */
  #resourceVersion: string | undefined;
  #listedOnce = false;
  #lastActivity: number;
  #disconnectedSince: number | undefined;
  #failing = false;
  #backoffMs: number;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#timings = { ...defaultTimings, ...options.timings };
    this.#log = options.log.child({ resource: options.resource.plural });
    this.#cache = new ObjectCache(options.indexers);
    this.#lastActivity = options.clock.now();
    this.#disconnectedSince = this.#lastActivity;
    this.#backoffMs = this.#timings.backoffMs[0];
  }

  /** False before the first complete list and while a relist is due: what is absent may only be unknown. */
  get synced(): boolean {
    return this.#resourceVersion !== undefined;
  }

  /** Resolves after the first complete list. */
  get whenSynced(): Promise<void> {
    return this.#firstSync.promise;
  }

  /** When something last came from the server (a bookmark counts), ms since the epoch. */
  get lastActivity(): number {
    return this.#lastActivity;
  }

  /** Since when there has been no working list or watch, ms since the epoch; undefined while there is one. */
  get disconnectedSince(): number | undefined {
    return this.#disconnectedSince;
  }

  get size(): number {
    return this.#cache.size;
  }

  get(uid: string): T | undefined {
    return this.#cache.get(uid);
  }

  getByName(namespace: string | undefined, name: string): T | undefined {
    return this.#cache.getByName(namespace, name);
  }

  list(): readonly T[] {
    return this.#cache.list();
  }

  /** The objects an indexer filed under `key`. */
  byIndex(index: string, key: string): readonly T[] {
    return this.#cache.byIndex(index, key);
  }

  /** How many objects an indexer filed under `key`. */
  count(index: string, key: string): number {
    return this.#cache.count(index, key);
  }

  /** Calls `handler` for every change from now on, in the tick it arrives in; returns how to stop that. */
  onChange(handler: ChangeHandler<T>): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** Keeps the copy until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) await this.#relist(signal);
        else await this.#watch(this.#resourceVersion, signal);
      } catch (thrown) {
        if (signal.aborted) return;
        await this.#recover(classify(thrown), signal);
      }
    }
  }

  // Page by page into the cache, so that a relist never holds everything twice.
  async #relist(signal: AbortSignal): Promise<void> {
    const { client, resource, selection } = this.#options;
    const seen = new Set<string>();
    let resourceVersion = '';
    this.#options.hooks?.onList?.();
    for await (const page of client.pages<T>(resource, { ...selection, signal })) {
      if (signal.aborted) return;
      this.#alive();
      for (const item of page.items) {
        seen.add(item.metadata.uid);
        this.#upsert(item);
      }
      resourceVersion = page.resourceVersion;
    }
    for (const uid of this.#cache.uids()) if (!seen.has(uid)) this.#remove(uid);
    this.#listedOnce = true;
    this.#resourceVersion = resourceVersion;
    this.#firstSync.resolve();
  }

  async #watch(resourceVersion: string, signal: AbortSignal): Promise<void> {
    const { client, clock, resource, selection = {}, hooks } = this.#options;
    const stalled = new StallDetector(clock, this.#timings.stallMs, signal);
    const opened = clock.monotonic();
    let received = 0;
    try {
      const events = client.watch<T>(resource, selection, {
        resourceVersion,
        timeoutSeconds: this.#watchSeconds(),
        signal: stalled.signal,
        onOpen: () => this.#alive(),
      });
      hooks?.onWatch?.();
      for await (const event of events) {
        if (signal.aborted) return;
        stalled.moved();
        received += 1;
        this.#alive();
        this.#backoffMs = this.#timings.backoffMs[0];
        this.#apply(event);
      }
    } catch (error) {
      if (!stalled.fired) throw error;
      throw new OperatorError('WatchStalled', 'retryable', `nothing came for ${this.#timings.stallMs} ms`);
    } finally {
      stalled.stop();
      // One that outlived the longest wait was a good one, also if nothing happened meanwhile: its end is not the
      // next failure in a row.
      if (clock.monotonic() - opened >= this.#timings.backoffMs[1]) this.#backoffMs = this.#timings.backoffMs[0];
    }
    // Whoever ends watches at once and without a word is broken in some way: do not spin.
    if (received === 0 && clock.monotonic() - opened < 1_000) await this.#wait(0, signal);
  }

  async #recover(error: OperatorError, signal: AbortSignal): Promise<void> {
    const { clock, hooks } = this.#options;
    hooks?.onError?.(error.code);
    this.#disconnectedSince ??= clock.now();
    // An outage is news once, not at every attempt.
    this.#log[this.#failing ? 'debug' : 'warn']({ code: error.code, err: error }, 'list or watch failed, trying again');
    this.#failing = true;
    if (isVersionUnusable(error)) this.#resourceVersion = undefined;
    const retryAfterMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
    await this.#wait(retryAfterMs, signal);
  }

  // Decorrelated jitter: each wait is random between the least and three times the one before.
  async #wait(atLeastMs: number, signal: AbortSignal): Promise<void> {
    const { clock, random = Math.random } = this.#options;
    const [least, most] = this.#timings.backoffMs;
    this.#backoffMs = Math.min(most, least + random() * (this.#backoffMs * 3 - least));
    const asked = atLeastMs === 0 ? 0 : Math.min(longestRetryAfterMs, atLeastMs) * (1 + random() / 10);
    await pause(clock, Math.max(this.#backoffMs, asked), signal);
  }

  #apply(event: WatchEvent<T>): void {
    if (event.type === 'BOOKMARK') this.#options.hooks?.onEvent?.('bookmark');
    else if (event.type === 'DELETED') this.#remove(event.object.metadata.uid, event.object);
    else this.#upsert(event.object);
    this.#resourceVersion = event.object.metadata.resourceVersion;
  }

  #upsert(object: T): void {
    const { uid, namespace, name, resourceVersion } = object.metadata;
    const namesake = this.#cache.getByName(namespace, name);
    if (namesake !== undefined && namesake.metadata.uid !== uid) this.#remove(namesake.metadata.uid);
    const previous = this.#cache.get(uid);
    if (previous?.metadata.resourceVersion === resourceVersion) return;
    const kept = this.#kept(object);
    this.#cache.set(kept);
    this.#tell(previous === undefined ? 'added' : 'modified', kept, previous);
  }

  // The last state, when the server sent it: it carries the deletion timestamp.
  #remove(uid: string, last?: T): void {
    const previous = this.#cache.delete(uid);
    if (previous !== undefined) this.#tell('deleted', last === undefined ? previous : this.#kept(last), previous);
  }

  #kept(object: T): T {
    const slim = withoutManagedFields(object);
    return this.#options.transform?.(slim) ?? slim;
  }

  #tell(type: ChangeType, object: T, previous: T | undefined): void {
    this.#options.hooks?.onEvent?.(type);
    for (const handler of this.#handlers) {
      try {
        handler(type, object, previous, !this.#listedOnce);
      } catch (error) {
        this.#log.error({ err: error, uid: object.metadata.uid }, 'a handler threw; the cache goes on');
      }
    }
  }

  #alive(): void {
    const now = this.#options.clock.now();
    if (this.#failing) this.#log.info({ awayMs: now - (this.#disconnectedSince ?? now) }, 'list or watch works again');
    this.#failing = false;
    this.#lastActivity = now;
    this.#disconnectedSince = undefined;
  }

  #watchSeconds(): number {
    const { random = Math.random } = this.#options;
    const [least, most] = this.#timings.watchSeconds;
    return Math.round(least + random() * (most - least));
  }
}

// The server has forgotten the version, or (restored from a backup) has never heard of it, or it is none.
function isVersionUnusable(error: OperatorError): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status === 410 || error.status === 400 || error.causes.includes('ResourceVersionTooLarge');
}

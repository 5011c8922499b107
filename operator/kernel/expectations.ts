import type { Clock } from './clock.ts';

const expiryMs = 5 * 60_000;

/**
 * What each owner has asked of the API server and not yet seen in the cache. While something is
 * outstanding the cache is stale for that owner and deciding on it would create twice or delete a
 * second one. Creates are known by name, deletes by UID; each is forgotten after five minutes, in
 * case its watch event never comes.
 */
export class Expectations {
  readonly #clock: Clock;
  readonly #byOwner = new Map<string, Map<string, number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call before the POST; `cancelCreate` when it failed. */
  expectCreate(owner: string, name: string): void {
    this.#expect(owner, `create/${name}`);
  }

  /** Call before the DELETE; `cancelDelete` when it failed. */
  expectDelete(owner: string, uid: string): void {
    this.#expect(owner, `delete/${uid}`);
  }

  cancelCreate(owner: string, name: string): void {
    this.#meet(owner, `create/${name}`);
  }

  cancelDelete(owner: string, uid: string): void {
    this.#meet(owner, `delete/${uid}`);
  }

  /** The cache shows the object (also when it is marked as going: then its deletion was seen too). */
  observed(owner: string, object: { readonly name: string; readonly uid: string; readonly deleting: boolean }): void {
    this.#meet(owner, `create/${object.name}`);
    if (object.deleting) this.#meet(owner, `delete/${object.uid}`);
  }

  /** The object has left the cache. */
  observedGone(owner: string, object: { readonly name: string; readonly uid: string }): void {
    this.#meet(owner, `create/${object.name}`);
    this.#meet(owner, `delete/${object.uid}`);
  }

  /** True when nothing is outstanding: the cache may be believed. */
  satisfied(owner: string): boolean {
    return this.expiresInMs(owner) === undefined;
  }

  /** Milliseconds until the last outstanding expectation is given up; undefined when there is none. */
  expiresInMs(owner: string): number | undefined {
    const open = this.#byOwner.get(owner);
    if (open === undefined) return undefined;
    const now = this.#clock.monotonic();
    for (const [what, expires] of open) if (expires <= now) open.delete(what);
    if (open.size > 0) return Math.max(...open.values()) - now;
    this.#byOwner.delete(owner);
    return undefined;
  }

  /** Owners with something outstanding, or not asked about since it expired. */
  get owners(): number {
    return this.#byOwner.size;
  }

  /** The owner is gone. */
  forget(owner: string): void {
    this.#byOwner.delete(owner);
  }

  #expect(owner: string, what: string): void {
    const open = this.#byOwner.get(owner) ?? new Map<string, number>();
    open.set(what, this.#clock.monotonic() + expiryMs);
    this.#byOwner.set(owner, open);
  }

  #meet(owner: string, what: string): void {
    const open = this.#byOwner.get(owner);
    if (open === undefined) return;
    open.delete(what);
    if (open.size === 0) this.#byOwner.delete(owner);
  }
}

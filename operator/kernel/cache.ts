import type { StoredObject } from './object.ts';

/** The keys under which an object is found in an index. */
export type Indexer<T> = (object: T) => readonly string[];

/**
 * Objects by UID, by name and by indexes of the caller's. Everything in it is frozen: readers share
 * one copy, and a reader that writes into it throws.
 */
export class ObjectCache<T extends StoredObject> {
  readonly #byUid = new Map<string, T>();
  readonly #byName = new Map<string, T>();
  readonly #indexers: Readonly<Record<string, Indexer<T>>>;
  readonly #indexes = new Map<string, Map<string, Set<T>>>();

  constructor(indexers: Readonly<Record<string, Indexer<T>>> = {}) {
    this.#indexers = indexers;
    for (const name of Object.keys(indexers)) this.#indexes.set(name, new Map());
  }

  get size(): number {
    return this.#byUid.size;
  }

  get(uid: string): T | undefined {
    return this.#byUid.get(uid);
  }

  getByName(namespace: string | undefined, name: string): T | undefined {
    return this.#byName.get(nameKey(namespace, name));
  }

  list(): readonly T[] {
    return [...this.#byUid.values()];
  }

  uids(): readonly string[] {
    return [...this.#byUid.keys()];
  }

  /** Throws a RangeError for an index that was not declared: a programming mistake. */
  byIndex(index: string, key: string): readonly T[] {
    return [...(this.#entriesOf(index).get(key) ?? [])];
  }

  /** How many `byIndex` would return. */
  count(index: string, key: string): number {
    return this.#entriesOf(index).get(key)?.size ?? 0;
  }

  /** Takes the object in (and freezes it), in the place of an older one with the same UID. */
  set(object: T): void {
    const frozen = deepFreeze(object);
    this.delete(object.metadata.uid);
    this.#byUid.set(object.metadata.uid, frozen);
    this.#byName.set(nameOf(object), frozen);
    this.#eachIndexKey(frozen, (entries, key) => {
      const members = entries.get(key) ?? new Set<T>();
      entries.set(key, members.add(frozen));
    });
  }

  /** Returns what was there. */
  delete(uid: string): T | undefined {
    const object = this.#byUid.get(uid);
    if (object === undefined) return undefined;
    this.#byUid.delete(uid);
    // A namesake may have taken the name already.
    if (this.#byName.get(nameOf(object)) === object) this.#byName.delete(nameOf(object));
    this.#eachIndexKey(object, (entries, key) => {
      const members = entries.get(key);
      members?.delete(object);
      if (members?.size === 0) entries.delete(key);
    });
    return object;
  }

  #entriesOf(index: string): Map<string, Set<T>> {
    const entries = this.#indexes.get(index);
    if (entries === undefined) throw new RangeError(`no index named ${index}`);
    return entries;
  }

  #eachIndexKey(object: T, visit: (entries: Map<string, Set<T>>, key: string) => void): void {
    for (const [name, keysOf] of Object.entries(this.#indexers)) {
      const entries = this.#indexes.get(name);
      if (entries !== undefined) for (const key of keysOf(object)) visit(entries, key);
    }
  }
}

type ManagedFields = readonly { readonly manager?: string; readonly subresource?: string; readonly time?: string }[];

/** The object without `managedFields`, which is half of it; of them only who last wrote the object is kept. */
export function withoutManagedFields<T extends StoredObject>(object: T): T {
  if (!('managedFields' in object.metadata)) return object;
  const { managedFields, ...metadata } = object.metadata;
  const lastManager = lastManagerOf(managedFields as ManagedFields);
  return { ...object, metadata: { ...metadata, ...(lastManager === undefined ? {} : { lastManager }) } };
}

function lastManagerOf(fields: ManagedFields): string | undefined {
  const writers = fields.filter(({ subresource = '' }) => subresource === '');
  const times = writers.map(({ time = '' }) => time).sort();
  // Times are whole seconds: who wrote within the same one cannot be told apart.
  const latest = writers.filter(({ time = '' }) => time === times.at(-1)).flatMap(({ manager }) => manager ?? []);
  return latest.length === 0 ? undefined : [...new Set(latest)].join(', ');
}

function nameOf({ metadata }: StoredObject): string {
  return nameKey(metadata.namespace, metadata.name);
}

function nameKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

function deepFreeze<V>(value: V): V {
  if (value === null || typeof value !== 'object' || Object.isFrozen(value)) return value;
  for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
}

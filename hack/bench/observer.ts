import type { KubeClient } from '../../operator/kernel/client.ts';
import { systemClock } from '../../operator/kernel/clock.ts';
import { silentLogger } from '../../operator/kernel/logger.ts';
import type { ResourceType, StoredObject } from '../../operator/kernel/object.ts';
import { Reflector } from '../../operator/kernel/reflector.ts';

/** One long-lived watch that notes when something was first true of an object, on our clock. */
export class Observer<T extends StoredObject> {
  readonly #reflector: Reflector<T>;

  constructor(client: KubeClient, resource: ResourceType, namespace: string) {
    this.#reflector = new Reflector<T>({
      client,
      resource,
      selection: { namespace },
      clock: systemClock,
      log: silentLogger,
    });
  }

  /** Starts the watch and waits for its first list. */
  async start(signal: AbortSignal): Promise<void> {
    void this.#reflector.run(signal);
    await this.#reflector.whenSynced;
  }

  /** How many objects satisfy `which` now. */
  count(which: (object: T) => boolean): number {
    return this.#reflector.list().filter(which).length;
  }

  /** `performance.now()` of the first moment an object satisfies `when`. Throws after `deadlineMs`. */
  first(what: string, when: (object: T) => boolean, deadlineMs = 60_000): Promise<number> {
    return this.#wait(what, () => this.#reflector.list().some(when), deadlineMs);
  }

  /** The moment `count` objects satisfy `when`, each at least once. */
  many(what: string, when: (object: T) => boolean, count: number, deadlineMs = 60_000): Promise<number> {
    const seen = new Set<string>();
    const note = (object: T) => {
      if (when(object)) seen.add(object.metadata.uid);
    };
    this.#reflector.list().forEach(note);
    const stop = this.#reflector.onChange((_type, object) => note(object));
    const missing = () => `${what} (${seen.size} of ${count})`;
    return this.#wait(missing, () => seen.size >= count, deadlineMs).finally(stop);
  }

  /** The moment no object satisfies `which` any more. */
  none(what: string, which: (object: T) => boolean, deadlineMs = 60_000): Promise<number> {
    return this.#wait(what, () => !this.#reflector.list().some(which), deadlineMs);
  }

  #wait(what: string | (() => string), isTrue: () => boolean, deadlineMs: number): Promise<number> {
    if (isTrue()) return Promise.resolve(performance.now());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        stop();
        reject(new Error(`${typeof what === 'string' ? what : what()}: not seen within ${deadlineMs / 1000} s`));
      }, deadlineMs);
      const stop = this.#reflector.onChange(() => {
        if (!isTrue()) return;
        clearTimeout(timer);
        stop();
        resolve(performance.now());
      });
    });
  }
}

import { randomBytes } from 'node:crypto';
import type { EventAction } from './action.ts';
import { ApiError, hasCode, notLeader, type StatusBody } from './errors.ts';
import { eventBody, events } from './event.ts';
import {
  apiVersionOf,
  type KubernetesObject,
  type ObjectRef,
  type ResourceType,
  refOf,
  type StoredObject,
} from './object.ts';
import { refPath, resourcePath } from './paths.ts';
import { type Method, parse, type Query, type RequestOptions, type Transport } from './transport.ts';

export { microTime } from './event.ts';

export type CallOptions = { readonly signal?: AbortSignal | undefined };

export type Selection = {
  /** All namespaces when absent. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
};

export type ListPage<T> = { readonly items: readonly T[]; readonly resourceVersion: string };

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: { readonly metadata: { readonly resourceVersion: string } } };

export type WatchOptions = CallOptions & {
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
  readonly onOpen?: () => void;
};

/**
 * A status to be written. The resourceVersion is the observed one: by it alone the server (1.36, tried)
 * sees to it that a status never lands on a namesake or over a newer state. It does not compare the UID.
 */
export type StatusUpdate = {
  readonly ref: ObjectRef;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly status: unknown;
};

export type DeleteOptions = CallOptions & { readonly uid: string; readonly gracePeriodSeconds?: number | undefined };

/** Until when one may write. */
export type Fence = {
  /** False at once when it is over, timers late or not. */
  readonly holds: () => boolean;
  /** Aborts when it is over. */
  readonly broken: AbortSignal;
};

export type ClientOptions = {
  /** Our name as a field manager (`openos`); the status is owned by `<name>-status`. */
  readonly fieldManager?: string;
  /** Shown as the source of Events, with `instance` naming the process. */
  readonly reportingController?: string;
  readonly instance?: string;
};

const pageSize = 500;
const applyPatch = 'application/apply-patch+yaml';
const mergePatch = 'application/merge-patch+json';

/**
 * Kubernetes' REST API in raw JSON. Types are what the caller says they are; nothing is dropped or
 * converted. All methods throw OperatorErrors (see Transport).
 */
export class KubeClient {
  readonly #transport: Transport;
  readonly #options: Required<ClientOptions>;
  readonly #fence: Fence | undefined;

  constructor(transport: Transport, options: ClientOptions = {}, fence?: Fence) {
    this.#transport = transport;
    this.#fence = fence;
    this.#options = {
      fieldManager: 'openos',
      reportingController: 'openos.dev/controller',
      instance: 'openos',
      ...options,
    };
  }

  /**
   * The same client behind a fence: when it is down, writes throw NotLeader (conflict) up to the last moment before
   * their bytes leave, and those in flight are given up. What has left already may still be carried out: writes
   * carry a resourceVersion or a UID, or create under a name that is taken then, so that a late one is refused.
   */
  behind(fence: Fence): KubeClient {
    return new KubeClient(this.#transport, this.#options, fence);
  }

  /** The object, or undefined when there is none. */
  async get<T extends StoredObject>(ref: ObjectRef, options: CallOptions = {}): Promise<T | undefined> {
    try {
      return await this.#transport.request<T>('GET', refPath(ref), { ...options, resource: ref.resource.plural });
    } catch (error) {
      if (hasCode(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  /**
   * The objects page by page (500 each), all from one consistent state of the cluster.
   * Throws ApiError Expired when the state is too old for the next page: list again.
   */
  async *pages<T extends StoredObject>(
    resource: ResourceType,
    selection: Selection & CallOptions = {},
  ): AsyncGenerator<ListPage<T>, void, void> {
    const { namespace, labelSelector, fieldSelector, signal } = selection;
    const path = resourcePath(resource, namespace);
    let next: string | undefined;
    do {
      const query = { limit: pageSize, labelSelector, fieldSelector, continue: next };
      const list = await this.#transport.request<RawList<T>>('GET', path, { query, signal, resource: resource.plural });
      const { resourceVersion } = list.metadata;
      next = list.metadata.continue || undefined;
      yield { items: (list.items ?? []).map((item) => withType(item, resource)), resourceVersion };
    } while (next !== undefined);
  }

  /** All objects at once, with the resourceVersion of the list. */
  async list<T extends StoredObject>(
    resource: ResourceType,
    selection: Selection & CallOptions = {},
  ): Promise<ListPage<T>> {
    const items: T[] = [];
    let resourceVersion = '';
    for await (const page of this.pages<T>(resource, selection)) {
      items.push(...page.items);
      resourceVersion = page.resourceVersion;
    }
    return { items, resourceVersion };
  }

  /** POST. Throws ApiError AlreadyExists when the name is taken. */
  create<T extends StoredObject>(
    resource: ResourceType,
    object: KubernetesObject,
    options: CallOptions = {},
  ): Promise<T> {
    const { fieldManager } = this.#options;
    return this.#write('POST', resourcePath(resource, object.metadata.namespace), {
      ...options,
      query: { fieldManager },
      body: object,
      resource: resource.plural,
    });
  }

  /** PUT of the whole object; with `metadata.resourceVersion` it is refused (Conflict) when the object has changed. */
  replace<T extends StoredObject>(resource: ResourceType, object: StoredObject, options: CallOptions = {}): Promise<T> {
    const { fieldManager } = this.#options;
    return this.#write('PUT', refPath(refOf(resource, object)), {
      ...options,
      query: { fieldManager },
      body: object,
      resource: resource.plural,
    });
  }

  /**
   * Server-side apply: exactly the fields given are ours, taken from whoever has them; fields we
   * stop giving go away. Creates the object when it is missing.
   */
  apply<T extends StoredObject>(
    resource: ResourceType,
    object: KubernetesObject,
    options: CallOptions = {},
  ): Promise<T> {
    return this.#write('PATCH', refPath(refOf(resource, object)), {
      ...options,
      query: { fieldManager: this.#options.fieldManager, force: true },
      contentType: applyPatch,
      body: object,
      resource: resource.plural,
    });
  }

  /**
   * PUT of the complete status, as its sole writer: what is left out vanishes. It costs the server a quarter less than
   * an apply; the rest of the object is not in it, and stays with whoever manages it.
   * Throws ApiError Conflict when the object has changed or was replaced by a namesake, NotFound when it is gone.
   */
  updateStatus<T extends StoredObject>(update: StatusUpdate, options: CallOptions = {}): Promise<T> {
    const { ref, uid, resourceVersion, status } = update;
    const { resource, name, namespace } = ref;
    return this.#write('PUT', `${refPath(ref)}/status`, {
      ...options,
      query: { fieldManager: `${this.#options.fieldManager}-status` },
      body: {
        apiVersion: apiVersionOf(resource),
        kind: resource.kind,
        metadata: { name, ...(namespace !== undefined && { namespace }), uid, resourceVersion },
        status,
      },
      resource: `${resource.plural}/status`,
    });
  }

  /**
   * DELETE of exactly this UID. `gone`: it was not there any more, another object has its name, or
   * the server is at it already. Children go in the background. Needs the right to `get` as well.
   */
  async delete(ref: ObjectRef, options: DeleteOptions): Promise<'deleted' | 'gone'> {
    const { uid, gracePeriodSeconds, signal } = options;
    try {
      await this.#write('DELETE', refPath(ref), {
        signal,
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          preconditions: { uid },
          propagationPolicy: 'Background',
          ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
        },
        resource: ref.resource.plural,
      });
      return 'deleted';
    } catch (error) {
      if (hasCode(error, 'NotFound')) return 'gone';
      if (!hasCode(error, 'Conflict')) throw error;
      // Only the UID was a condition, but a conflict has other causes too: look before calling it done.
      const standing = await this.get(ref, { signal });
      const isUntouched = standing?.metadata.uid === uid && standing.metadata.deletionTimestamp === undefined;
      if (isUntouched) throw error;
      return 'gone';
    }
  }

  /** Sets the list of finalizers if the object still is at `resourceVersion`; else throws ApiError Conflict. */
  async setFinalizers(
    ref: ObjectRef,
    finalizers: readonly string[],
    resourceVersion: string,
    options: CallOptions = {},
  ): Promise<void> {
    await this.#write('PATCH', refPath(ref), {
      ...options,
      query: { fieldManager: this.#options.fieldManager },
      contentType: mergePatch,
      body: { metadata: { finalizers, resourceVersion } },
      resource: ref.resource.plural,
    });
  }

  /**
   * What changes after `resourceVersion`, as it arrives, until the server ends the watch.
   * Throws ApiError Expired when the version is too old, and what Transport throws.
   */
  async *watch<T extends StoredObject>(
    resource: ResourceType,
    selection: Selection,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>, void, void> {
    const { namespace, labelSelector, fieldSelector } = selection;
    const { resourceVersion, timeoutSeconds, signal, onOpen } = options;
    const path = resourcePath(resource, namespace);
    const query: Query = {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion,
      timeoutSeconds,
      labelSelector,
      fieldSelector,
    };
    const lines = this.#transport.lines(path, {
      query,
      signal,
      resource: resource.plural,
      ...(onOpen !== undefined && { onOpen }),
    });
    for await (const line of lines) {
      const event = parse<WatchEvent<T> | { readonly type: 'ERROR'; readonly object: StatusBody }>(line, path);
      if (event.type === 'ERROR') throw new ApiError(`WATCH ${path}`, event.object.code ?? 500, event.object);
      yield event;
    }
  }

  /** Writes an Event as `kubectl describe` shows it, in the namespace of what it is about. */
  async createEvent(event: EventAction, options: CallOptions = {}): Promise<void> {
    const body = eventBody(event, { ...this.#options, name: randomBytes(8).toString('hex'), now: Date.now() });
    await this.#write('POST', resourcePath(events, body.metadata.namespace), {
      ...options,
      body,
      resource: events.plural,
    });
  }

  #write<T>(method: Method, path: string, options: RequestOptions): Promise<T> {
    const fence = this.#fence;
    if (fence === undefined) return this.#transport.request(method, path, options);
    const signal = options.signal ? AbortSignal.any([options.signal, fence.broken]) : fence.broken;
    return this.#transport.request(method, path, { ...options, signal, permit: () => refuseBehind(fence) });
  }

  /** Such as `v1.36.3`. */
  async serverVersion(options: CallOptions = {}): Promise<string> {
    const { gitVersion } = await this.#transport.request<{ readonly gitVersion: string }>('GET', '/version', options);
    return gitVersion;
  }

  close(): Promise<void> {
    return this.#transport.close();
  }
}

function refuseBehind(fence: Fence): void {
  if (!fence.holds()) throw notLeader();
}

type RawList<T> = {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly T[] | null;
};

// The items of a built-in kind's list carry no apiVersion and kind.
function withType<T extends StoredObject>(item: T, resource: ResourceType): T {
  if (item.kind !== undefined && item.apiVersion !== undefined) return item;
  return { ...item, apiVersion: apiVersionOf(resource), kind: resource.kind };
}

import type { KubeClient } from '../kernel/client.ts';
import { hasCode } from '../kernel/errors.ts';
import type { ResourceType, StoredObject } from '../kernel/object.ts';
import { eventually } from './eventually.ts';

export type Change<T> = { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T };

/** Every version of one object from now on, as a watch tells it: nothing in between is missed. */
export type Changes<T> = {
  /** What was seen so far. */
  all(): readonly Change<T>[];
  types(): readonly string[];
  /** Resolves when what the object is now has been seen. */
  caughtUp(): Promise<void>;
  stop(): void;
};

/** Begins to watch the object of this name, which need not exist yet. */
export async function watchChanges<T extends StoredObject>(
  client: KubeClient,
  resource: ResourceType,
  namespace: string,
  name: string,
): Promise<Changes<T>> {
  const selection = { namespace, fieldSelector: `metadata.name=${name}` };
  const list = await client.list(resource, selection);
  const versions = new Set(list.items.map((item) => item.metadata.resourceVersion));
  const changes: Change<T>[] = [];
  const ended = new AbortController();
  const opened = Promise.withResolvers<void>();
  let resourceVersion = list.resourceVersion;
  const collect = async () => {
    const options = { resourceVersion, timeoutSeconds: 600, signal: ended.signal, onOpen: opened.resolve };
    for await (const event of client.watch<T>(resource, selection, options)) {
      resourceVersion = event.object.metadata.resourceVersion;
      if (event.type === 'BOOKMARK') continue;
      changes.push(event);
      versions.add(resourceVersion);
    }
  };
  void (async () => {
    // Goes on where it was when the API server was away; a version it has forgotten would be a gap, and ends it.
    while (!ended.signal.aborted) {
      const error: unknown = await collect().catch((thrown: unknown) => thrown);
      if (hasCode(error, 'Expired')) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  await opened.promise;
  return {
    all: () => changes,
    types: () => changes.map(({ type }) => type),
    caughtUp: async () => {
      const now = await client.get({ resource, namespace, name });
      const version = now?.metadata.resourceVersion;
      await eventually(`version ${version} of ${name} is seen`, () => version === undefined || versions.has(version));
    },
    stop: () => ended.abort(),
  };
}

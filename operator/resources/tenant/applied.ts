import type { KubernetesObject, ObjectRef, ResourceType, StoredObject } from '../../kernel/object.ts';
import { type ObservedChild, sameContent } from './children.ts';

type Applied = { readonly wanted: KubernetesObject; readonly answer: StoredObject };

/**
 * What the API server made of each object we applied. It adds defaults and writes `0.5` as `500m`, so what stands
 * there differs from what we asked for though nobody touched it; this is how the two are told apart. Lost with the
 * process: the first pass of a new leader applies such objects once more, which changes nothing.
 */
export class AppliedChildren {
  readonly #applied = new Map<string, Applied>();

  remember(resource: ResourceType, wanted: KubernetesObject, answer: StoredObject): void {
    this.#applied.set(keyOf(resource, answer.metadata.namespace, answer.metadata.name), { wanted, answer });
  }

  /** The child as a decision sees it: the newer of cache and answer, and what it was made from, if nobody edited it. */
  look(resource: ResourceType, cached: StoredObject): ObservedChild {
    const applied = this.#applied.get(keyOf(resource, cached.metadata.namespace, cached.metadata.name));
    if (applied === undefined || applied.answer.metadata.uid !== cached.metadata.uid)
      return { resource, object: cached };
    const object = isOlder(cached, applied.answer) ? applied.answer : cached;
    if (!sameContent(object, applied.answer)) return { resource, object };
    return { resource, object, appliedFrom: applied.wanted };
  }

  /** A child that we deleted. */
  forget({ resource, namespace = '', name }: ObjectRef): void {
    this.#applied.delete(keyOf(resource, namespace, name));
  }
}

function keyOf({ plural }: ResourceType, namespace: string | undefined, name: string): string {
  return `${plural}/${namespace ?? ''}/${name}`;
}

/** Versions of one resource are ordered numbers (Kubernetes 1.35, KEP-5504). */
function isOlder(a: StoredObject, b: StoredObject): boolean {
  return BigInt(a.metadata.resourceVersion) < BigInt(b.metadata.resourceVersion);
}

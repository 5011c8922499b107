import { isDeepStrictEqual } from 'node:util';
import type { KubernetesObject, ObjectRef, ResourceType, StoredObject } from '../kernel/object.ts';

/** Objects that we converge by server-side apply: those of a Tenant in its namespaces, and an Agent's NetworkPolicy. */

export type ObservedChild = {
  readonly resource: ResourceType;
  readonly object: StoredObject;
  /** What we applied when the server made exactly this of it: it fills in defaults and writes amounts its own way. */
  readonly appliedFrom?: KubernetesObject;
  /** This process has never applied it: whether it differs by what the server fills in alone is not known yet. */
  readonly isUnproven?: true;
};

/** Whether the two say the same apart from metadata and status. */
export function sameContent(left: KubernetesObject, right: KubernetesObject): boolean {
  return isDeepStrictEqual(contentOf(left), contentOf(right));
}

/** Whether nothing we care about changed from one version of a child to the next: its status at most. */
export function isUnedited(previous: StoredObject, current: StoredObject): boolean {
  const seen = ({ metadata }: StoredObject) => [metadata.uid, metadata.labels, metadata.deletionTimestamp];
  return sameContent(previous, current) && isDeepStrictEqual(seen(previous), seen(current));
}

/** Whether nothing has to be applied: it stands as wanted, or as the server made it of what is wanted. */
export function isInOrder(wanted: KubernetesObject, { object, appliedFrom }: ObservedChild): boolean {
  if (object.metadata.deletionTimestamp !== undefined) return false;
  const labelled = Object.entries(wanted.metadata.labels ?? {}).every(
    ([key, value]) => object.metadata.labels?.[key] === value,
  );
  return labelled && (sameContent(wanted, object) || isDeepStrictEqual(wanted, appliedFrom));
}

function contentOf(object: KubernetesObject): Readonly<Record<string, unknown>> {
  const { apiVersion, kind, metadata, status, ...content } = object as KubernetesObject & { readonly status?: unknown };
  return content;
}

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
    if (applied === undefined) return { resource, object: cached, isUnproven: true };
    if (applied.answer.metadata.uid !== cached.metadata.uid) return { resource, object: cached };
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

import type { V1NodeRuntimeHandler } from '@kubernetes/client-node';
import type { StoredObject } from '../kernel/object.ts';

export type RuntimeClassObject = StoredObject & { readonly handler?: string };
export type NodeObject = StoredObject & {
  readonly status?: { readonly runtimeHandlers?: readonly V1NodeRuntimeHandler[] };
};

/**
 * The handler of a RuntimeClass when no node offers it: a pod of it would hang in ContainerCreating on any of them.
 * Nodes that do not say what they offer (kubelets before 1.30) get the benefit of the doubt, and so does a cluster
 * without nodes: an autoscaler may bring one.
 */
export function missingHandler(runtimeClass: RuntimeClassObject, nodes: readonly NodeObject[]): string | undefined {
  const { handler } = runtimeClass;
  if (handler === undefined || nodes.length === 0) return undefined;
  const possible = nodes.some(({ status }) => {
    const offered = status?.runtimeHandlers ?? [];
    return offered.length === 0 || offered.some(({ name }) => name === handler);
  });
  return possible ? undefined : handler;
}

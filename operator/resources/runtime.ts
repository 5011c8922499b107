import type { V1NodeCondition, V1NodeRuntimeHandler, V1Taint } from '@kubernetes/client-node';
import type { StoredObject } from '../kernel/object.ts';

export type RuntimeClassObject = StoredObject & { readonly handler?: string };
export type NodeObject = StoredObject & {
  readonly spec?: { readonly taints?: readonly Pick<V1Taint, 'key' | 'effect'>[] };
  readonly status?: {
    readonly runtimeHandlers?: readonly V1NodeRuntimeHandler[];
    readonly conditions?: readonly Pick<V1NodeCondition, 'type' | 'status'>[];
  };
};

/** NotReady: it does not answer, its pods may run on. Lost: they have certainly ended. */
export type NodeTrouble = 'NotReady' | 'Lost';

/** By this taint someone says that the node is off and its pods have ended (non-graceful node shutdown). */
const outOfService = 'node.kubernetes.io/out-of-service';

/** What is wrong with a node that is there; one that is gone is Lost, too. */
export function troubleOf({ spec, status }: NodeObject): NodeTrouble | undefined {
  if (spec?.taints?.some(({ key }) => key === outOfService) === true) return 'Lost';
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return ready === undefined || ready.status === 'True' ? undefined : 'NotReady';
}

/** A node's status is large and changes all the time; of it we ask three things. */
export function withoutUsage({ apiVersion, kind, metadata, spec, status }: NodeObject): NodeObject {
  const taints = spec?.taints?.filter(({ key }) => key === outOfService) ?? [];
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return {
    apiVersion,
    kind,
    metadata,
    ...(taints.length === 0 ? {} : { spec: { taints } }),
    status: {
      ...(status?.runtimeHandlers === undefined ? {} : { runtimeHandlers: status.runtimeHandlers }),
      ...(ready === undefined ? {} : { conditions: [{ type: ready.type, status: ready.status }] }),
    },
  };
}

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

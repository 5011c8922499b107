import type { V1Pod } from '@kubernetes/client-node';
import { aContainerStatus, aPod, aWaitingContainer } from '../builders.ts';
import { isUsable, type ModelClaim } from './claim-model.ts';
import { specs } from './state.ts';

/** One pod as the cluster holds it. */
export type ModelPod = {
  readonly name: string;
  readonly uid: string;
  readonly image: string;
  readonly createdAt: number;
  /** The operator's cache shows it. */
  readonly seen: boolean;
  /** The operator that runs knows that it asked for it. */
  readonly expected?: boolean;
  /** Made by a request that arrived after its sender had been killed. */
  readonly late: boolean;
  /** Uses the claim. */
  readonly mounts?: boolean;
  readonly deleting?: boolean;
  readonly scheduled?: boolean;
  readonly started?: boolean;
  readonly crashing?: boolean;
  readonly failed?: boolean;
  readonly succeeded?: boolean;
  readonly disrupted?: boolean;
  readonly nodeLost?: boolean;
  readonly readySince?: number | undefined;
};

type PodMove = { readonly name: string; readonly to: ModelPod | undefined };

/** What scheduler, kubelet and garbage collector do next with a pod, each at its own time; undefined: it is gone. */
export function podMoves(pod: ModelPod, now: number, claims: readonly ModelClaim[] = []): readonly PodMove[] {
  if (!pod.seen) return [{ name: 'the new pod is seen', to: { ...pod, seen: true } }];
  if (pod.nodeLost && !pod.deleting)
    return [{ name: 'the pod on the lost node is evicted', to: { ...pod, disrupted: true, deleting: true } }];
  if (pod.deleting) return [{ name: 'the pod is gone', to: undefined }];
  if (pod.failed || pod.succeeded || pod.crashing) return [];
  if (pod.mounts && !pod.started && !claims.some(isUsable)) return [];
  if (!pod.scheduled) return [{ name: 'the pod has a node', to: { ...pod, scheduled: true } }];
  if (pod.image === specs.broken.image) return [];
  if (!pod.started) return [{ name: 'the containers start', to: { ...pod, started: true } }];
  const ready = { name: 'the pod is ready', to: { ...pod, readySince: now } };
  const ends = { name: 'the program ends', to: { ...pod, succeeded: true, readySince: undefined } };
  return [...(pod.readySince === undefined ? [ready] : []), ...(pod.image === specs.job.image ? [ends] : [])];
}

export function podObject(pod: ModelPod): V1Pod {
  const { name, uid, createdAt, readySince } = pod;
  const containers = pod.crashing
    ? [aWaitingContainer('CrashLoopBackOff', { restartCount: 3 })]
    : [aContainerStatus({ ready: readySince !== undefined })];
  const waiting = [aWaitingContainer('ContainerCreating')];
  const object = aPod({
    name,
    uid,
    createdAt,
    deleting: pod.deleting ?? false,
    scheduled: pod.scheduled ?? false,
    ...(pod.failed ? { phase: 'Failed' } : {}),
    ...(pod.succeeded ? { phase: 'Succeeded' } : {}),
    ...(pod.scheduled ? { containers: pod.started ? containers : waiting } : {}),
    ...(readySince === undefined ? {} : { readySince }),
  });
  if (!pod.disrupted) return object;
  const conditions = [...(object.status?.conditions ?? []), { type: 'DisruptionTarget', status: 'True' }];
  return { ...object, status: { ...object.status, conditions } };
}

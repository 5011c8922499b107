import type { V1ContainerState, V1ContainerStatus, V1Pod, V1PodCondition } from '@kubernetes/client-node';
import type { Agent } from '../../api/v1alpha1/agent.ts';
import type { AgentReason } from '../../api/v1alpha1/reasons.ts';
import type { ObservedChild } from '../children.ts';
import type { QuotaRoom } from '../quota.ts';
import type { NodeTrouble } from '../runtime.ts';
import { isDrained, type Tenancy } from '../tenancy.ts';
import { type Attempt, attemptOf, recoveryOf } from './attempt.ts';
import { type ClaimObject, emptyClaims } from './claims.ts';
import { type AgentHistory, lastRow } from './history.ts';
import { isSessionOver } from './lifecycle.ts';
import { specHash } from './pod.ts';

/** One frozen look at everything a decision about an Agent needs. */
export type AgentObserved = {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** The object as it stands on the API server; undefined when it is gone or on its way out. */
  readonly agent: Agent | undefined;
  /** Why the spec cannot be acted on, in words for its author; the object is then not to be trusted. */
  readonly invalid?: string;
  readonly tenancy: Tenancy;
  /** `missingHandler`: no node offers this handler of it. */
  readonly runtimeClass: {
    readonly name: string;
    readonly exists: boolean;
    readonly missingHandler?: string /** What the Tenant allows instead, when it does not allow this one. */;
    readonly allowedInstead?: readonly string[];
  };
  /** What the tenant's quota leaves; absent where it bounds nothing, or cannot be read now. */
  readonly quota?: QuotaRoom;
  /** Every pod whose controller is this Agent's UID. */
  readonly pods: readonly V1Pod[];
  /** A create was sent and its pod has not been seen yet. */
  readonly podOnItsWay: boolean;
  /** The name of a pod that is gone and that the cluster took away, while that is remembered. */
  readonly evictedPod?: string;
  /** What is wrong with the nodes of these pods, by name; those in order are left out. */
  readonly nodes: Readonly<Record<string, NodeTrouble>>;
  /** Claims made for an Agent of this name; none once another one has it. */
  readonly claims: readonly ClaimObject[];
  /** Its own NetworkPolicy, as it stands. */
  readonly policy?: ObservedChild;
  readonly history: AgentHistory;
  readonly brokerAvailable: boolean;
  /** Why published events are not acknowledged, of any agent. */
  readonly ackObstacle?: { readonly reason: string; readonly message: string };
  /** How many Agents show nothing yet, in the whole cluster; none when left out. */
  readonly unshown?: number;
  /** W3C traceparent of this agent's life: the recorded one, or a new one for its first pass. */
  readonly traceparent: string;
};

/** What the machine's guards look at: plain answers, no object in sight. */
export type AgentFacts = {
  readonly absent: boolean;
  readonly podsGone: boolean;
  /** No claim is left that a deleted Agent never got to use. */
  readonly claimsGone: boolean;
  /** It is there, and nothing stands in the way of starting: tenant, runtime class, a spec we act on in full. */
  readonly admitted: boolean;
  /** The pod of this attempt is not what the spec asks for. */
  readonly specOutdated: boolean;
  /** The same, and nothing stands in the way of another pod. */
  readonly specChanged: boolean;
  /** The user wants no pod for now. */
  readonly suspendWanted: boolean;
  /** Suspending is recorded: it is carried to its end, wanted or not. */
  readonly suspendBegun: boolean;
  /** A deadline of spec.lifecycle has passed and the Agent is to be kept. */
  readonly sessionExpired: boolean;
  /** The program has ended well, and its restart policy lets it rest. */
  readonly podSucceeded: boolean;
  readonly retryDue: boolean;
  readonly attemptsLeft: boolean;
  readonly startDeadlinePassed: boolean;
  /** Why the pod of this attempt cannot go on. */
  readonly podTrouble: AgentReason | undefined;
  /** What keeps the pod from becoming Ready, when it says so. */
  readonly waitingFor: AgentReason | undefined;
  readonly podScheduled: boolean;
  readonly containerStarted: boolean;
  readonly podReady: boolean;
  readonly readyLongEnough: boolean;
};

const imagePullReasons = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'ImageInspectError',
  'RegistryUnavailable',
]);

/** Whether the container waits for an image that cannot be had. */
export function isImagePullFailing(status: V1ContainerStatus): boolean {
  return imagePullReasons.has(status.state?.waiting?.reason ?? '');
}

/** After a crash loop a pod has to stay Ready this long before we believe it. */
export const crashLoopProbationMs = 10_000;

export function podCondition(pod: V1Pod | undefined, type: string): V1PodCondition | undefined {
  return pod?.status?.conditions?.find((condition) => condition.type === type);
}

export function isPodReady(pod: V1Pod | undefined): boolean {
  return pod?.metadata?.deletionTimestamp === undefined && podCondition(pod, 'Ready')?.status === 'True';
}

/** Milliseconds since the epoch of a timestamp as raw JSON carries it. */
export function timeOf(value: Date | string | undefined): number | undefined {
  return value === undefined ? undefined : new Date(value).getTime();
}

/** The facts of one pass. `now` is in milliseconds since the epoch. */
export function agentFacts(observed: AgentObserved, admitted: boolean, now: number): AgentFacts {
  const attempt = attemptOf(observed, now);
  const pod = attempt.pod;
  const main = pod?.status?.containerStatuses ?? [];
  const statuses = [...(pod?.status?.initContainerStatuses ?? []), ...main];
  const usable = observed.invalid === undefined ? observed.agent?.spec : undefined;
  // An attempt that was adopted from the stream says its spec by its pod; without one the spec that stands will make it.
  const isSpecKnown = attempt.start === undefined || attempt.specHash !== undefined;
  const specOutdated = usable !== undefined && isSpecKnown && attempt.specHash !== specHash(usable);
  const podReady = isPodReady(pod);
  const readySince = timeOf(podCondition(pod, 'Ready')?.lastTransitionTime);
  return {
    absent: observed.agent === undefined,
    podsGone: observed.pods.length === 0 && !observed.podOnItsWay,
    claimsGone: observed.agent !== undefined || emptyClaims(observed, observed.claims).length === 0,
    admitted: admitted && observed.agent !== undefined,
    specOutdated,
    specChanged: admitted && specOutdated && !isSessionOver(observed, now),
    suspendWanted: usable !== undefined && (usable.operatingMode === 'Suspended' || isDrained(observed.tenancy)),
    suspendBegun: lastRow(observed.history)?.to === 'Suspending',
    sessionExpired: usable?.lifecycle?.shutdownPolicy !== 'Delete' && isSessionOver(observed, now),
    podSucceeded: pod?.status?.phase === 'Succeeded' && (usable?.restartPolicy ?? 'Always') !== 'Always',
    retryDue: admitted && attempt.retryFailedAt !== undefined && now >= attempt.retryFailedAt,
    attemptsLeft: attempt.number <= recoveryOf(observed.agent?.spec).backoffLimit || isDisrupted(observed, attempt),
    startDeadlinePassed: attempt.deadline !== undefined && now >= attempt.deadline,
    podTrouble: observed.podOnItsWay ? undefined : podTrouble(observed, attempt, statuses),
    waitingFor: podReady ? undefined : waitingFor(observed, pod, statuses),
    podScheduled: isScheduled(pod),
    containerStarted: main.some(hasStarted),
    podReady,
    readyLongEnough:
      !isProbation(attempt.reason) || (readySince !== undefined && now >= readySince + crashLoopProbationMs),
  };
}

/** Whether an attempt begun for this reason has to prove itself: a container that keeps ending is Ready in between. */
export function isProbation(reason: string | undefined): boolean {
  return reason === 'CrashLoop' || reason === 'OutOfMemory';
}

/**
 * The cluster took the pod away (drain, preemption, taint), or the node with it: that is not the agent's failure and
 * uses no attempt up.
 */
export function isDisrupted({ evictedPod, nodes }: AgentObserved, { pod, podName }: Attempt): boolean {
  if (pod === undefined) return podName !== undefined && podName === evictedPod;
  return isTakenAway(pod) || nodeTrouble(nodes, pod) === 'Lost';
}

/** Whether the cluster says that it takes the pod away. */
export function isTakenAway(pod: V1Pod | undefined): boolean {
  return podCondition(pod, 'DisruptionTarget')?.status === 'True';
}

/** What is wrong with the node of the pod. */
export function nodeTrouble(nodes: AgentObserved['nodes'], pod: V1Pod | undefined): NodeTrouble | undefined {
  return nodes[pod?.spec?.nodeName ?? ''];
}

/**
 * A pod that has a node is scheduled, whatever its condition says: a scheduler whose binding was stored while the
 * answer got lost takes it for a failure and writes PodScheduled=False over it.
 */
function isScheduled(pod: V1Pod | undefined): boolean {
  return pod?.spec?.nodeName !== undefined || podCondition(pod, 'PodScheduled')?.status === 'True';
}

function hasStarted(status: V1ContainerStatus): boolean {
  return status.state?.running !== undefined || status.state?.terminated !== undefined || status.restartCount > 0;
}

function podTrouble(
  observed: AgentObserved,
  attempt: Attempt,
  statuses: readonly V1ContainerStatus[],
): AgentReason | undefined {
  const { pod } = attempt;
  if (pod === undefined) return isDisrupted(observed, attempt) ? 'Evicted' : 'PodLost';
  const node = nodeTrouble(observed.nodes, pod);
  const isLeaving = pod.metadata?.deletionTimestamp !== undefined;
  if (node === 'Lost' || (node === 'NotReady' && isLeaving)) return 'NodeLost';
  const hasEnded = pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
  const isEvicted = pod.status?.reason === 'Evicted' || isTakenAway(pod);
  if (isEvicted && (isLeaving || hasEnded)) return 'Evicted';
  if (isLeaving) return 'PodLost';
  if (hasEnded) return statuses.some(({ state }) => isOutOfMemory(state)) ? 'OutOfMemory' : 'PodFailed';
  const looping = statuses.filter((status) => status.state?.waiting?.reason === 'CrashLoopBackOff');
  if (looping.length === 0) return undefined;
  return looping.some(({ lastState }) => isOutOfMemory(lastState)) ? 'OutOfMemory' : 'CrashLoop';
}

/** The kernel killed it for what it used. The code says nothing: 137 is any kill, and of a gVisor sandbox it is 128 (tried). */
function isOutOfMemory(state: V1ContainerState | undefined): boolean {
  return state?.terminated?.reason === 'OOMKilled';
}

const notCreatedReasons = new Set(['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError']);

/** Whether the node cannot make the container: a Secret it names is missing, a command is not there, … */
export function isNotCreated(status: V1ContainerStatus): boolean {
  return notCreatedReasons.has(status.state?.waiting?.reason ?? '');
}

function waitingFor(
  observed: AgentObserved,
  pod: V1Pod | undefined,
  statuses: readonly V1ContainerStatus[],
): AgentReason | undefined {
  if (nodeTrouble(observed.nodes, pod) !== undefined) return 'NodeLost';
  const scheduled = podCondition(pod, 'PodScheduled');
  if (!isScheduled(pod) && scheduled?.reason === 'Unschedulable') return 'Unschedulable';
  if (statuses.some(isImagePullFailing)) return 'ImagePullFailed';
  return statuses.some(isNotCreated) ? 'ContainerNotCreated' : undefined;
}

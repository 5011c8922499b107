import type { V1ContainerState } from '@kubernetes/client-node';
import type { Agent } from '../../api/v1alpha1/agent.ts';
import type { AgentPhase } from '../../api/v1alpha1/phases.ts';
import type { AgentReason } from '../../api/v1alpha1/reasons.ts';
import type { Attempt } from './attempt.ts';
import type { Blocker } from './blockers.ts';
import { type AgentFacts, type AgentObserved, isImagePullFailing, isNotCreated, podCondition } from './facts.ts';
import { type AgentRow, isOut } from './history.ts';
import type { RecordedPhase } from './machine.ts';

/** What people read of an agent first. */
export type Shown = { readonly phase: AgentPhase; readonly reason: AgentReason; readonly message: string };

/** Phases that an agent passes through by itself. */
export const moving: ReadonlySet<AgentPhase> = new Set<AgentPhase>([
  'Pending',
  'Created',
  'Scheduled',
  'Starting',
  'Recovering',
  'Replacing',
  'Suspending',
]);

/** True while the gate holds Ready back: its event is required to be out and is not. */
function awaitsPublish(row: AgentRow, agent: Agent): boolean {
  if (row.to !== 'Ready' || isOut(row) || isToldAgain(row, agent)) return false;
  // A spec that cannot be used may be anything at all.
  return agent.spec?.events?.readinessGate !== 'BestEffort';
}

/**
 * The gate has let this very row pass, under the spec that stands: its event was out, and is to be published once more
 * because the stream lost it or somebody replays it. That is no news of the pod.
 */
function isToldAgain({ seq }: AgentRow, { metadata, status }: Agent): boolean {
  const isCurrent = status?.observedGeneration === metadata.generation;
  return isCurrent && status?.reason === 'AgentReady' && status.consistency?.sequence === seq;
}

/** Phase, reason and message: the summary for people. Conditions are the contract. */
export function summary(
  { history }: AgentObserved,
  agent: Agent,
  attemptPod: Attempt['pod'],
  blocker: Blocker | undefined,
  facts: AgentFacts,
): Shown {
  if (history.kind === 'unavailable') return withoutRecord(agent);
  const { last } = history;
  if (last === undefined) {
    return {
      phase: 'Pending',
      reason: blocker?.reason ?? 'PodNotReady',
      message: blocker?.message ?? 'About to be created.',
    };
  }
  const awaits = awaitsPublish(last, agent);
  const phase = awaits ? (last.from as RecordedPhase) : last.to;
  // A Ready pod stays Ready whatever keeps another from starting, as long as it is what the spec asks for.
  const isWish = last.to === 'Suspended' && agent.spec?.operatingMode === 'Suspended';
  const needsPod = last.to !== 'Ready' && last.to !== 'Completed' && !isWish;
  if (blocker !== undefined && (blocker.onlyByUser || needsPod || facts.specOutdated)) {
    return { phase, reason: blocker.reason, message: blocker.message };
  }
  if (awaits) {
    return {
      phase,
      reason: 'AwaitingEventPublish',
      message: 'The pod is Ready; the Agent follows as soon as its agent.ready event is on the stream.',
    };
  }
  return { phase, ...explanation(attemptPod, last, facts) };
}

/** Nothing can be recorded: an agent that is Ready stays so, one that never started waits. */
function withoutRecord({ metadata, status }: Agent): Shown {
  const message = 'The database cannot be reached; nothing new is started until it is back.';
  if (status?.phase === undefined) return { phase: 'Pending', reason: 'DatabaseUnavailable', message };
  // Only of the spec that was judged: what a new one asks for is not known to run.
  const stands = status.reason === 'AgentReady' && status.observedGeneration === metadata.generation;
  if (stands) return { phase: status.phase, reason: 'AgentReady', message: status.message ?? 'The agent runs.' };
  return { phase: status.phase, reason: 'DatabaseUnavailable', message };
}

function explanation(pod: Attempt['pod'], last: AgentRow, { waitingFor }: AgentFacts): Omit<Shown, 'phase'> {
  if (last.to === 'Ready') return { reason: 'AgentReady', message: 'The agent runs.' };
  if (last.to === 'Suspended') {
    return { reason: 'Suspended', message: 'Held without a pod; set operatingMode to Running to go on.' };
  }
  if (last.to === 'Completed') {
    const over = last.reason === 'SessionExpired';
    const message = over
      ? 'Its session is over; create the Agent again for another.'
      : 'The program ended with code 0.';
    return { reason: last.reason as AgentReason, message };
  }
  if (last.to === 'Failed') {
    const message = `Gave up after ${last.attempt} ${last.attempt === 1 ? 'try' : 'tries'}. Fix the cause (status.lastFailureReason, kubectl describe) and change the spec; if status.nextRetryTime is set it is tried again then.`;
    return { reason: last.reason as AgentReason, message };
  }
  if (waitingFor !== undefined) return { reason: waitingFor, message: waitingMessage(pod, waitingFor) };
  if (last.to === 'Recovering' && last.reason !== 'Retrying') {
    return {
      reason: last.reason as AgentReason,
      message: `${endings[last.reason as AgentReason] ?? 'The last pod did not work out'}; try ${last.attempt} is next.`,
    };
  }
  return { reason: 'PodNotReady', message: endedMessage(pod) ?? phaseMessages[last.to] ?? 'The pod is not Ready.' };
}

/** How the last pod ended, where there is more to say than the reason does. */
const endings: Readonly<Partial<Record<AgentReason, string>>> = {
  OutOfMemory: 'The last pod was killed for using more memory than its limit; raise resources.limits.memory',
  Evicted: 'The cluster took the last pod away',
  NodeLost: 'The node of the last pod is lost; another is made once that one has certainly ended',
  PodLost: 'The last pod was deleted',
  CrashLoop: 'A container of the last pod ended again and again',
  PodFailed: 'The last pod ended with an error',
  StartDeadlineExceeded: 'The last pod was not Ready within spec.startupDeadlineSeconds',
};

const phaseMessages: Readonly<Partial<Record<RecordedPhase, string>>> = {
  Created: 'The pod is being created.',
  Replacing: 'The spec changed: the old pod goes, then a new one comes.',
  Recovering: 'A new pod is being created.',
  Suspending: 'The pod is being stopped.',
  Scheduled: 'The pod has a node; its containers are being prepared.',
  Starting: 'The containers run; waiting for their readiness probe.',
  NotReady: 'The pod runs but its readiness probe fails.',
};

/** Which container has ended and is about to be started again: then it is not its probe that one waits for. */
function endedMessage(pod: Attempt['pod']): string | undefined {
  const statuses = pod?.status?.containerStatuses ?? [];
  const ended = statuses.find(({ state }) => state?.terminated !== undefined || isBackingOff(state));
  const end = ended?.state?.terminated ?? ended?.lastState?.terminated;
  if (ended === undefined || end === undefined) return undefined;
  return `The container ${ended.name} ended with code ${end.exitCode} and is started again; see kubectl logs --previous.`;
}

function isBackingOff(state: V1ContainerState | undefined): boolean {
  return state?.waiting?.reason === 'CrashLoopBackOff';
}

/** The scheduler's or the kubelet's own words: they name the image or the resource that is short. */
function waitingMessage(pod: Attempt['pod'], reason: AgentReason): string {
  if (reason === 'Unschedulable') return podCondition(pod, 'PodScheduled')?.message ?? 'No node fits the pod.';
  if (reason === 'NodeLost') {
    const node = pod?.spec?.nodeName ?? 'of the pod';
    return `The node ${node} does not answer. The pod is replaced when the node is gone, or the cluster gives the pod up.`;
  }
  const statuses = [...(pod?.status?.initContainerStatuses ?? []), ...(pod?.status?.containerStatuses ?? [])];
  if (reason === 'ContainerNotCreated') {
    const waiting = statuses.find(isNotCreated)?.state?.waiting;
    return `A container cannot be made: ${waiting?.message ?? waiting?.reason ?? 'the node does not say why'}.`;
  }
  const image = statuses.find(isImagePullFailing)?.image;
  return `The image ${image ?? 'of the agent'} cannot be pulled. Check its name, that the node can reach its registry, and imagePullSecrets.`;
}

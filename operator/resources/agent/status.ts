import type { V1ContainerState } from '@kubernetes/client-node';
import type { Agent, AgentStatus } from '../../api/v1alpha1/agent.ts';
import type { AgentPhase } from '../../api/v1alpha1/phases.ts';
import type { AgentReason } from '../../api/v1alpha1/reasons.ts';
import type { EventAction } from '../../kernel/action.ts';
import {
  type ConditionFact,
  conditionsFrom,
  findCondition,
  type Progress,
  sameStatus,
} from '../../kernel/conditions.ts';
import { shownConsistency } from '../../store/tables/consistency.ts';
import { type Attempt, attemptOf } from './attempt.ts';
import type { Blocker } from './blockers.ts';
import {
  type AgentFacts,
  type AgentObserved,
  agentFacts,
  isImagePullFailing,
  isNotCreated,
  podCondition,
} from './facts.ts';
import { type AgentHistory, type AgentRow, isOut, lastRow } from './history.ts';
import type { RecordedPhase } from './machine.ts';

/** What another object can still cure is Reconciling for this long, then Stalled (Helm gives up on Stalled at once). */
const stalledAfterMs = 60_000;
/** A phase an agent only passes through is projected when it stays in it this long: a quick cold start is one status write. */
const projectAfterMs = 1_000;
/** Once its pod is shown, longer: of a thousand that start slowly because they are a thousand each would cost every write. */
const projectWithPodAfterMs = 10_000;
/** Of many that start at once most are Ready before anybody has looked at one: so much longer for each that shows nothing yet … */
const projectAfterPerUnshownMs = 100;
/** … up to here, for those who wonder what keeps theirs. */
const projectUnshownWithinMs = 30_000;
/** That consumers have an event is for people, and a write of its own: it waits so long for another to go along with. */
export const acknowledgedAfterMs = 60_000;

/** Reasons a person should hear of by a Warning event. */
const alarming: ReadonlySet<AgentReason> = new Set<AgentReason>([
  'StartDeadlineExceeded',
  'ImagePullFailed',
  'CrashLoop',
  'Unschedulable',
  'RuntimeClassNotFound',
  'RuntimeHandlerMissing',
  'TenantNotFound',
  'NotAllowed',
  'PodRejected',
  'WaitingForQuota',
  'QuotaExceeded',
  'PodLost',
  'PodFailed',
  'OutOfMemory',
  'ContainerNotCreated',
  'Evicted',
  'NodeLost',
  'ClaimRejected',
  'NameConflict',
  'InvalidSpec',
]);

type KnownHistory = Extract<AgentHistory, { readonly kind: 'known' }>;
type Shown = { readonly phase: AgentPhase; readonly reason: AgentReason; readonly message: string };

/** The status an agent should show. Times in it are RFC 3339. */
export function agentStatus(
  observed: AgentObserved,
  agent: Agent,
  blocker: Blocker | undefined,
  facts: AgentFacts,
  now: number,
): AgentStatus {
  const attempt = attemptOf(observed, now);
  const shown = summary(observed, agent, attempt.pod, blocker, facts);
  const generation = agent.metadata.generation;
  return {
    ...recordedFields(observed, agent, attempt, now),
    observedGeneration: generation,
    phase: shown.phase,
    reason: shown.reason,
    message: shown.message,
    ...(observed.tenancy.kind === 'member' ? { tenant: observed.tenancy.tenant } : {}),
    conditions: conditionsFrom(
      conditions(observed, shown, blocker),
      progress(agent, shown, blocker, now),
      agent.status?.conditions ?? [],
      {
        generation,
        now,
      },
    ),
  };
}

/** What only the record can tell, the pod of the attempt included; while it cannot be read, what was shown stays. */
function recordedFields(observed: AgentObserved, agent: Agent, attempt: Attempt, now: number): Partial<AgentStatus> {
  const { history, runtimeClass } = observed;
  if (history.kind === 'unavailable') return { runtimeClassName: runtimeClass.name, ...agent.status };
  return {
    ...projection(history),
    runtimeClassName: attempt.pod?.spec?.runtimeClassName ?? runtimeClass.name,
    attempts: attempt.number,
    ...retryTime(observed, attempt, now),
    ...podFields(attempt),
  };
}

function projection({ last, latestByPhase: rows }: KnownHistory): Partial<AgentStatus> {
  if (last === undefined) return {};
  const published = Math.max(...Object.values(rows).map((row) => row.event.publishedAt ?? 0));
  const failure = newest(rows.Recovering?.reason === 'Retrying' ? undefined : rows.Recovering, rows.Failed);
  const start = newest(newest(rows.Created, rows.Recovering), rows.Replacing);
  const sinceStart = (row: AgentRow | undefined) => (row && start && row.seq > start.seq ? row : undefined);
  return defined({
    createdAt: isoOf(rows.Created),
    scheduledAt: isoOf(sinceStart(rows.Scheduled)),
    startingAt: isoOf(sinceStart(rows.Starting)),
    readyAt: isoOf(sinceStart(rows.Ready)),
    startLatencyMilliseconds: sinceStart(rows.Ready)?.detail.startLatencyMilliseconds,
    lastFailureReason: failure?.reason,
    consistency: {
      state: shownConsistency(last.event.state),
      lastEventID: last.event.id,
      lastEventType: last.event.type,
      sequence: last.seq,
      ...(published === 0 ? {} : { lastPublishedTime: new Date(published).toISOString() }),
    },
  });
}

function newest(a: AgentRow | undefined, b: AgentRow | undefined): AgentRow | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a.seq > b.seq ? a : b;
}

function isoOf(row: AgentRow | undefined): string | undefined {
  return row === undefined ? undefined : new Date(row.observedAt).toISOString();
}

function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function retryTime(observed: AgentObserved, attempt: Attempt, now: number): Pick<AgentStatus, 'nextRetryTime'> {
  const phase = lastRow(observed.history)?.to;
  const at = phase === 'Recovering' && attempt.notBefore > now ? attempt.notBefore : attempt.retryFailedAt;
  return at === undefined ? {} : { nextRetryTime: new Date(at).toISOString() };
}

function podFields({ pod }: Attempt): Partial<AgentStatus> {
  if (pod?.metadata?.name === undefined || pod.metadata.uid === undefined) return {};
  const ips = (pod.status?.podIPs ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [{ ip }]));
  const statuses = pod.status?.containerStatuses ?? [];
  return {
    podRef: { name: pod.metadata.name, uid: pod.metadata.uid },
    ...(ips.length === 0 ? {} : { podIPs: ips }),
    ...(pod.spec?.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
    restartCount: statuses.reduce((sum, status) => sum + status.restartCount, 0),
  };
}

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
function summary(
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

const moving: ReadonlySet<AgentPhase> = new Set<AgentPhase>([
  'Pending',
  'Created',
  'Scheduled',
  'Starting',
  'Recovering',
  'Replacing',
  'Suspending',
]);

function conditions(observed: AgentObserved, shown: Shown, blocker: Blocker | undefined): readonly ConditionFact[] {
  const ready = shown.phase === 'Ready' && shown.reason === 'AgentReady';
  const facts: ConditionFact[] = [
    { type: 'Ready', status: ready ? 'True' : 'False', reason: shown.reason, message: shown.message },
    eventsPublished(observed),
    ...eventsAcknowledged(observed),
  ];
  if (shown.reason === 'Unschedulable') facts.push({ ...shownFact(shown), type: 'PodScheduled', status: 'False' });
  if (shown.phase === 'Suspended') facts.push({ ...shownFact(shown), type: 'Suspended', status: 'True' });
  if (shown.phase === 'Completed') facts.push({ ...shownFact(shown), type: 'Finished', status: 'True' });
  if (blocker?.condition === undefined) return facts;
  return [...facts, { type: blocker.condition, status: 'False', reason: blocker.reason, message: blocker.message }];
}

function shownFact({ reason, message }: Shown): Pick<ConditionFact, 'reason' | 'message'> {
  return { reason, message };
}

/** Reconciling while the agent moves, Stalled when a person must act. */
function progress(agent: Agent, shown: Shown, blocker: Blocker | undefined, now: number): Progress {
  const { message } = shown;
  const stalled = stalledReason(agent, shown, blocker, now);
  if (stalled !== undefined) return { kind: 'stalled', reason: stalled, message };
  return moving.has(shown.phase) ? { kind: 'reconciling', reason: shown.phase, message } : { kind: 'steady' };
}

/** Only what stands in the way: that an event is not acknowledged yet is how all of them begin. */
function eventsAcknowledged({ history, ackObstacle }: AgentObserved): readonly ConditionFact[] {
  if (ackObstacle === undefined || lastRow(history)?.event.state !== 'Published') return [];
  const { reason, message } = ackObstacle;
  return [{ type: 'EventsAcknowledged', status: 'False', reason, message }];
}

function eventsPublished(observed: AgentObserved): ConditionFact {
  const type = 'EventsPublished';
  const { history } = observed;
  if (history.kind === 'unavailable') {
    return { type, status: 'False', reason: 'DatabaseUnavailable', message: 'The database cannot be reached.' };
  }
  // It need not be the newest: later events of this agent wait behind it.
  const dead = Object.values(history.latestByPhase).find((row) => row.event.state === 'DeadLettered')?.event;
  if (dead !== undefined) {
    const message = `The broker refused the event ${dead.id}: ${dead.lastError ?? 'no reason given'}`;
    return { type, status: 'False', reason: 'DeadLettered', message };
  }
  const event = history.last?.event;
  if (event?.state !== 'Pending') {
    return { type, status: 'True', reason: 'UpToDate', message: 'Every event is on the stream.' };
  }
  if (!observed.brokerAvailable) {
    const message = 'NATS cannot be reached; events are kept and follow when it is back.';
    return { type, status: 'False', reason: 'BrokerUnavailable', message };
  }
  return { type, status: 'Unknown', reason: 'Publishing', message: 'The newest event is on its way.' };
}

function stalledReason(agent: Agent, shown: Shown, blocker: Blocker | undefined, now: number): AgentReason | undefined {
  if (blocker?.onlyByUser === true) return blocker.reason;
  if (blocker?.patient === true && shown.reason === blocker.reason) return undefined;
  if (shown.phase === 'Failed') return 'RetriesExhausted';
  // A running pod is not stalled by what only its successor would need.
  if (blocker?.condition === undefined || shown.reason !== blocker.reason) return undefined;
  const from = stalledFrom(agent, blocker, now);
  return from !== undefined && now >= from ? blocker.reason : undefined;
}

/** When what blocks the agent, and others could cure, has lasted long enough to be called Stalled; ms since the epoch. */
export function stalledFrom(agent: Agent | undefined, blocker: Blocker | undefined, now: number): number | undefined {
  if (blocker?.condition === undefined || blocker.onlyByUser) return undefined;
  const since = findCondition(agent?.status?.conditions ?? [], blocker.condition);
  const sinceMs = since?.status === 'False' ? new Date(since.lastTransitionTime).getTime() : now;
  return sinceMs + stalledAfterMs;
}

/** What the API server will not have, by what it was. */
export type Refusal = {
  readonly reason: 'PodRejected' | 'ClaimRejected' | 'NameConflict' | 'InvalidSpec';
  readonly message: string;
};

/** What a create that the API server refused shows: the server's own words, Reconciling first and Stalled after a minute. */
export function refusedStatus(
  observed: AgentObserved,
  agent: Agent,
  { reason, message }: Refusal,
  now: number,
): AgentStatus {
  const facts = agentFacts(observed, true, now);
  if (reason === 'InvalidSpec') return agentStatus(observed, agent, { reason, message, onlyByUser: true }, facts, now);
  const refusal: Blocker = { reason, message, condition: 'PodScheduled', onlyByUser: false };
  return agentStatus(observed, agent, refusal, facts, now);
}

export type StatusWrite =
  | { readonly kind: 'now' }
  | { readonly kind: 'never' }
  | { readonly kind: 'later'; readonly at: number };

/**
 * When to write. At rest, on anything alarming, and when another pod took the place of the one shown: now. On the
 * way up only when the agent stays in a phase: one write per cold start, two for one that takes more than a second,
 * and again one when so many start (`unshown` is how many show nothing yet) that they are slow for that alone.
 */
export function statusWrite(
  prior: AgentStatus | undefined,
  next: AgentStatus,
  last: AgentRow | undefined,
  now: number,
  unshown = 0,
): StatusWrite {
  if (prior !== undefined && sameStatus(prior, next)) return { kind: 'never' };
  const quietUntil = (last?.event.publishedAt ?? 0) + acknowledgedAfterMs;
  if (now < quietUntil && isOnlyAcknowledged(prior, next)) return { kind: 'later', at: quietUntil };
  if (last === undefined || alarming.has(next.reason as AgentReason) || !isPassing(next)) return { kind: 'now' };
  const isReplaced = prior?.podRef !== undefined && next.podRef !== undefined && prior.podRef.uid !== next.podRef.uid;
  const isFollowed = prior?.podRef !== undefined && isPassing(prior);
  const crowd = Math.min(unshown * projectAfterPerUnshownMs, projectUnshownWithinMs);
  const at = last.observedAt + Math.max(isFollowed ? projectWithPodAfterMs : projectAfterMs, crowd);
  return isReplaced || now >= at ? { kind: 'now' } : { kind: 'later', at };
}

/** True when nothing is news but that consumers have the newest event. */
function isOnlyAcknowledged(prior: AgentStatus | undefined, next: AgentStatus): boolean {
  if (prior?.consistency?.state !== 'Published' || next.consistency?.state !== 'Acknowledged') return false;
  const others = (status: AgentStatus) => ({
    ...status,
    consistency: { ...status.consistency, state: undefined },
    conditions: status.conditions?.filter(({ type }) => type !== 'EventsAcknowledged'),
  });
  return sameStatus(others(prior), others(next));
}

function isPassing(status: AgentStatus): boolean {
  return moving.has(status.phase ?? 'Pending') || status.reason === 'AwaitingEventPublish';
}

/** Kubernetes Events that go with a status about to be written: one Normal at Ready, a Warning for what alarms. */
export function statusEvents(agent: Agent, next: AgentStatus): readonly EventAction[] {
  const wasReady = agent.status?.phase === 'Ready';
  const becameReady = next.phase === 'Ready' && next.reason === 'AgentReady' && !wasReady;
  const alarm = alarming.has(next.reason as AgentReason) && agent.status?.reason !== next.reason;
  if (!becameReady && !alarm) return [];
  return [statusEvent(agent, becameReady ? 'Normal' : 'Warning', next.reason ?? '', next.message ?? '')];
}

function statusEvent(agent: Agent, type: 'Normal' | 'Warning', reason: string, note: string): EventAction {
  const { namespace, name, uid } = agent.metadata;
  return {
    kind: 'event',
    type,
    regarding: { apiVersion: agent.apiVersion, kind: agent.kind, namespace, name, uid },
    reason,
    action: 'Reconcile',
    note,
  };
}

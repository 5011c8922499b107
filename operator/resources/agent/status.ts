import type { Agent, AgentStatus } from '../../api/v1alpha1/agent.ts';
import type { AgentPhase } from '../../api/v1alpha1/phases.ts';
import type { AgentReason } from '../../api/v1alpha1/reasons.ts';
import type { Action } from '../../kernel/action.ts';
import {
  type ConditionFact,
  conditionsFrom,
  findCondition,
  type Progress,
  sameStatus,
} from '../../kernel/conditions.ts';
import { type Attempt, attemptOf } from './attempt.ts';
import type { Blocker } from './blockers.ts';
import { type AgentFacts, type AgentObserved, podCondition } from './facts.ts';
import { type AgentRow, isOut, lastRow } from './history.ts';
import type { RecordedPhase } from './machine.ts';

/** What another object can still cure is Reconciling for this long, then Stalled (Helm gives up on Stalled at once). */
const stalledAfterMs = 60_000;
/** A phase an agent only passes through is projected when it stays in it this long: two status writes per cold start. */
const projectAfterMs = 1_000;

/** Reasons a person should hear of by a Warning event. */
const alarming: ReadonlySet<AgentReason> = new Set<AgentReason>([
  'StartDeadlineExceeded',
  'ImagePullFailed',
  'CrashLoop',
  'Unschedulable',
  'RuntimeClassNotFound',
  'TenantNotFound',
  'PodRejected',
  'PodLost',
  'PodFailed',
  'NameConflict',
  'FieldNotSupported',
  'InvalidSpec',
]);

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
  const shown = summary(observed, agent, blocker, facts);
  const generation = agent.metadata.generation;
  return {
    ...carried(observed, agent),
    observedGeneration: generation,
    phase: shown.phase,
    reason: shown.reason,
    message: shown.message,
    runtimeClassName: observed.runtimeClass.name,
    ...(observed.tenancy.kind === 'member' ? { tenant: observed.tenancy.tenant } : {}),
    attempts: attempt.number,
    ...retryTime(observed, attempt, now),
    ...podFields(attempt),
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

/** What only the record can tell; while it cannot be read the last shown values stay. */
function carried(observed: AgentObserved, agent: Agent): Partial<AgentStatus> {
  const { history } = observed;
  if (history.kind === 'unavailable') {
    const { createdAt, scheduledAt, startingAt, readyAt, startLatencyMilliseconds, lastFailureReason, consistency } =
      agent.status ?? {};
    return defined({
      createdAt,
      scheduledAt,
      startingAt,
      readyAt,
      startLatencyMilliseconds,
      lastFailureReason,
      consistency,
    });
  }
  const { last, latestByPhase: rows } = history;
  if (last === undefined) return {};
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
      state: last.event.state === 'Pending' ? 'OutboxWritten' : last.event.state,
      lastEventID: last.event.id,
      lastEventType: last.event.type,
      sequence: last.seq,
      ...(last.event.publishedAt === undefined
        ? {}
        : { lastPublishedTime: new Date(last.event.publishedAt).toISOString() }),
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
  return row.to === 'Ready' && agent.spec.events?.readinessGate !== 'BestEffort' && !isOut(row);
}

/** Phase, reason and message: the summary for people. Conditions are the contract. */
function summary(observed: AgentObserved, agent: Agent, blocker: Blocker | undefined, facts: AgentFacts): Shown {
  const { history } = observed;
  if (history.kind === 'unavailable') return withoutRecord(agent);
  const { last } = history;
  if (last === undefined) {
    return {
      phase: 'Pending',
      reason: blocker?.reason ?? 'PodNotReady',
      message: blocker?.message ?? 'About to be created.',
    };
  }
  if (blocker !== undefined && (blocker.onlyByUser || last.to !== 'Ready')) {
    return { phase: last.to, reason: blocker.reason, message: blocker.message };
  }
  if (awaitsPublish(last, agent)) {
    return {
      phase: last.from as RecordedPhase,
      reason: 'AwaitingEventPublish',
      message: 'The pod is Ready; the Agent follows as soon as its agent.ready event is on the stream.',
    };
  }
  return { phase: last.to, ...explanation(observed, last, facts) };
}

/** Nothing can be recorded: an agent that is Ready stays so, one that never started waits. */
function withoutRecord({ status }: Agent): Shown {
  const message = 'The database cannot be reached; nothing new is started until it is back.';
  if (status?.phase === undefined) return { phase: 'Pending', reason: 'DatabaseUnavailable', message };
  if (status.phase === 'Ready')
    return { phase: 'Ready', reason: 'AgentReady', message: status.message ?? 'The agent runs.' };
  return { phase: status.phase, reason: 'DatabaseUnavailable', message };
}

function explanation(observed: AgentObserved, last: AgentRow, facts: AgentFacts): Omit<Shown, 'phase'> {
  if (last.to === 'Ready') return { reason: 'AgentReady', message: 'The agent runs.' };
  if (last.to === 'Failed') {
    const message = `Gave up after ${last.attempt} ${last.attempt === 1 ? 'try' : 'tries'}. Fix the cause (status.lastFailureReason, kubectl describe) and change the spec; it is also tried again at status.nextRetryTime.`;
    return { reason: last.reason as AgentReason, message };
  }
  if (last.to === 'Recovering' && last.reason !== 'Retrying') {
    return {
      reason: last.reason as AgentReason,
      message: `The last pod did not work out; try ${last.attempt} is next.`,
    };
  }
  if (facts.waitingFor !== undefined)
    return { reason: facts.waitingFor, message: waitingMessage(observed, facts.waitingFor) };
  return { reason: 'PodNotReady', message: phaseMessages[last.to] ?? 'The pod is not Ready.' };
}

const phaseMessages: Readonly<Partial<Record<RecordedPhase, string>>> = {
  Created: 'The pod is being created.',
  Replacing: 'The spec changed: the old pod goes, then a new one comes.',
  Recovering: 'A new pod is being created.',
  Scheduled: 'The pod has a node; its containers are being prepared.',
  Starting: 'The containers run; waiting for their readiness probe.',
  NotReady: 'The pod runs but its readiness probe fails.',
};

/** The scheduler's or the kubelet's own words: they name the image or the resource that is short. */
function waitingMessage(observed: AgentObserved, reason: AgentReason): string {
  const pod = observed.pods[0];
  if (reason === 'Unschedulable') return podCondition(pod, 'PodScheduled')?.message ?? 'No node fits the pod.';
  const statuses = [...(pod?.status?.initContainerStatuses ?? []), ...(pod?.status?.containerStatuses ?? [])];
  const image = statuses.find((status) => status.state?.waiting !== undefined)?.image;
  return `The image ${image ?? 'of the agent'} cannot be pulled. Check its name, that the node can reach its registry, and imagePullSecrets.`;
}

const moving: ReadonlySet<AgentPhase> = new Set<AgentPhase>([
  'Pending',
  'Created',
  'Scheduled',
  'Starting',
  'Recovering',
  'Replacing',
]);

function conditions(observed: AgentObserved, shown: Shown, blocker: Blocker | undefined): readonly ConditionFact[] {
  const ready = shown.phase === 'Ready' && shown.reason === 'AgentReady';
  const facts: ConditionFact[] = [
    { type: 'Ready', status: ready ? 'True' : 'False', reason: shown.reason, message: shown.message },
    eventsPublished(observed),
  ];
  if (blocker?.condition === undefined) return facts;
  return [...facts, { type: blocker.condition, status: 'False', reason: blocker.reason, message: blocker.message }];
}

/** Reconciling while the agent moves, Stalled when a person must act. */
function progress(agent: Agent, shown: Shown, blocker: Blocker | undefined, now: number): Progress {
  const { message } = shown;
  const stalled = stalledReason(agent, shown, blocker, now);
  if (stalled !== undefined) return { kind: 'stalled', reason: stalled, message };
  return moving.has(shown.phase) ? { kind: 'reconciling', reason: shown.phase, message } : { kind: 'steady' };
}

function eventsPublished(observed: AgentObserved): ConditionFact {
  const type = 'EventsPublished';
  const { history } = observed;
  if (history.kind === 'unavailable') {
    return { type, status: 'False', reason: 'DatabaseUnavailable', message: 'The database cannot be reached.' };
  }
  const event = history.last?.event;
  if (event?.state === 'DeadLettered') {
    const message = `The broker refused the event ${event.id}: ${event.lastError ?? 'no reason given'}`;
    return { type, status: 'False', reason: 'DeadLettered', message };
  }
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
  if (shown.phase === 'Failed') return 'RetriesExhausted';
  if (blocker?.condition === undefined) return undefined;
  const since = findCondition(agent.status?.conditions ?? [], blocker.condition);
  const sinceMs = since?.status === 'False' ? new Date(since.lastTransitionTime).getTime() : now;
  return now - sinceMs >= stalledAfterMs ? blocker.reason : undefined;
}

/** What a create that the API server refused shows: the server's own words, Reconciling first and Stalled after a minute. */
export function refusedStatus(
  agent: Agent,
  reason: 'PodRejected' | 'NameConflict',
  message: string,
  now: number,
): AgentStatus {
  const prior: Partial<AgentStatus> = agent.status ?? {};
  const phase = prior.phase ?? 'Created';
  const blocker: Blocker = { reason, message, condition: 'PodScheduled', onlyByUser: false };
  const shown: Shown = { phase, reason, message };
  const published = findCondition(prior.conditions ?? [], 'EventsPublished');
  const facts: readonly ConditionFact[] = [
    { type: 'Ready', status: 'False', reason, message },
    ...(published === undefined ? [] : [published]),
    { type: 'PodScheduled', status: 'False', reason, message },
  ];
  const generation = agent.metadata.generation;
  return {
    ...prior,
    phase,
    reason,
    message,
    observedGeneration: generation,
    conditions: conditionsFrom(facts, progress(agent, shown, blocker, now), prior.conditions ?? [], {
      generation,
      now,
    }),
  };
}

export type StatusWrite =
  | { readonly kind: 'now' }
  | { readonly kind: 'never' }
  | { readonly kind: 'later'; readonly at: number };

/**
 * When to write. At rest and on anything alarming: now. On the way up: once when the pod is there, and
 * then only when the agent stays in a phase for a second: that makes two writes per cold start.
 */
export function statusWrite(
  prior: AgentStatus | undefined,
  next: AgentStatus,
  last: AgentRow | undefined,
  now: number,
): StatusWrite {
  if (prior !== undefined && sameStatus(prior, next)) return { kind: 'never' };
  if (last === undefined || alarming.has(next.reason as AgentReason) || !isPassing(next)) return { kind: 'now' };
  const firstSight = next.podRef !== undefined && next.podRef.uid !== prior?.podRef?.uid;
  const at = last.observedAt + projectAfterMs;
  return firstSight || now >= at ? { kind: 'now' } : { kind: 'later', at };
}

function isPassing(status: AgentStatus): boolean {
  return moving.has(status.phase ?? 'Pending') || status.reason === 'AwaitingEventPublish';
}

/** Kubernetes Events that go with a status about to be written: one Normal at Ready, a Warning for what alarms. */
export function statusEvents(agent: Agent, next: AgentStatus): readonly Action[] {
  const wasReady = agent.status?.phase === 'Ready';
  const becameReady = next.phase === 'Ready' && next.reason === 'AgentReady' && !wasReady;
  const alarm = alarming.has(next.reason as AgentReason) && agent.status?.reason !== next.reason;
  if (!becameReady && !alarm) return [];
  return [statusEvent(agent, becameReady ? 'Normal' : 'Warning', next.reason ?? '', next.message ?? '')];
}

export function statusEvent(agent: Agent, type: 'Normal' | 'Warning', reason: string, note: string): Action {
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

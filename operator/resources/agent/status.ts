import type { Agent, AgentStatus } from '../../api/v1alpha1/agent.ts';
import type { AgentReason } from '../../api/v1alpha1/reasons.ts';
import { type ConditionFact, conditionsFrom, findCondition, type Progress } from '../../kernel/conditions.ts';
import { shownConsistency } from '../../store/tables/consistency.ts';
import { type Attempt, attemptOf } from './attempt.ts';
import type { Blocker } from './blockers.ts';
import { type AgentFacts, type AgentObserved, agentFacts } from './facts.ts';
import { type AgentHistory, type AgentRow, lastRow } from './history.ts';
import { moving, type Shown, summary } from './summary.ts';

/** What another object can still cure is Reconciling for this long, then Stalled (Helm gives up on Stalled at once). */
const stalledAfterMs = 60_000;
type KnownHistory = Extract<AgentHistory, { readonly kind: 'known' }>;

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

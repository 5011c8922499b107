import type { AgentPool, AgentPoolStatus } from '../../api/v1alpha1/agentpool.ts';
import { labels } from '../../api/v1alpha1/names.ts';
import type { AgentPoolReason } from '../../api/v1alpha1/reasons.ts';
import type { EventAction } from '../../kernel/action.ts';
import { type ConditionFact, conditionsFrom, findCondition, type Progress } from '../../kernel/conditions.ts';
import type { Blocker } from './blockers.ts';
import type { PoolObserved } from './decide.ts';
import { failureLimit } from './goal.ts';
import { lastRow } from './history.ts';
import { consecutiveFailures, isAvailable, type Member } from './member.ts';
import type { Goal } from './select.ts';

/** How a pool fares, before it is put into conditions. */
export type Judgement = {
  readonly goal: Goal;
  readonly reason: AgentPoolReason;
  readonly message: string;
  readonly complete: boolean;
  readonly stalled: boolean;
  readonly overdue: boolean;
  /** When the lack of progress is reported, ms since the epoch; absent where no deadline runs. */
  readonly deadline: number | undefined;
};

type Given = { readonly goal: Goal; readonly blocker?: Blocker; readonly wantsMore?: boolean };

const defaultProgressDeadlineSeconds = 600;

/** Reasons a person should hear of by a Warning event. */
const alarming: ReadonlySet<AgentPoolReason> = new Set<AgentPoolReason>([
  'AgentRejected',
  'TooManyFailures',
  'ProgressDeadlineExceeded',
  'WaitingForQuota',
  'QuotaExceeded',
  'TenantNotFound',
  'InvalidSpec',
]);

/** Whether the pool is what it should be, and if not, why and whether a person must act. */
export function judge(observed: PoolObserved, pool: AgentPool, given: Given, now: number): Judgement {
  const { goal, blocker } = given;
  const counts = countsOf(observed.members, goal, now);
  const missing = `${counts.availableReplicas} of ${goal.replicas} Agents are available`;
  const complete = blocker === undefined && isComplete(counts, goal);
  const runs = blocker === undefined && !complete && pool.spec?.paused !== true;
  const deadline = runs ? lastProgress(observed, pool, goal, now) + progressDeadlineMs(pool) : undefined;
  const overdue = deadline !== undefined && now >= deadline;
  const base = { goal, complete, overdue, deadline };
  if (blocker !== undefined) {
    const { reason, message } = blocker;
    const stalled = now - notReadySince(pool, now) >= blocker.patienceMs;
    return {
      ...base,
      reason,
      message,
      stalled,
      deadline: stalled ? undefined : notReadySince(pool, now) + blocker.patienceMs,
    };
  }
  if (complete) return { ...base, reason: 'PoolReady', message: `${missing}.`, stalled: false };
  if (goal.held) {
    const message = `${counts.consecutiveFailures} Agents failed in a row (the limit is ${failureLimit(pool)}), so no more are made. Correct the template, or delete the failed Agents to try again.`;
    return { ...base, reason: 'TooManyFailures', message, stalled: true };
  }
  const refused = given.wantsMore === true && isCurrent(observed, pool);
  if (refused) {
    const message = `The API server refuses more Agents: ${observed.refusal?.message ?? ''}`;
    return { ...base, reason: 'AgentRejected', message, stalled: overdue };
  }
  if (overdue) {
    const message = `No progress for ${progressDeadlineMs(pool) / 1000} s: ${missing}. Look at those that are not.`;
    return { ...base, reason: 'ProgressDeadlineExceeded', message, stalled: true };
  }
  if (counts.unschedulableReplicas > 0) {
    const message = `${missing}; no node is found for ${counts.unschedulableReplicas}. More are made when these run.`;
    return { ...base, reason: 'Unschedulable', message, stalled: false };
  }
  const message = `${missing}, ${counts.updatedReplicas} of the current template.`;
  return { ...base, reason: 'ReplicasNotReady', message, stalled: false };
}

/** The status a pool should show. */
export function poolStatus(
  observed: PoolObserved,
  pool: AgentPool,
  judgement: Judgement,
  now: number,
): AgentPoolStatus {
  const { goal } = judgement;
  const collisionCount = pool.status?.collisionCount;
  const generation = pool.metadata.generation;
  return {
    observedGeneration: generation,
    ...countsOf(observed.members, goal, now),
    selector: `${labels.pool}=${pool.metadata.name}`,
    ...(goal.revision === ''
      ? {}
      : { currentRevision: currentRevision(observed.members, goal), updateRevision: goal.revision }),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions: conditionsFrom(facts(pool, judgement), progress(judgement), pool.status?.conditions ?? [], {
      generation,
      now,
    }),
  };
}

type Counts = Required<
  Pick<
    AgentPoolStatus,
    | 'replicas'
    | 'readyReplicas'
    | 'availableReplicas'
    | 'updatedReplicas'
    | 'unschedulableReplicas'
    | 'failedReplicas'
    | 'terminatingReplicas'
    | 'consecutiveFailures'
  >
>;

/** `replicas` and `terminatingReplicas` together are all there are; the others are parts of `replicas`. */
function countsOf(members: readonly Member[], goal: Goal, now: number): Counts {
  const live = members.filter((member) => !member.terminating);
  const updated = live.filter((member) => member.revision === goal.revision);
  return {
    replicas: live.length,
    readyReplicas: live.filter((member) => member.readySince !== undefined).length,
    availableReplicas: live.filter((member) => isAvailable(member, goal.minReadyMs, now)).length,
    updatedReplicas: updated.length,
    unschedulableReplicas: live.filter((member) => member.unschedulable).length,
    failedReplicas: live.filter((member) => member.failedSince !== undefined).length,
    terminatingReplicas: members.length - live.length,
    consecutiveFailures: consecutiveFailures(updated),
  };
}

function isComplete(counts: Counts, goal: Goal): boolean {
  const { replicas, availableReplicas, updatedReplicas, terminatingReplicas } = counts;
  const isRolledOut = !goal.rolling || updatedReplicas === replicas;
  return isRolledOut && replicas === goal.replicas && availableReplicas === replicas && terminatingReplicas === 0;
}

/** The revision most of the outdated Agents have; the new one when there are none. */
function currentRevision(members: readonly Member[], goal: Goal): string {
  const numbers = new Map<string, number>();
  for (const { revision, terminating } of members) {
    if (terminating || revision === undefined || revision === goal.revision) continue;
    numbers.set(revision, (numbers.get(revision) ?? 0) + 1);
  }
  const [most] = [...numbers].toSorted(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return most?.[0] ?? goal.revision;
}

/** Read off what stands, so that no restart of ours makes it later: a change of the wish, an Agent made or available. */
function lastProgress({ members, history }: PoolObserved, pool: AgentPool, goal: Goal, now: number): number {
  const steps = members.flatMap(({ createdAt, readySince }) => {
    if (readySince === undefined) return [createdAt];
    const availableAt = readySince + goal.minReadyMs;
    return [createdAt, readySince, ...(availableAt <= now ? [availableAt] : [])];
  });
  return Math.max(lastRow(history)?.observedAt ?? 0, notReadySince(pool, now), ...steps);
}

/** Since when the condition Ready is False; now when it is not. */
function notReadySince({ status }: AgentPool, now: number): number {
  const ready = findCondition(status?.conditions ?? [], 'Ready');
  return ready?.status === 'False' ? new Date(ready.lastTransitionTime).getTime() : now;
}

function progressDeadlineMs({ spec }: AgentPool): number {
  return (spec?.progressDeadlineSeconds ?? defaultProgressDeadlineSeconds) * 1000;
}

function isCurrent({ refusal }: PoolObserved, { metadata }: AgentPool): boolean {
  return refusal !== undefined && refusal.generation === metadata.generation;
}

function facts(pool: AgentPool, { complete, overdue, reason, message }: Judgement): readonly ConditionFact[] {
  const waiting = reason === 'WaitingForQuota' || reason === 'QuotaExceeded';
  const failing = reason === 'TooManyFailures' || reason === 'AgentRejected';
  return [
    { type: 'Ready', status: complete ? 'True' : 'False', reason, message },
    progressing(pool, complete, overdue),
    ...(failing ? [{ type: 'ReplicaFailure', status: 'True', reason, message } as const] : []),
    ...(waiting ? [{ type: 'QuotaReserved', status: 'False', reason, message } as const] : []),
  ];
}

function progressing({ spec }: AgentPool, complete: boolean, overdue: boolean): ConditionFact {
  const type = 'Progressing';
  if (spec?.paused === true) {
    return { type, status: 'Unknown', reason: 'Paused', message: 'spec.paused holds changes of the template.' };
  }
  if (complete) return { type, status: 'True', reason: 'RolloutComplete', message: 'Every Agent is up to date.' };
  if (overdue) {
    const message = 'No Agent was made or became available within progressDeadlineSeconds.';
    return { type, status: 'False', reason: 'ProgressDeadlineExceeded', message };
  }
  return { type, status: 'True', reason: 'RollingOut', message: 'Agents are being made or replaced.' };
}

function progress({ complete, stalled, reason, message }: Judgement): Progress {
  if (complete) return { kind: 'steady' };
  return { kind: stalled ? 'stalled' : 'reconciling', reason, message };
}

/** Kubernetes Events that go with a status about to be written: a Warning when it begins to show what alarms. */
export function statusEvents(pool: AgentPool, next: AgentPoolStatus): readonly EventAction[] {
  const shown = findCondition(pool.status?.conditions ?? [], 'Ready');
  const ready = findCondition(next.conditions ?? [], 'Ready');
  if (ready === undefined || ready.reason === shown?.reason) return [];
  if (!alarming.has(ready.reason as AgentPoolReason)) return [];
  const { namespace, name, uid } = pool.metadata;
  return [
    {
      kind: 'event',
      type: 'Warning',
      regarding: { apiVersion: pool.apiVersion, kind: pool.kind, namespace, name, uid },
      reason: ready.reason,
      action: 'Reconcile',
      note: ready.message,
    },
  ];
}

import type { AgentPool, AgentPoolStatus } from '../../api/v1alpha1/agentpool.ts';
import type { Action, EventAction } from '../../kernel/action.ts';
import { sameStatus } from '../../kernel/conditions.ts';
import type { Decision } from '../../kernel/decision.ts';
import { type Outcome, requeue, requeueAt, settled, soonest } from '../../kernel/outcome.ts';
import { agentResource } from '../own.ts';
import type { PlaceRoom } from '../quota.ts';
import type { Tenancy } from '../tenancy.ts';
import { blockerOf } from './blockers.ts';
import { goneTransition, type PoolTransition, poolTransitions } from './events.ts';
import { goalOf } from './goal.ts';
import { lastRow, type PoolDetail, type PoolHistory } from './history.ts';
import { isAvailable, type Member } from './member.ts';
import { type Goal, nextStep } from './select.ts';
import { type Judgement, judge, poolStatus, statusEvents } from './status.ts';
import { freeNames, memberAgent, type Template, templateOf } from './template.ts';

/** A create that the API server refused: since when, and when to try again (ms since the epoch). */
export type Refusal = {
  readonly message: string;
  readonly generation: number;
  readonly since: number;
  readonly until: number;
};

export type PoolObserved = {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** Absent when it is gone or going. */
  readonly pool: AgentPool | undefined;
  /** Why the spec cannot be acted on, in words for its author. */
  readonly invalid?: string;
  /** It is going and its Agents are to stay: the garbage collector takes our name off them. */
  readonly orphaning: boolean;
  readonly tenancy: Tenancy;
  /** How many pools the tenant may have, for a pool that has no place yet. */
  readonly room?: PlaceRoom;
  /** Every Agent whose controller is this pool, by UID. Nothing we asked for is missing in it. */
  readonly members: readonly Member[];
  readonly refusal: Refusal | undefined;
  readonly history: PoolHistory;
  readonly traceparent: string;
};

export type PoolDecision = Decision<PoolTransition, AgentPoolStatus>;

const databaseRecheckMs = 5_000;
/** What we deleted leaves the cache within milliseconds; this is the net below it. */
const memberRecheckMs = 2_000;
const blockerRecheckMs = 30_000;

/**
 * What to do about one pool. Pure and total. As with Agents, a pass that finds new facts (another number of
 * replicas, another template, the pool gone with all its Agents) records them and does nothing else.
 */
export function decide(observed: PoolObserved, now: number): PoolDecision {
  const { pool, history } = observed;
  if (pool === undefined) return finish(observed, now);
  if (history.kind === 'unavailable') return withoutDatabase(observed, pool, now);
  const blocker = blockerOf(observed);
  const detail = history.last?.detail;
  if (blocker !== undefined) {
    const judgement = judge(observed, pool, { blocker, goal: goalOf(pool, detail, observed.members) }, now);
    const outcome = soonest(requeue(blockerRecheckMs), upcoming(judgement.deadline, 0, now));
    return { transitions: [], plan: [], ...shown(observed, pool, judgement, now), outcome };
  }
  const transitions = poolTransitions(observed, pool, now);
  if (transitions.length > 0 || detail === undefined) return { transitions, plan: [], outcome: requeue(0) };
  return act(observed, pool, detail, now);
}

function act(observed: PoolObserved, pool: AgentPool, detail: PoolDetail, now: number): PoolDecision {
  const { members } = observed;
  const goal = goalOf(pool, detail, members);
  const step = nextStep(members, goal, now);
  const waits = isUnschedulable(members, goal) || isRefused(observed, pool, now);
  const template = step.create > 0 && !waits ? templateOf(pool, members, goal.revision) : undefined;
  const plan = [
    ...step.remove.map((member) => deletion(observed, member)),
    ...(template === undefined ? [] : creations(pool, members, goal, template, step.create)),
  ];
  const judgement = judge(observed, pool, { goal, wantsMore: step.create > 0 }, now);
  return {
    transitions: [],
    plan,
    unordered: true,
    ...shown(observed, pool, judgement, now),
    outcome: soonest(...deadlines(observed, goal, judgement, now)),
  };
}

function creations(
  pool: AgentPool,
  members: readonly Member[],
  goal: Goal,
  template: Template,
  count: number,
): readonly Action[] {
  return freeNames(pool, members, count).map((name) => ({
    kind: 'create',
    resource: agentResource,
    object: memberAgent(pool, name, goal.revision, template),
  }));
}

function deletion({ namespace }: PoolObserved, { name, uid }: Member): Action {
  return { kind: 'delete', ref: { resource: agentResource, namespace, name }, uid };
}

/** No node for one of them means none for more of the same: they would only wait in the scheduler's queue. */
function isUnschedulable(members: readonly Member[], goal: Goal): boolean {
  return members.some((member) => member.unschedulable && member.revision === goal.revision);
}

function isRefused({ refusal }: PoolObserved, pool: AgentPool, now: number): boolean {
  return refusal !== undefined && refusal.generation === pool.metadata.generation && now < refusal.until;
}

function shown(
  observed: PoolObserved,
  pool: AgentPool,
  judgement: Judgement,
  now: number,
): { readonly status?: AgentPoolStatus; readonly events?: readonly EventAction[] } {
  const status = poolStatus(observed, pool, judgement, now);
  if (pool.status !== undefined && sameStatus(pool.status, status)) return {};
  return { status, events: statusEvents(pool, status) };
}

/** Every point in time at which this pool has to be looked at though nothing changes. */
function deadlines(observed: PoolObserved, goal: Goal, judgement: Judgement, now: number): readonly Outcome[] {
  const { members, refusal } = observed;
  const coming = members.filter((member) => !isAvailable(member, goal.minReadyMs, now));
  const available = coming.map(({ readySince }) => upcoming(readySince, goal.minReadyMs, now));
  return [...available, upcoming(judgement.deadline, 0, now), upcoming(refusal?.until, 0, now)];
}

function upcoming(from: number | undefined, afterMs: number, now: number): Outcome {
  return from === undefined || from + afterMs <= now ? settled : requeueAt(from + afterMs, now);
}

/** The pool is gone: so are its Agents, at once. When the last of them is, the story of the pool is over. */
function finish(observed: PoolObserved, now: number): PoolDecision {
  const { members, history, orphaning } = observed;
  if (orphaning) return { transitions: [], plan: [], outcome: requeue(memberRecheckMs) };
  if (members.length > 0) {
    const plan = members.filter((member) => !member.terminating).map((member) => deletion(observed, member));
    return { transitions: [], plan, unordered: true, outcome: requeue(memberRecheckMs) };
  }
  if (history.kind === 'unavailable') return { transitions: [], plan: [], outcome: requeue(databaseRecheckMs) };
  const last = lastRow(history);
  if (last === undefined || last.to === 'Deleted') return { transitions: [], plan: [], outcome: settled };
  return { transitions: [goneTransition(last, now)], plan: [], outcome: settled };
}

/** Nothing can be recorded, so nothing is made or replaced; what was judged before stands. */
function withoutDatabase(observed: PoolObserved, pool: AgentPool, now: number): PoolDecision {
  const outcome = requeue(databaseRecheckMs);
  if (pool.status?.observedGeneration === pool.metadata.generation) return { transitions: [], plan: [], outcome };
  const message = 'The database cannot be reached; nothing is made or replaced until it is back.';
  const blocker = { reason: 'DatabaseUnavailable', message, patienceMs: Number.POSITIVE_INFINITY } as const;
  const judgement = judge(observed, pool, { blocker, goal: goalOf(pool, undefined, observed.members) }, now);
  return { transitions: [], plan: [], ...shown(observed, pool, judgement, now), outcome };
}

import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import type { Action } from '../../kernel/action.ts';
import { findCondition } from '../../kernel/conditions.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import { startRow } from '../../resources/agent/attempt.ts';
import type { AgentDecision } from '../../resources/agent/decide.ts';
import type { AgentTransition } from '../../resources/agent/events.ts';
import type { AgentObserved } from '../../resources/agent/facts.ts';
import { specHash } from '../../resources/agent/pod.ts';
import { claimResource, podResource } from '../../resources/builtin.ts';
import { agentResource } from '../../resources/own.ts';
import { demand } from './explore.ts';
import { writesOf } from './operator-model.ts';
import { checkEvents, isOver } from './outbox-model.ts';
import { type Decide, lastOf, type ModelState } from './state.ts';

/** What must hold for an agent, told from the contract and not from the machine: every pass and every state. */

const follows: Readonly<Record<string, readonly string[]>> = {
  New: ['Created'],
  Created: ['Scheduled'],
  Scheduled: ['Starting'],
  Starting: ['Ready'],
  Ready: ['NotReady'],
  NotReady: ['Ready'],
  Recovering: ['Scheduled'],
  Replacing: ['Scheduled'],
  Failed: ['Recovering'],
  Suspending: ['Suspended'],
  Suspended: ['Created'],
  Completed: [],
  Terminating: ['Deleted'],
  Deleted: [],
};
const trying = ['Created', 'Scheduled', 'Starting', 'Ready', 'NotReady', 'Recovering', 'Replacing'];
const sessionEnds = [...trying, 'Failed', 'Suspending', 'Suspended'];
/** Where an agent may be sent from any phase that still tries, and from which others besides. */
const detours: Readonly<Record<string, readonly string[]>> = {
  Recovering: trying,
  Failed: trying,
  Suspending: trying,
  Suspended: trying,
  Replacing: [...trying, 'Failed', 'Completed'],
  Completed: ['Scheduled', 'Starting', 'Ready', 'NotReady'],
  Terminating: [...trying, 'Failed', 'Suspending', 'Suspended', 'Completed'],
};

/** @throws Violation */
export function judge(decide: Decide, state: ModelState, observed: AgentObserved, decision: AgentDecision): void {
  const { transitions, plan, status } = decision;
  let from: string = lastOf(state)?.to ?? 'New';
  for (const transition of transitions) {
    judgeTransition(state, observed, transition, from);
    from = transition.to;
  }
  demand(transitions.length === 0 || (plan.length === 0 && status === undefined), 'done before it was recorded');
  demand(state.database || transitions.length === 0, 'recorded without a database');
  judgeCreates(state, observed, plan);
  judgeDeletes(state, observed, plan);
  judgeReady(state, observed, decision);
  if (writesOf(state, decision).length === 0) judgeQuiet(decide, state, observed, decision);
}

function judgeTransition(state: ModelState, observed: AgentObserved, moved: AgentTransition, from: string): void {
  const { from: said, to, reason, attempt } = moved;
  const spec = observed.agent?.spec;
  demand(said === from, `${from} → ${to} is recorded as ${said} → ${to}`);
  const isExpiry = to === 'Completed' && reason === 'SessionExpired';
  const isDetour = isExpiry ? sessionEnds.includes(from) : detours[to]?.includes(from) === true;
  demand(follows[from]?.includes(to) || isDetour, `a phase is skipped: ${from} → ${to}`);
  const podless = observed.pods.length === 0 && !observed.podOnItsWay;
  demand((to !== 'Suspended' && to !== 'Deleted') || podless, `${to} while a pod is left`);
  const tries = (spec?.recovery?.backoffLimit ?? 0) + 1;
  demand(to !== 'Failed' || attempt >= tries, 'given up while tries are left');
  const isWanted = spec?.operatingMode === 'Suspended' || state.tenancy === 'HoldAndDrain';
  demand(to !== 'Suspending' || isWanted, 'suspended though nobody wants it');
  if (isExpiry) {
    demand(isSessionOver(state, spec), 'its session ends before its time');
    demand(spec?.lifecycle?.shutdownPolicy !== 'Delete', 'completed though it was to go');
  }
  if ((to === 'Recovering' || to === 'Failed') && reason === 'PodLost' && observed.pods.length === 0)
    demand(!state.pods.some(({ late, deleting }) => !late && !deleting), 'a pod that stands is called lost');
}

/** When its session ends, by the contract; ms since the epoch. */
function sessionEnd({ firstReadyAt }: ModelState, spec: AgentSpec | undefined): number {
  const { shutdownTime, maxSessionDurationSeconds = Number.POSITIVE_INFINITY } = spec?.lifecycle ?? {};
  const longest =
    firstReadyAt === undefined ? Number.POSITIVE_INFINITY : firstReadyAt + maxSessionDurationSeconds * 1000;
  return Math.min(longest, shutdownTime === undefined ? Number.POSITIVE_INFINITY : Date.parse(shutdownTime));
}

function isSessionOver(state: ModelState, spec: AgentSpec | undefined): boolean {
  return state.now >= sessionEnd(state, spec);
}

function judgeCreates(state: ModelState, observed: AgentObserved, plan: readonly Action[]): void {
  const creates = plan.filter((action) => action.kind === 'create');
  if (creates.length === 0) return;
  const { spec } = observed.agent ?? {};
  const made = creates.map(({ resource }) => resource.kind);
  demand(
    made.at(-1) === podResource.kind && !made.slice(0, -1).includes(podResource.kind),
    'not a pod, and one, and last',
  );
  demand(observed.pods.length === 0 && !observed.podOnItsWay, 'a pod beside another');
  demand(state.database && state.tenancy === 'Active' && state.runtimeClass, 'a pod that must not be');
  demand(spec?.operatingMode !== 'Suspended', 'a pod nobody wants');
  if (spec?.volumeClaimTemplates === undefined) return;
  const [claim] = observed.claims;
  demand(made.includes(claimResource.kind) || claim !== undefined, 'a pod before its claim');
  demand(claim?.metadata.deletionTimestamp === undefined, 'a pod for a claim that goes');
}

function judgeDeletes(state: ModelState, observed: AgentObserved, plan: readonly Action[]): void {
  const { now } = state;
  for (const action of plan.filter(({ kind }) => kind === 'delete')) {
    if (action.kind !== 'delete') continue;
    const spec = observed.agent?.spec;
    if (action.ref.resource === agentResource) {
      const { ttlSecondsAfterFinished, shutdownPolicy } = spec?.lifecycle ?? {};
      const last = lastOf(state);
      const isFinished = last?.to === 'Completed' || last?.to === 'Failed';
      const isAged =
        isFinished && now >= last.observedAt + (ttlSecondsAfterFinished ?? Number.POSITIVE_INFINITY) * 1000;
      demand(isAged || (shutdownPolicy === 'Delete' && isSessionOver(state, spec)), 'an Agent deleted before its time');
    }
    const claim = state.claims.find(({ uid }) => uid === action.uid);
    if (action.ref.resource !== claimResource || claim === undefined) continue;
    const isSurplus =
      spec?.operatingMode === 'Suspended' && spec.persistentVolumeClaimRetentionPolicy?.whenScaled === 'Delete';
    const isEmpty = observed.agent === undefined && observed.claims[0]?.status?.phase === 'Pending';
    demand(claim.owner === 'agent' || claim.owner === 'kept', 'the claim of somebody else is deleted');
    demand(isSurplus || isEmpty, 'a claim with a volume to keep is deleted');
    demand(observed.pods.length === 0 && !observed.podOnItsWay, 'a claim deleted under a pod');
  }
}

function judgeReady(state: ModelState, observed: AgentObserved, { status, transitions }: AgentDecision): void {
  const { agent } = observed;
  const last = lastOf(state);
  if (!state.database || agent === undefined || last === undefined || transitions.length > 0) return;
  const shown = status ?? agent.status;
  const isReady = (of: typeof shown) => findCondition(of?.conditions ?? [], 'Ready')?.status === 'True';
  const isBestEffort = agent.spec.events?.readinessGate === 'BestEffort';
  const isCurrent = agent.status?.observedGeneration === agent.metadata.generation;
  const wasShown = isReady(agent.status) && agent.status?.consistency?.sequence === last.seq;
  const isTold = last.seq <= state.everSent && (isOver(last.event.state) || wasShown);
  if (status !== undefined && isReady(status)) {
    demand(last.to === 'Ready' && observed.pods.length > 0, 'Ready is shown of what is not');
    demand(isBestEffort || isTold, 'Ready is shown before it is told');
  }
  if (last.to !== 'Ready' || state.tenancy !== 'Active' || !state.runtimeClass) return;
  demand(!isBestEffort || isReady(shown), 'Ready waits for an event that nobody asked for');
  demand(!wasShown || !isCurrent || isReady(shown), 'Ready is taken back for an event that is told again');
}

/** A pass that writes nothing: all is done that can be, and what time alone brings about is not slept through. */
function judgeQuiet(decide: Decide, state: ModelState, observed: AgentObserved, { outcome }: AgentDecision): void {
  const isHeld = state.tenancy === 'HoldAndDrain' || observed.agent?.spec.operatingMode === 'Suspended';
  const isKept = lastOf(state)?.to === 'Completed';
  const runs = observed.pods.some(({ metadata }) => metadata?.deletionTimestamp === undefined);
  demand(!state.database || !isHeld || isKept || !runs, 'it runs though it is held');
  judgeHealed(state, observed);
  judgeDeadlines(state, observed, outcome);
  const until = outcome.kind === 'settled' ? 3_600_000 : outcome.afterMs - 1_000;
  for (const later of [1_000, until]) {
    if (later > until || later <= 0) continue;
    const missed = writesOf(state, decide(observed, state.now + later));
    demand(missed.length === 0, `due ${later / 1000} s later, and nobody looks: ${missed.map(({ kind }) => kind)}`);
  }
}

/** Whatever the contract says of time, somebody looks by then. */
function judgeDeadlines(state: ModelState, { agent }: AgentObserved, outcome: Outcome): void {
  const last = lastOf(state);
  if (!state.database || agent === undefined || last === undefined) return;
  const { lifecycle, recovery, restartPolicy } = agent.spec;
  const { ttlSecondsAfterFinished = Number.POSITIVE_INFINITY } = lifecycle ?? {};
  const { retryAfterFailedSeconds = 0 } = recovery ?? {};
  const isFinished = last.to === 'Completed' || last.to === 'Failed';
  const retries = last.to === 'Failed' && restartPolicy === undefined && retryAfterFailedSeconds > 0;
  const dues = [
    sessionEnd(state, agent.spec),
    isFinished ? last.observedAt + ttlSecondsAfterFinished * 1000 : Number.POSITIVE_INFINITY,
    retries ? last.observedAt + retryAfterFailedSeconds * 1000 : Number.POSITIVE_INFINITY,
  ].filter((due) => due > state.now);
  const looks = outcome.kind === 'settled' ? Number.POSITIVE_INFINITY : state.now + outcome.afterMs;
  demand(looks <= Math.min(...dues), 'a deadline of its spec that nobody waits for');
}

/** Nothing is left to do of what the spec asks for, in whatever phase it was changed. */
function judgeHealed(state: ModelState, observed: AgentObserved): void {
  const { agent } = observed;
  const last = lastOf(state);
  if (!state.database || agent === undefined || last === undefined) return;
  const isOver = isSessionOver(state, agent.spec);
  demand(!isOver || last.to === 'Completed', 'it outlives its session');
  const isBlocked = state.tenancy !== 'Active' || !state.runtimeClass || agent.spec.volumeClaimTemplates !== undefined;
  // What is being suspended is carried to its end first.
  if (
    last.to === 'Suspending' ||
    isBlocked ||
    isOver ||
    agent.spec.operatingMode === 'Suspended' ||
    last.reason === 'SessionExpired'
  )
    return;
  const isCurrent = startRow(observed)?.detail.specHash === specHash(agent.spec);
  demand(isCurrent, `a spec that changes nothing of an agent that is ${last.to}`);
}

/** @throws Violation */
export function judgeState(state: ModelState): void {
  const { agent, pods } = state;
  demand(pods.filter(({ late }) => !late).length <= 1, 'two pods at a time');
  checkEvents(state);
  const { status } = agent ?? {};
  const isReady = findCondition(status?.conditions ?? [], 'Ready')?.status === 'True';
  demand(isReady === (status?.phase === 'Ready' && status.reason === 'AgentReady'), 'phase and condition differ');
}

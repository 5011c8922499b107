import { findCondition } from '../../kernel/conditions.ts';
import { type AgentDecision, decide as real } from '../../resources/agent/decide.ts';
import type { AgentObserved } from '../../resources/agent/facts.ts';
import { agentKey } from './agent-key.ts';
import {
  type AgentModelOptions,
  agentModel,
  type Decide,
  lastOf,
  type ModelState,
  recovery,
  specs,
  writesOf,
} from './agent-model.ts';
import { type Exploration, explore, Violation } from './explore.ts';

/** What must hold for an agent, told from the contract and not from the machine: every pass, every state, every end. */

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

export function demand(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Violation(what);
}

function judge(decide: Decide, state: ModelState, observed: AgentObserved, decision: AgentDecision): void {
  const { transitions, plan, status, outcome } = decision;
  let from: string = lastOf(state)?.to ?? 'New';
  for (const { from: said, to, attempt } of transitions) {
    demand(said === from, `${from} → ${to} is recorded as ${said} → ${to}`);
    demand(follows[from]?.includes(to) || detours[to]?.includes(from) === true, `a phase is skipped: ${from} → ${to}`);
    const podless = observed.pods.length === 0 && !observed.podOnItsWay;
    demand((to !== 'Suspended' && to !== 'Deleted') || podless, `${to} while a pod is left`);
    demand(to !== 'Failed' || attempt > recovery.backoffLimit, 'given up while tries are left');
    from = to;
  }
  demand(transitions.length === 0 || (plan.length === 0 && status === undefined), 'done before it was recorded');
  demand(state.database || transitions.length === 0, 'recorded without a database');
  const creates = plan.filter(({ kind }) => kind === 'create');
  if (creates.length > 0) {
    demand(creates.length === 1 && observed.pods.length === 0 && !observed.podOnItsWay, 'a pod beside another');
    demand(state.database && state.hold === 'None' && state.runtimeClass, 'a pod that must not be');
  }
  const ready = findCondition(status?.conditions ?? [], 'Ready')?.status === 'True';
  if (ready && state.database && observed.agent?.spec.events?.readinessGate !== 'BestEffort') {
    const last = lastOf(state);
    const told = last?.to === 'Ready' && last.seq <= state.sent && last.event.state === 'Published';
    demand(told && observed.pods.length > 0, 'Ready is shown before it is told');
  }
  if (writesOf(state, decision).length > 0) return;
  const until = outcome.kind === 'settled' ? 3_600_000 : outcome.afterMs - 1_000;
  for (const later of [1_000, until]) {
    if (later > until || later <= 0) continue;
    const missed = decide(observed, state.now + later);
    const writes = writesOf(state, missed);
    demand(
      writes.length === 0,
      `due ${later / 1000} s later, and nobody looks: ${JSON.stringify([writes, observed.agent?.status])}`,
    );
  }
}

function onState({ agent, pods, rows }: ModelState): void {
  demand(pods.filter(({ late }) => !late).length <= 1, 'two pods at a time');
  for (const [index, { seq }] of rows.entries())
    demand(index === 0 || seq > (rows[index - 1]?.seq ?? 0), 'out of sequence');
  const { status } = agent ?? {};
  const isReady = findCondition(status?.conditions ?? [], 'Ready')?.status === 'True';
  demand(isReady === (status?.phase === 'Ready' && status.reason === 'AgentReady'), 'phase and condition differ');
}

/** Where the story of an agent may end, told from what was asked for alone. */
export function isRest(state: ModelState): boolean {
  const { agent, pods, wish, rows, pass, onTheWire, woken } = state;
  if (pass !== undefined || woken || onTheWire !== undefined) return false;
  if (!rows.every(({ event }) => event.state === 'Published')) return false;
  const last = lastOf(state)?.to;
  if (agent === undefined) return pods.length === 0 && (last === undefined || last === 'Deleted');
  const { status } = agent;
  if (status?.observedGeneration !== agent.metadata.generation || status.phase !== last) return false;
  if (last === 'Failed') return pods.length === 0 && (wish.suspended || wish.spec === 'broken' || wish.spec === 'job');
  if (last === 'Completed') return wish.suspended || wish.spec === 'job';
  if (wish.suspended) return last === 'Suspended' && pods.length === 0;
  return (
    last === 'Ready' &&
    pods.length === 1 &&
    pods[0]?.readySince !== undefined &&
    pods[0].image === specs[wish.spec].image
  );
}

/** What a model of an agent is judged by. */
export function judged(decide: Decide = real): Pick<AgentModelOptions, 'decide' | 'onPass' | 'onState'> {
  return { decide, onState, onPass: (...pass) => judge(decide, ...pass) };
}

/** All stories of one agent with at most `budget` disturbances, of all kinds or of those given. */
export function exploreAgent(
  budget: number,
  options: { readonly decide?: Decide; readonly disturbances?: readonly string[] } = {},
): Exploration {
  const model = agentModel({ ...options, budget, ...judged(options.decide) });
  return explore({ ...model, key: agentKey, isRest });
}

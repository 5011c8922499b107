import type { AgentPool, AgentPoolSpec, AgentPoolStatus } from '../../api/v1alpha1/agentpool.ts';
import { labels } from '../../api/v1alpha1/names.ts';
import type { Action } from '../../kernel/action.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { PoolDecision, PoolObserved } from '../../resources/agentpool/decide.ts';
import type { PoolTransition } from '../../resources/agentpool/events.ts';
import type { PoolRow } from '../../resources/agentpool/history.ts';
import { type MemberObject, memberOf } from '../../resources/agentpool/member.ts';
import { revisionOf } from '../../resources/agentpool/template.ts';
import { at, t0, traceparent } from '../builders.ts';
import type { Model, Move } from './explore.ts';
import { poolCourses, poolDisturbances } from './pool-world.ts';

/**
 * A pool and its Agents, of which it sees their own status alone: so here an Agent is what that can say. How it gets
 * there is the business of agent-model.ts.
 */

/** One Agent. Times are ms since the epoch. */
export type PoolAgent = {
  readonly name: string;
  readonly uid: string;
  readonly revision: string;
  readonly createdAt: number;
  readonly phase: 'coming' | 'Ready' | 'Failed';
  readonly since: number;
  /** Deleted; its pod still stops. */
  readonly going: boolean;
  /** The cache does not show yet that it was made, or that it goes. */
  readonly unseen: boolean;
  /** The operator that runs knows that it asked for this. */
  readonly expected: boolean;
};

type PoolWrite =
  | { readonly kind: 'record'; readonly transitions: readonly PoolTransition[]; readonly after: number }
  | { readonly kind: 'action'; readonly action: Action }
  | { readonly kind: 'status'; readonly status: AgentPoolStatus; readonly version: string };

export type PoolState = {
  readonly now: number;
  readonly pool: AgentPool | undefined;
  /** It was deleted and its Agents are to stay. */
  readonly orphaning: boolean;
  readonly agents: readonly PoolAgent[];
  readonly row: PoolRow | undefined;
  readonly database: boolean;
  readonly woken: boolean;
  readonly due: number | undefined;
  readonly pass: { readonly writes: readonly PoolWrite[]; readonly outcome: Outcome } | undefined;
  readonly left: number;
};

export type PoolChange = Partial<PoolState> | undefined;
export type PoolDecide = (observed: PoolObserved, now: number) => PoolDecision;

export type PoolModelOptions = {
  readonly decide: PoolDecide;
  readonly spec: AgentPoolSpec;
  readonly disturbances?: readonly string[];
  readonly budget: number;
  /** @throws Violation */
  readonly onPass: (state: PoolState, observed: PoolObserved, decision: PoolDecision) => void;
};

export function poolModel(options: PoolModelOptions): Pick<Model<PoolState>, 'initial' | 'moves'> {
  const { spec, budget } = options;
  const metadata = { name: 'herd', namespace: 'research', uid: 'pool-uid', resourceVersion: '1', generation: 1 };
  const initial: PoolState = {
    now: t0,
    pool: {
      apiVersion: 'openos.dev/v1alpha1',
      kind: 'AgentPool',
      metadata: { ...metadata, creationTimestamp: at(t0) },
      spec,
    },
    orphaning: false,
    agents: [],
    row: undefined,
    database: true,
    woken: true,
    due: undefined,
    pass: undefined,
    left: budget,
  };
  return { initial, moves: (state) => movesOf(state, options) };
}

function movesOf(state: PoolState, options: PoolModelOptions): readonly Move<PoolState>[] {
  const chosen = Object.entries(poolDisturbances).filter(([name]) => options.disturbances?.includes(name) ?? true);
  const named = (all: readonly (readonly [string, (state: PoolState) => readonly PoolChange[]])[]) =>
    all.flatMap(([name, changes]) =>
      changes(state).flatMap((change) => (change ? [{ name, to: { ...state, woken: true, ...change } }] : [])),
    );
  const fair = [...operatorMoves(state, options), ...named(Object.entries(poolCourses))];
  const { due, now, woken, pass } = state;
  const sleeps = fair.length === 0 && pass === undefined && !woken && due !== undefined && due > now;
  const late = sleeps ? [{ name: 'time passes until the operator looks again', to: { ...state, now: due } }] : [];
  const unfair = state.left > 0 ? named(chosen) : [];
  return [
    ...[...fair, ...late].map((move) => ({ ...move, fair: true })),
    ...unfair.map(({ name, to }) => ({ name, to: { ...to, left: state.left - 1 }, fair: false })),
  ];
}

const outstandingMs = 2_000;

function operatorMoves(state: PoolState, options: PoolModelOptions): readonly Omit<Move<PoolState>, 'fair'>[] {
  const { pass, woken, due, now, agents, pool, row } = state;
  if (pass !== undefined) {
    const [write, ...writes] = pass.writes;
    if (write === undefined) return [];
    const done = carriedOut(state, write);
    const isAtEnd = done === undefined || writes.length === 0;
    const after = { ...state, ...done, pass: isAtEnd ? undefined : { ...pass, writes } };
    const to = isAtEnd ? { ...after, ...ended(after, done === undefined ? undefined : pass.outcome) } : after;
    return [{ name: `the operator writes: ${write.kind}`, to }];
  }
  if (!woken && (due === undefined || due > now)) return [];
  const resting = { ...state, woken: false, due: undefined };
  const move = (to: PoolState) => [{ name: 'the operator looks', to }];
  // As observePool does: what it asked for and has not seen is waited for.
  if (agents.some(({ unseen, expected }) => unseen && expected)) return move({ ...resting, due: now + outstandingMs });
  const observed = observePoolState(state);
  const isOver = row === undefined || row.to === 'Deleted';
  if (pool === undefined && !state.orphaning && observed.members.length === 0 && isOver) return move(resting);
  const decision = options.decide(observed, now);
  options.onPass(state, observed, decision);
  const writes = poolWrites(state, decision);
  const { outcome } = decision;
  return move(
    writes.length > 0 ? { ...resting, pass: { writes, outcome } } : { ...resting, ...ended(resting, outcome) },
  );
}

export function observePoolState({ pool, orphaning, agents, row, database }: PoolState): PoolObserved {
  return {
    uid: 'pool-uid',
    namespace: 'research',
    name: 'herd',
    pool,
    orphaning,
    tenancy: { kind: 'member', tenant: 'acme' },
    members: agents.filter(({ unseen, going }) => going || !unseen).map((agent) => memberOf(memberObject(agent))),
    refusal: undefined,
    history: database ? { kind: 'known', last: row } : { kind: 'unavailable', message: 'connection refused' },
    traceparent,
  };
}

function memberObject({ name, uid, revision, createdAt, phase, since, going, unseen }: PoolAgent): MemberObject {
  const time = { lastTransitionTime: at(since), message: '' };
  const status = phase === 'Ready' ? 'True' : 'False';
  const ready = { ...time, type: 'Ready', status, reason: phase === 'Ready' ? 'AgentReady' : 'PodNotReady' } as const;
  const stalled = { ...time, type: 'Stalled', status: 'True', reason: 'RetriesExhausted' } as const;
  return {
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'Agent',
    metadata: {
      name,
      namespace: 'research',
      uid,
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: at(createdAt),
      labels: { [labels.revision]: revision },
      ...(going && !unseen ? { deletionTimestamp: at(t0) } : {}),
    },
    spec: {},
    status: {
      phase: phase === 'coming' ? 'Starting' : phase,
      conditions: phase === 'Failed' ? [ready, stalled] : [ready],
    },
  } as unknown as MemberObject;
}

export function poolWrites({ pool, row }: PoolState, decision: PoolDecision): readonly PoolWrite[] {
  const { transitions, plan, status } = decision;
  const version = pool?.metadata.resourceVersion ?? '';
  return [
    ...(transitions.length > 0 ? [{ kind: 'record', transitions, after: row?.seq ?? 0 } as const] : []),
    ...plan.filter(({ kind }) => kind !== 'event').map((action) => ({ kind: 'action', action }) as const),
    ...(status === undefined ? [] : [{ kind: 'status', status, version } as const]),
  ];
}

/** One write as it is taken; undefined: refused, and the pass has failed. */
function carriedOut(state: PoolState, write: PoolWrite): PoolChange {
  const { pool, row, database } = state;
  switch (write.kind) {
    case 'record': {
      if (!database || (row?.seq ?? 0) !== write.after) return undefined;
      return { row: write.transitions.reduce(rowAfter, row) };
    }
    case 'action':
      return acted(state, write.action);
    case 'status': {
      if (pool === undefined) return {};
      if (pool.metadata.resourceVersion !== write.version) return undefined;
      const resourceVersion = `${Number(write.version) + 1}`;
      return { pool: { ...pool, metadata: { ...pool.metadata, resourceVersion }, status: write.status }, woken: true };
    }
    default:
      return write satisfies never;
  }
}

function rowAfter(row: PoolRow | undefined, { to, observedAt, detail }: PoolTransition): PoolRow {
  return { seq: (row?.seq ?? 0) + 1, to, observedAt, tenantId: 'acme', detail };
}

function acted({ agents, now }: PoolState, action: Action): PoolChange {
  if (action.kind === 'create') {
    const { name, labels: own } = action.object.metadata;
    // The API server keeps names apart: one of ours that is taken already counts as made, and is waited for.
    if (agents.some((agent) => agent.name === name && !agent.going))
      return {
        agents: agents.map((agent) => (agent.name === name && agent.unseen ? { ...agent, expected: true } : agent)),
      };
    const made = { name, uid: `${name}-${now}-${agents.length}`, revision: own?.[labels.revision] ?? '' };
    const fresh = { createdAt: now, phase: 'coming', since: now, going: false, unseen: true, expected: true } as const;
    return { agents: [...agents, { ...made, ...fresh }] };
  }
  if (action.kind !== 'delete') return {};
  const goes = (agent: PoolAgent) => agent.uid === action.uid && !agent.going;
  return {
    agents: agents.map((agent) => (goes(agent) ? { ...agent, going: true, unseen: true, expected: true } : agent)),
  };
}

const backoffMs = 500;

function ended({ now, woken }: PoolState, outcome: Outcome | undefined): Pick<PoolState, 'woken' | 'due'> {
  if (outcome === undefined) return { woken, due: now + backoffMs };
  if (outcome.kind === 'settled') return { woken, due: undefined };
  return outcome.afterMs === 0 ? { woken: true, due: undefined } : { woken, due: now + outcome.afterMs };
}

/** The revision of what the pool asks for now. */
export function wantedRevision({ pool }: PoolState): string {
  return pool === undefined ? '' : revisionOf(pool.spec.template);
}

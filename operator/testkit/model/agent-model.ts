import type { Agent, AgentSpec, AgentStatus } from '../../api/v1alpha1/agent.ts';
import type { Action } from '../../kernel/action.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { AgentDecision } from '../../resources/agent/decide.ts';
import type { AgentTransition } from '../../resources/agent/events.ts';
import type { AgentObserved } from '../../resources/agent/facts.ts';
import type { AgentRow } from '../../resources/agent/history.ts';
import type { AgentPod } from '../../resources/agent/pod.ts';
import { holdsPlace, placeRules } from '../../resources/places.ts';
import type { PlaceRoom } from '../../resources/quota.ts';
import { aHistory, anAgent, anObservedAgent, databaseAway, t0, traceparent } from '../builders.ts';
import type { Model, Move } from './explore.ts';
import { type ModelPod, podMoves, podObject } from './pod-model.ts';

export type Decide = (observed: AgentObserved, now: number) => AgentDecision;

export const recovery = { backoffLimit: 1, backoffSeconds: { base: 1, max: 1 }, retryAfterFailedSeconds: 30 } as const;
const common = { startupDeadlineSeconds: 20, recovery } as const;
/** What users ask for. The image of `broken` cannot be had; the program of `job` ends by itself. */
export const specs = {
  first: { ...common, image: 'registry.test/scout:1' },
  second: { ...common, image: 'registry.test/scout:2' },
  broken: { ...common, image: 'registry.test/missing:1' },
  job: { ...common, image: 'registry.test/job:1', restartPolicy: 'Never' },
  hasty: { ...common, image: 'registry.test/scout:1', events: { readinessGate: 'BestEffort' } },
} as const satisfies Readonly<Record<string, AgentSpec>>;
export type SpecName = keyof typeof specs;

export type Write =
  | { readonly kind: 'record'; readonly transitions: readonly AgentTransition[]; readonly after: number }
  | { readonly kind: 'action'; readonly action: Action }
  | { readonly kind: 'status'; readonly status: AgentStatus; readonly version: string };

/** A pass in hand: what it still has to write. Anything may happen between two writes. */
export type Pass = { readonly writes: readonly Write[]; readonly outcome: Outcome };

/** One agent's world at one moment: API server, cluster, database, stream and operator. Times are ms since the epoch. */
export type ModelState = {
  readonly now: number;
  readonly agent: Agent | undefined;
  readonly wish: { readonly spec: SpecName; readonly suspended: boolean };
  readonly pods: readonly ModelPod[];
  /** The newest row of each phase and every row whose event is not out. */
  readonly rows: readonly AgentRow[];
  /** The newest event of this agent that is on the stream; what the publisher knows of it is in the rows. */
  readonly sent: number;
  readonly database: boolean;
  readonly broker: boolean;
  readonly runtimeClass: boolean;
  readonly hold: 'None' | 'Hold' | 'HoldAndDrain';
  /** Something the operator watches has changed since it began its last pass. */
  readonly woken: boolean;
  readonly due: number | undefined;
  readonly pass: Pass | undefined;
  /** A request of an operator that was killed, which is still to arrive. */
  readonly onTheWire: Write | undefined;
  /** What the operator's caches show while they are behind. A create of its own it knows of all the same. */
  readonly behind: Pick<ModelState, 'agent' | 'pods'> | undefined;
  /** How much may still go wrong. */
  readonly left: number;
};

export type AgentModelOptions = {
  readonly decide: Decide;
  /** What happens to the agent beside what happens by itself, by name; everything there is unless it is given. */
  readonly disturbances?: readonly string[];
  /** How many of them happen at most in one story. */
  readonly budget: number;
  /** Looks at every pass and at every state. @throws Violation */
  readonly onPass: (state: ModelState, observed: AgentObserved, decision: AgentDecision) => void;
  readonly onState: (state: ModelState) => void;
  /** The place in the quota that this agent asks for, when it shares one with others. */
  readonly places?: PlaceRoom;
  /** Events are on the stream as soon as they are recorded: for models in which they are not the question. */
  readonly toldAtOnce?: boolean;
};

type Change = Partial<ModelState> | undefined;

export function agentModel(options: AgentModelOptions): Pick<Model<ModelState>, 'initial' | 'moves'> {
  const chosen = Object.entries(disturbances).filter(([name]) => options.disturbances?.includes(name) ?? true);
  return {
    initial: {
      now: t0,
      agent: anAgent({ spec: specs.first }),
      wish: { spec: 'first', suspended: false },
      pods: [],
      rows: [],
      sent: 0,
      database: true,
      broker: true,
      runtimeClass: true,
      hold: 'None',
      woken: true,
      due: undefined,
      pass: undefined,
      onTheWire: undefined,
      behind: undefined,
      left: options.budget,
    },
    moves: (state) => {
      options.onState(state);
      const meets = meetsOf(state);
      const own = operatorMoves(state, options);
      const others = [
        ...(meets('world') ? Object.entries(courses).flatMap(moveOf(state)) : []),
        ...(meets('pods') ? podCourses(state) : []),
      ];
      const fair = [...own, ...others];
      const unfair =
        state.left > 0
          ? chosen.filter(([, { on }]) => meets(on)).flatMap(([name, { change }]) => moveOf(state)([name, change]))
          : [];
      return [
        ...fair.map((move) => ({ ...move, fair: true })),
        // Time passes by itself when nothing else can happen; a world that is slower than that is one that disturbs.
        ...(fair.length === 0 ? moveOf(state)(time).map((move) => ({ ...move, fair: true })) : []),
        ...unfair.map(({ name, to }) => ({ name, to: { ...to, left: state.left - 1 }, fair: false })),
      ];
    },
  };
}

/** What a change touches. */
type Touched = 'operator' | 'world' | 'pods' | 'agent' | 'database';

/**
 * While a pass is in hand: only what may end differently before its next write than after it. The rest comes when
 * the pass has ended, to the same effect, because a pass looks once, at its beginning.
 */
function meetsOf({ pass }: ModelState): (on: Touched) => boolean {
  const next = pass?.writes[0]?.kind;
  if (next === undefined) return () => true;
  const met = { record: 'database', action: 'pods', status: 'agent' } as const;
  return (on) => on === 'operator' || on === met[next];
}

const moveOf =
  (state: ModelState) =>
  ([name, change]: readonly [string, (state: ModelState) => Change]): readonly Omit<Move<ModelState>, 'fair'>[] => {
    const changed = change(state);
    return changed === undefined ? [] : [{ name, to: { ...state, woken: true, ...changed } }];
  };

const time = [
  'time passes until the operator looks again',
  ({ pass, woken, due, now }: ModelState): Change =>
    pass === undefined && !woken && due !== undefined && due > now ? { now: due, woken: false } : undefined,
] as const;

export function lastOf({ rows }: Pick<ModelState, 'rows'>): AgentRow | undefined {
  return rows.at(-1);
}

export function observe(state: ModelState): AgentObserved {
  const { hold, runtimeClass, database, rows, broker } = state;
  const { agent, pods } = state.behind ?? state;
  return anObservedAgent({
    agent,
    tenancy: { kind: 'member', tenant: 'acme', rules: { suspend: hold } },
    runtimeClass: { name: 'gvisor', exists: runtimeClass },
    pods: pods.filter(({ seen }) => seen).map(podObject),
    podOnItsWay: state.pods.some(({ seen }) => !seen),
    history: database ? aHistory(...rows) : databaseAway,
    brokerAvailable: broker,
  });
}

function operatorMoves(state: ModelState, options: AgentModelOptions): readonly Omit<Move<ModelState>, 'fair'>[] {
  if (state.pass !== undefined) {
    const [write, ...writes] = state.pass.writes;
    if (write === undefined) return [];
    const { failed, ...done } = isShort(write, options)
      ? { failed: true }
      : carriedOut(state, write, options.toldAtOnce);
    const pass = failed || writes.length === 0 ? undefined : { ...state.pass, writes };
    const end = pass === undefined ? ended({ ...state, ...done }, failed ? undefined : state.pass.outcome) : {};
    return [{ name: `the operator writes: ${write.kind}`, to: { ...state, ...done, pass, ...end } }];
  }
  if (!state.woken && (state.due === undefined || state.due > state.now)) return [];
  const resting = { ...state, woken: false, due: undefined };
  if (isNothingLeft(state)) return [{ name: 'the operator looks', to: resting }];
  const { places } = options;
  const asks = places !== undefined && !holdsPlace(placeRules.agent, lastOf(state));
  const quota = { amounts: [], ...(asks ? { places } : {}) };
  const observed = { ...observe(state), ...(places === undefined ? {} : { quota }) };
  // As observeAgent does: before a pod is called lost the API server itself is asked whether the Agent stands.
  const isLost = observed.pods.length === 0 && withPod.has(lastOf(state)?.to ?? '');
  const isCertain = !(observed.agent !== undefined && isLost && state.agent === undefined);
  if (!isCertain) return [{ name: 'the operator looks', to: { ...resting, ...ended(resting, undefined) } }];
  const decision = options.decide(observed, state.now);
  options.onPass(state, observed, decision);
  const writes = writesOf(state, decision);
  const { outcome } = decision;
  const to = writes.length > 0 ? { ...resting, pass: { writes, outcome } } : { ...resting, ...ended(resting, outcome) };
  return [{ name: 'the operator looks', to }];
}

const withPod: ReadonlySet<string> = new Set(['Scheduled', 'Starting', 'Ready', 'NotReady']);

function isNothingLeft(state: ModelState): boolean {
  const { rows } = state;
  const { agent, pods } = state.behind ?? state;
  return agent === undefined && pods.length === 0 && (rows.length === 0 || rows.at(-1)?.to === 'Deleted');
}

/** What a decision writes, in the order of the kernel. Kubernetes Events are for people: nothing depends on them. */
export function writesOf(state: ModelState, { transitions, plan, status }: AgentDecision): readonly Write[] {
  const { rows } = state;
  const { agent } = state.behind ?? state;
  return [
    ...(transitions.length > 0 ? [{ kind: 'record', transitions, after: rows.at(-1)?.seq ?? 0 } as const] : []),
    ...plan.filter(({ kind }) => kind !== 'event').map((action) => ({ kind: 'action', action }) as const),
    ...(status === undefined
      ? []
      : [{ kind: 'status', status, version: agent?.metadata.resourceVersion ?? '' } as const]),
  ];
}

/** The queue's part: when the key comes again. A pass that failed is tried again after a moment. */
function ended({ now, woken }: ModelState, outcome: Outcome | undefined): Pick<ModelState, 'woken' | 'due'> {
  if (outcome === undefined) return { woken, due: now + backoffMs };
  if (outcome.kind === 'settled') return { woken, due: undefined };
  return outcome.afterMs === 0 ? { woken: true, due: undefined } : { woken, due: now + outcome.afterMs };
}

const backoffMs = 500;

/** The ledger refuses in the same statement: whoever saw a free place may not be the one who gets it. */
function isShort(write: Write, { places }: AgentModelOptions): boolean {
  if (write.kind !== 'record' || places === undefined) return false;
  const [first, last] = [write.transitions[0], write.transitions.at(-1)];
  const held = first !== undefined && first.from !== 'New' && holdsPlace(placeRules.agent, { to: first.from });
  return !held && holdsPlace(placeRules.agent, last) && places.used >= places.limit;
}

type Done = Partial<ModelState> & { readonly failed: boolean };

/** One write as the API server or the database takes it, or refuses it. */
function carriedOut(state: ModelState, write: Write, toldAtOnce = false): Done {
  switch (write.kind) {
    case 'record': {
      const isRefused = !state.database || (lastOf(state)?.seq ?? 0) !== write.after;
      if (isRefused) return { failed: true };
      const rows = recorded(state.rows, write.transitions);
      return { failed: false, ...(toldAtOnce ? told(rows, state.now) : { rows }) };
    }
    case 'action':
      return { failed: false, ...acted(state, write.action) };
    case 'status': {
      const { agent, behind } = state;
      if (agent === undefined) return { failed: false };
      if (agent.metadata.resourceVersion !== write.version) return { failed: true };
      const written = changed(agent, { status: write.status });
      // What we wrote ourselves we know before the watch tells it.
      return { failed: false, agent: written, woken: true, behind: behind && { ...behind, agent: written } };
    }
    default:
      return write satisfies never;
  }
}

/** The object after a write: another version, and another generation when its spec is another. */
function changed(agent: Agent, { spec, status }: Partial<Pick<Agent, 'spec' | 'status'>>): Agent {
  const { metadata } = agent;
  return {
    ...agent,
    metadata: {
      ...metadata,
      resourceVersion: `${Number(metadata.resourceVersion) + 1}`,
      generation: metadata.generation + (spec === undefined ? 0 : 1),
    },
    spec: spec ?? agent.spec,
    ...(status === undefined ? {} : { status }),
  };
}

function recorded(rows: readonly AgentRow[], transitions: readonly AgentTransition[]): readonly AgentRow[] {
  const lastSeq = rows.at(-1)?.seq ?? 0;
  const added = transitions.map(({ event, ...fact }, index): AgentRow => {
    const seq = lastSeq + 1 + index;
    return {
      ...fact,
      seq,
      tenantId: 'acme',
      traceparent,
      event: { id: `event-${seq}`, type: event.type, state: 'Pending' },
    };
  });
  return kept([...rows, ...added]);
}

function told(rows: readonly AgentRow[], publishedAt: number): Pick<ModelState, 'rows' | 'sent'> {
  const published = rows.map((row) =>
    row.event.state === 'Published'
      ? row
      : { ...row, event: { ...row.event, state: 'Published' as const, publishedAt } },
  );
  return { rows: kept(published), sent: rows.at(-1)?.seq ?? 0 };
}

function kept(rows: readonly AgentRow[]): readonly AgentRow[] {
  const newest = new Set(new Map(rows.map((row) => [row.to, row])).values());
  return rows.filter((row) => newest.has(row) || row.event.state !== 'Published');
}

function acted({ pods, now }: ModelState, action: Action, late = false): Partial<ModelState> {
  if (action.kind === 'create') {
    const { name } = action.object.metadata;
    // A POST under a name that stands changes nothing: the executor finds that it is ours.
    if (pods.some((pod) => pod.name === name)) return {};
    const image = (action.object as AgentPod).spec.containers[0]?.image ?? '';
    const pod = { name, image, uid: `uid-of-${name}`, createdAt: now, seen: late, late };
    return { pods: [...pods, pod], ...(late ? { woken: true } : {}) };
  }
  if (action.kind !== 'delete' || !pods.some((pod) => pod.uid === action.uid && !pod.deleting)) return {};
  const left = pods.flatMap((pod) =>
    pod.uid !== action.uid ? [pod] : pod.scheduled ? [{ ...pod, deleting: true }] : [],
  );
  return { pods: left, woken: true };
}

/** What happens by itself, sooner or later, beside what pods do. */
const courses: Readonly<Record<string, (state: ModelState) => Change>> = {
  'the oldest event is published': ({ broker, database, rows, sent, now, woken }) => {
    const oldest = oldestOpen(rows);
    if (oldest?.event.state !== 'Pending') return undefined;
    if (oldest.seq > sent && !broker) return undefined;
    if (database)
      return {
        sent: Math.max(sent, oldest.seq),
        rows: kept(withEvent(rows, oldest, { state: 'Published', publishedAt: now })),
      };
    // On the stream, and not marked: the publisher cannot say so yet.
    return oldest.seq > sent ? { sent: oldest.seq, woken } : undefined;
  },
  'a refused event is requeued': ({ database, rows }) => {
    const dead = rows.find(({ event }) => event.state === 'DeadLettered');
    return database && dead !== undefined ? { rows: withEvent(rows, dead, { state: 'Pending' }) } : undefined;
  },
  'the database is back': ({ database }) => (database ? undefined : { database: true }),
  'the broker is back': ({ broker }) => (broker ? undefined : { broker: true }),
  'the runtime class is back': ({ runtimeClass }) => (runtimeClass ? undefined : { runtimeClass: true }),
  'the Tenant holds no more': ({ hold }) => (hold === 'None' ? undefined : { hold: 'None' }),
  'the caches catch up': ({ behind }) => (behind === undefined ? undefined : { behind: undefined }),
  'the request of a killed operator arrives': (state) => {
    const { onTheWire } = state;
    if (onTheWire === undefined) return undefined;
    const { failed: _, ...done } =
      onTheWire.kind === 'action'
        ? { failed: false, ...acted(state, onTheWire.action, true) }
        : carriedOut(state, onTheWire);
    return { ...done, onTheWire: undefined };
  },
};

function oldestOpen(rows: readonly AgentRow[]): AgentRow | undefined {
  return rows.find(({ event }) => event.state !== 'Published');
}

function withEvent(rows: readonly AgentRow[], of: AgentRow, event: Partial<AgentRow['event']>): readonly AgentRow[] {
  return rows.map((row) => (row === of ? { ...row, event: { ...row.event, ...event } } : row));
}

function podCourses(state: ModelState): readonly Omit<Move<ModelState>, 'fair'>[] {
  const visible = state.behind === undefined ? state.pods : state.pods.filter(({ seen }) => seen);
  return visible.flatMap((pod) =>
    podMoves(pod, state.now).map(({ name, to }) => {
      const pods = state.pods.flatMap((each) => (each !== pod ? [each] : to === undefined ? [] : [to]));
      return { name, to: { ...state, pods, woken: true } };
    }),
  );
}

/** A change of every pod the operator can see and nobody deletes; nothing when there is none. */
const pods =
  (change: (pod: ModelPod) => ModelPod | undefined) =>
  (state: ModelState): Change => {
    if (!state.pods.some((pod) => pod.seen && !pod.deleting)) return undefined;
    const after = state.pods.flatMap((pod) => (pod.seen && !pod.deleting ? (change(pod) ?? []) : pod));
    return after.every((pod, index) => pod === state.pods[index]) && after.length === state.pods.length
      ? undefined
      : { pods: after };
  };

const edit =
  (wish: Partial<ModelState['wish']>) =>
  (state: ModelState): Change => {
    const next = { ...state.wish, ...wish };
    if (state.agent === undefined || (next.spec === state.wish.spec && next.suspended === state.wish.suspended))
      return undefined;
    const spec: AgentSpec = { ...specs[next.spec], ...(next.suspended ? { operatingMode: 'Suspended' } : {}) };
    return { wish: next, agent: changed(state.agent, { spec }) };
  };

/** A restarted operator lists everything anew and remembers nothing. */
const restarted = (state: ModelState): Partial<ModelState> => {
  return {
    pass: undefined,
    due: undefined,
    behind: undefined,
    pods: state.pods.map((pod) => ({ ...pod, seen: true })),
  };
};

type Disturbance = { readonly on: Touched; readonly change: (state: ModelState) => Change };

/** What may go wrong, and what people may want. */
export const disturbances: Readonly<Record<string, Disturbance>> = {
  'nothing happens until the operator looks again': { on: 'world', change: time[1] },
  'the caches fall behind': {
    on: 'world',
    change: ({ agent, pods: shown, behind, woken }) =>
      behind === undefined ? { behind: { agent, pods: shown }, woken } : undefined,
  },
  'the operator is killed': { on: 'operator', change: restarted },
  'the operator is killed with a request on the wire': {
    on: 'operator',
    change: (state) => {
      const write = state.pass?.writes[0];
      if (write === undefined || write.kind === 'record' || state.onTheWire !== undefined) return undefined;
      return { ...restarted(state), onTheWire: write };
    },
  },
  'the pod fails': {
    on: 'pods',
    change: pods((pod) => (pod.scheduled ? { ...pod, failed: true, readySince: undefined } : pod)),
  },
  'the pod crashes again and again': {
    on: 'pods',
    change: pods((pod) => (pod.started ? { ...pod, crashing: true, readySince: undefined } : pod)),
  },
  'the pod loses readiness': {
    on: 'pods',
    change: pods((pod) => (pod.readySince === undefined ? pod : { ...pod, readySince: undefined })),
  },
  'the pod vanishes': { on: 'pods', change: pods(() => undefined) },
  'somebody deletes the pod': {
    on: 'pods',
    change: pods((pod) => (pod.scheduled ? { ...pod, deleting: true } : undefined)),
  },
  'the node is lost': {
    on: 'pods',
    change: pods((pod) => (pod.scheduled ? { ...pod, nodeLost: true, readySince: undefined } : pod)),
  },
  'the pod is drained': {
    on: 'pods',
    change: pods((pod) => (pod.scheduled ? { ...pod, disrupted: true, failed: true, readySince: undefined } : pod)),
  },
  'eleven minutes pass': {
    on: 'world',
    change: (state) => (state.pass === undefined ? { now: state.now + 660_000, woken: state.woken } : undefined),
  },
  'the database goes away': { on: 'database', change: ({ database }) => (database ? { database: false } : undefined) },
  'the broker goes away': { on: 'world', change: ({ broker }) => (broker ? { broker: false } : undefined) },
  'the broker refuses the oldest event': {
    on: 'world',
    change: ({ rows, sent, broker, database }) => {
      const oldest = oldestOpen(rows);
      if (!broker || !database || oldest?.event.state !== 'Pending' || oldest.seq <= sent) return undefined;
      return { rows: withEvent(rows, oldest, { state: 'DeadLettered', lastError: 'too large' }) };
    },
  },
  'the runtime class goes': {
    on: 'world',
    change: ({ runtimeClass }) => (runtimeClass ? { runtimeClass: false } : undefined),
  },
  'the Tenant holds': { on: 'world', change: ({ hold }) => (hold === 'None' ? { hold: 'Hold' } : undefined) },
  'the Tenant drains': {
    on: 'world',
    change: ({ hold }) => (hold === 'HoldAndDrain' ? undefined : { hold: 'HoldAndDrain' }),
  },
  'it is suspended': { on: 'agent', change: edit({ suspended: true }) },
  'it is to run again': { on: 'agent', change: edit({ suspended: false }) },
  'its spec is another': { on: 'agent', change: edit({ spec: 'second' }) },
  'its spec is the first again': { on: 'agent', change: edit({ spec: 'first' }) },
  'its spec cannot work': { on: 'agent', change: edit({ spec: 'broken' }) },
  'its spec is a job': { on: 'agent', change: edit({ spec: 'job' }) },
  'its spec waits for no event': { on: 'agent', change: edit({ spec: 'hasty' }) },
  'it is deleted': { on: 'agent', change: ({ agent }) => (agent === undefined ? undefined : { agent: undefined }) },
};

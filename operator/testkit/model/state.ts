import type { Agent, AgentSpec, AgentStatus } from '../../api/v1alpha1/agent.ts';
import type { Action } from '../../kernel/action.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { AgentDecision } from '../../resources/agent/decide.ts';
import type { AgentTransition } from '../../resources/agent/events.ts';
import type { AgentObserved } from '../../resources/agent/facts.ts';
import type { AgentRow } from '../../resources/agent/history.ts';
import { anAgent, at, t0 } from '../builders.ts';
import type { ModelClaim } from './claim-model.ts';
import type { ModelPod } from './pod-model.ts';

export type Decide = (observed: AgentObserved, now: number) => AgentDecision;

const recovery = { backoffLimit: 1, backoffSeconds: { base: 1, max: 1 }, retryAfterFailedSeconds: 30 } as const;
const common = { image: 'registry.test/scout:1', startupDeadlineSeconds: 20, recovery } as const;
const volumeClaimTemplates = [
  {
    metadata: { name: 'data' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  },
] as const;

const lastHour = { shutdownTime: at(t0 + 40_000) } as const;

/** What users ask for. The image of `broken` cannot be had; the program of `job` ends by itself. */
export const specs = {
  first: common,
  second: { ...common, image: 'registry.test/scout:2' },
  broken: { ...common, image: 'registry.test/missing:1' },
  job: { ...common, image: 'registry.test/job:1', restartPolicy: 'Never' },
  hasty: { ...common, events: { readinessGate: 'BestEffort' } },
  /** Has one try. */
  once: { ...common, recovery: { ...recovery, backoffLimit: 0, retryAfterFailedSeconds: 0 }, lifecycle: lastHour },
  keeper: { ...common, volumeClaimTemplates },
  /** Its claims go with it, and while it is suspended. */
  owner: {
    ...common,
    volumeClaimTemplates,
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Delete' },
  },
  session: { ...common, lifecycle: { maxSessionDurationSeconds: 60 } },
  visit: { ...common, lifecycle: { maxSessionDurationSeconds: 60, shutdownPolicy: 'Delete' } },
  curfew: { ...common, lifecycle: { ...lastHour, ttlSecondsAfterFinished: 30 } },
} as const satisfies Readonly<Record<string, AgentSpec>>;
export type SpecName = keyof typeof specs;

/** What was asked for last. `updated`: another image than at first, for a spec whose image works. */
export type Wish = { readonly spec: SpecName; readonly updated: boolean; readonly suspended: boolean };

export function specOf({ spec, updated, suspended }: Wish): AgentSpec {
  return {
    ...specs[spec],
    ...(updated && specs[spec].image === common.image ? { image: specs.second.image } : {}),
    ...(suspended ? { operatingMode: 'Suspended' } : {}),
  };
}

export type Write =
  | { readonly kind: 'record'; readonly transitions: readonly AgentTransition[]; readonly after: number }
  | { readonly kind: 'action'; readonly action: Action }
  | { readonly kind: 'status'; readonly status: AgentStatus; readonly version: string };

/** A pass in hand: what it still has to write, and on what look. Anything may happen between two writes. */
export type Pass = {
  readonly writes: readonly Write[];
  readonly outcome: Outcome;
  readonly observed: AgentObserved;
  readonly decision: AgentDecision;
};

/** What the operator's caches hold of this agent. */
export type Cached = Pick<ModelState, 'agent' | 'pods' | 'claims'>;

/** One agent's world at one moment: API server, cluster, database, stream and operator. Times are ms since the epoch. */
export type ModelState = {
  readonly now: number;
  readonly agent: Agent | undefined;
  readonly wish: Wish;
  readonly pods: readonly ModelPod[];
  readonly claims: readonly ModelClaim[];
  /** The newest row of each phase and every row whose event is not out. */
  readonly rows: readonly AgentRow[];
  /** When it was Ready for the first time. */
  readonly firstReadyAt: number | undefined;
  /** The newest event of this agent that is on the stream; what the publisher knows of it is in the rows. */
  readonly sent: number;
  /** The newest that ever was: a stream may lose what it had. */
  readonly everSent: number;
  readonly database: boolean;
  readonly broker: boolean;
  readonly runtimeClass: boolean;
  /** Whose the namespace is: a Tenant's, one's that starts or runs nothing, or nobody's. */
  readonly tenancy: 'Active' | 'Hold' | 'HoldAndDrain' | 'nobody';
  /** What the API server answers with 403. */
  readonly refused: 'nothing' | 'pods' | 'claims';
  /** Something the operator watches has changed since it began its last pass. */
  readonly woken: boolean;
  readonly due: number | undefined;
  readonly pass: Pass | undefined;
  /** A request of an operator that was killed, which is still to arrive. */
  readonly onTheWire: Write | undefined;
  /** What the operator's caches show while they are behind. */
  readonly behind: Cached | undefined;
  /** How much may still go wrong. */
  readonly left: number;
};

export type Change = Partial<ModelState> | undefined;

/** How a story begins: an Agent that was just created, in a world where nothing is wrong. */
export function beginning(
  budget: number,
  { spec = 'first', claims = [] }: { readonly spec?: SpecName; readonly claims?: readonly ModelClaim[] } = {},
): ModelState {
  return {
    now: t0,
    agent: anAgent({ spec: specs[spec] }),
    wish: { spec, updated: false, suspended: false },
    pods: [],
    claims,
    rows: [],
    firstReadyAt: undefined,
    sent: 0,
    everSent: 0,
    database: true,
    broker: true,
    runtimeClass: true,
    tenancy: 'Active',
    refused: 'nothing',
    woken: true,
    due: undefined,
    pass: undefined,
    onTheWire: undefined,
    behind: undefined,
    left: budget,
  };
}

export function lastOf({ rows }: Pick<ModelState, 'rows'>): AgentRow | undefined {
  return rows.at(-1);
}

/** The object after a write: another version, and another generation when its spec is another. */
export function changed(agent: Agent, { spec, status }: Partial<Pick<Agent, 'spec' | 'status'>>): Agent {
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

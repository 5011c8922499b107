import type { AgentPool, AgentPoolStatus } from '../../api/v1alpha1/agentpool.ts';
import type { Action } from '../../kernel/action.ts';
import { sameStatus } from '../../kernel/conditions.ts';
import { ApiError, type OperatorError } from '../../kernel/errors.ts';
import { requeue, requeueAt, settled } from '../../kernel/outcome.ts';
import type { PolicyRule } from '../../kernel/rbac.ts';
import type { Explanation, PassPorts } from '../../kernel/reconcile.ts';
import { agentPoolResource } from '../own.ts';
import { explainUntold } from '../untold.ts';
import { decide, type PoolObserved, type Refusal } from './decide.ts';
import type { PoolTransition } from './events.ts';
import { goalOf } from './goal.ts';
import { lastRow } from './history.ts';
import { observePool, type PoolSources } from './observe.ts';
import { judge, poolStatus, statusEvents } from './status.ts';

/** What this controller may do on the API server; the chart's role is generated from it. */
export const agentPoolPermissions: readonly PolicyRule[] = [
  { apiGroups: ['openos.dev'], resources: ['agentpools'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['openos.dev'], resources: ['agentpools/status'], verbs: ['update'] },
  { apiGroups: ['openos.dev'], resources: ['agents'], verbs: ['get', 'list', 'watch', 'create', 'delete'] },
];

/** What the pool controller does its work through; wired in the composition root. */
export type PoolPorts = PoolSources & {
  readonly record: (observed: PoolObserved, transitions: readonly PoolTransition[]) => Promise<void>;
  readonly execute: (action: Action) => Promise<void>;
  readonly writeStatus: (target: {
    readonly resource: typeof agentPoolResource;
    readonly object: AgentPool;
    readonly status: AgentPoolStatus;
  }) => Promise<void>;
  /** Remembers that a create or delete is asked for, until the cache shows it or `unexpect` takes it back. */
  readonly expect: (uid: string, action: Action) => void;
  readonly unexpect: (uid: string, action: Action) => void;
  /** Whether the cache shows what the action has brought about. */
  readonly isSeen: (uid: string, action: Action) => boolean;
  readonly setRefusal: (uid: string, refusal: Refusal | undefined) => void;
};

const collisionRetryMs = 100;
const retryMs = { least: 1_000, most: 60_000 } as const;

/** The ports of one pool pass. Keys are UIDs: a re-created name is another pool. */
export function poolPass(ports: PoolPorts): PassPorts<PoolObserved, PoolTransition, AgentPoolStatus> {
  return {
    observe: (uid) => observePool(uid, ports),
    decide,
    record: ports.record,
    execute: (action, observed) => executeFor(observed, action, ports),
    writeStatus: async ({ pool }, status) => {
      if (pool !== undefined) await ports.writeStatus({ resource: agentPoolResource, object: pool, status });
    },
    explain: (observed, _decision, error, now, failed) => explain(observed, error, now, failed, ports),
    explainUnrecorded: ({ pool }, error, now) => explainUntold(pool, error, now),
  };
}

async function executeFor({ uid, refusal }: PoolObserved, action: Action, ports: PoolPorts): Promise<void> {
  if (action.kind !== 'create' && action.kind !== 'delete') return ports.execute(action);
  ports.expect(uid, action);
  try {
    await ports.execute(action);
  } catch (error) {
    ports.unexpect(uid, action);
    throw error;
  }
  // The cache may have shown it between the look and the request: no event would come to say so.
  if (ports.isSeen(uid, action)) ports.unexpect(uid, action);
  if (action.kind === 'create' && refusal !== undefined) ports.setRefusal(uid, undefined);
}

/** An Agent the API server will not have is shown with its own words, and tried again ever more rarely. */
function explain(
  observed: PoolObserved,
  error: OperatorError,
  now: number,
  failed: Action,
  ports: PoolPorts,
): Explanation<AgentPoolStatus> | undefined {
  const { pool } = observed;
  if (pool === undefined || failed.kind !== 'create') return undefined;
  if (error.code === 'NameConflict') return otherNames(observed, pool, now);
  if (!(error instanceof ApiError) || (error.status !== 403 && error.status !== 422)) return undefined;
  const refusal = refusalOf(observed, pool, error, now);
  ports.setRefusal(observed.uid, refusal);
  const told = { ...observed, refusal };
  const goal = goalOf(pool, lastRow(observed.history)?.detail, observed.members);
  const status = poolStatus(told, pool, judge(told, pool, { goal, wantsMore: true }, now), now);
  const outcome = Number.isFinite(refusal.until) ? requeueAt(refusal.until, now) : settled;
  if (sameStatus(pool.status, status)) return { outcome };
  return { events: statusEvents(pool, status), status, outcome };
}

/** A stranger's Agent has the name: it stays untouched, and from now on the pool draws other names. */
function otherNames(observed: PoolObserved, pool: AgentPool, now: number): Explanation<AgentPoolStatus> {
  const goal = goalOf(pool, lastRow(observed.history)?.detail, observed.members);
  const status = poolStatus(observed, pool, judge(observed, pool, { goal, wantsMore: true }, now), now);
  const collisionCount = (pool.status?.collisionCount ?? 0) + 1;
  return { status: { ...status, collisionCount }, outcome: requeue(collisionRetryMs) };
}

/** As long again as it has been refused, 1 s to a minute; what the server cannot accept as written waits for another spec. */
function refusalOf({ refusal }: PoolObserved, pool: AgentPool, error: ApiError, now: number): Refusal {
  const { generation } = pool.metadata;
  const message = error.serverMessage;
  if (error.kind === 'terminal') return { message, generation, since: now, until: Number.POSITIVE_INFINITY };
  const since = refusal?.generation === generation ? refusal.since : now;
  return { message, generation, since, until: now + Math.min(retryMs.most, Math.max(retryMs.least, now - since)) };
}

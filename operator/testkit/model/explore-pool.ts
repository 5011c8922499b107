import type { AgentPoolSpec } from '../../api/v1alpha1/agentpool.ts';
import { isTrue } from '../../kernel/conditions.ts';
import { type PoolDecision, type PoolObserved, decide as real } from '../../resources/agentpool/decide.ts';
import { demand, type Exploration, explore } from './explore.ts';
import {
  type PoolDecide,
  type PoolModelOptions,
  type PoolState,
  poolModel,
  poolWrites,
  wantedRevision,
} from './pool-model.ts';

/** What must hold for a pool, told from the contract: every pass and every end. */

export type PoolStory = Pick<PoolModelOptions, 'budget' | 'disturbances'> & {
  readonly replicas: number;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
  readonly minReadySeconds?: number;
};

/** All stories of a pool and its Agents with at most `budget` disturbances. */
export function explorePool(story: PoolStory, decide: PoolDecide = real): Exploration {
  const { replicas, maxSurge, maxUnavailable, minReadySeconds, ...rest } = story;
  const spec: AgentPoolSpec = {
    replicas,
    template: { spec: { image: 'registry.test/agent:1' } },
    updateStrategy: { rollingUpdate: { maxSurge, maxUnavailable } },
    ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
  };
  const model = poolModel({ ...rest, spec, decide, onPass: (...pass) => judge(decide, ...pass) });
  return explore({ ...model, key: poolKey, isRest });
}

function judge(decide: PoolDecide, state: PoolState, observed: PoolObserved, decision: PoolDecision): void {
  const { plan, transitions, outcome } = decision;
  const { pool, members } = observed;
  const creates = plan.filter(({ kind }) => kind === 'create').length;
  const deleted = plan.flatMap((action) => (action.kind === 'delete' ? [action.uid] : []));
  demand(state.database || (transitions.length === 0 && creates === 0), 'recorded or made without a database');
  demand(transitions.length === 0 || plan.length === 0, 'done before it was recorded');
  demand(transitions.every(({ to }) => to !== 'Deleted') || members.length === 0, 'Deleted while Agents are left');
  demand(!observed.orphaning || deleted.length === 0, 'an Agent that is to stay is deleted');
  if (pool === undefined) {
    demand(creates === 0, 'an Agent of a pool that is gone');
  } else if (state.database) {
    const { replicas = 1, updateStrategy, paused, minReadySeconds = 0 } = pool.spec;
    const { maxSurge = 0, maxUnavailable = 0 } = updateStrategy?.rollingUpdate ?? {};
    const live = members.filter(({ terminating }) => !terminating);
    const rolls = paused !== true && live.some(({ revision }) => revision !== wantedRevision(state));
    demand(creates === 0 || members.length + creates <= replicas + (rolls ? Number(maxSurge) : 0), 'too many Agents');
    const isAvailable = ({ readySince }: (typeof members)[number]) =>
      readySince !== undefined && state.now - readySince >= minReadySeconds * 1000;
    const available = live.filter(isAvailable);
    const kept = available.filter(({ uid }) => !deleted.includes(uid));
    const least = Math.min(available.length, replicas - (rolls ? Number(maxUnavailable) : 0));
    demand(kept.length >= least, 'too few Agents are left available');
    const surplus = Math.max(0, live.length - replicas);
    demand(paused !== true || deleted.length <= surplus, 'replaced while it is paused');
  }
  if (poolWrites(state, decision).length > 0) return;
  const until = outcome.kind === 'settled' ? 500_000 : outcome.afterMs - 1_000;
  for (const later of [1_000, until].filter((each) => each > 0 && each <= until)) {
    const missed = poolWrites(state, decide(observed, state.now + later));
    demand(missed.length === 0, `due ${later / 1000} s later, and nobody looks: ${missed.map(({ kind }) => kind)}`);
  }
}

function isRest(state: PoolState): boolean {
  const { pool, agents, row, pass, woken, orphaning } = state;
  if (pass !== undefined || woken || orphaning) return false;
  if (pool === undefined) return agents.length === 0 && (row === undefined || row.to === 'Deleted');
  const { replicas = 1, minReadySeconds = 0 } = pool.spec;
  const { status } = pool;
  const isWish = ({ phase, since, going, revision }: PoolState['agents'][number]) =>
    phase === 'Ready' && state.now - since >= minReadySeconds * 1000 && !going && revision === wantedRevision(state);
  const isShown = status?.observedGeneration === pool.metadata.generation && status.availableReplicas === replicas;
  return isShown && isTrue(status.conditions ?? [], 'Ready') && agents.length === replicas && agents.every(isWish);
}

const longestMs = 600_000;

/** What of a state bears on what happens next, as text; Agents by their names, for of equals the name decides. */
function poolKey(state: PoolState): string {
  const { now, pool, orphaning, agents, row, database, woken, due, pass, left } = state;
  const age = (at: number) => Math.min(now - at, longestMs);
  const of = (revision: string | undefined) => revision === wantedRevision(state);
  const { conditions = [], observedGeneration, ...counts } = pool?.status ?? {};
  return JSON.stringify([
    [left, orphaning, database, woken, due === undefined || woken ? '-' : due - now],
    pool === undefined ? 'gone' : [pool.spec, observedGeneration === pool.metadata.generation, counts],
    conditions.map(({ type, status, reason, lastTransitionTime }) => [
      type,
      status,
      reason,
      age(Date.parse(lastTransitionTime)),
    ]),
    row === undefined ? '-' : [row.to, row.detail.replicas, row.detail.revision, age(row.observedAt)],
    agents
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, revision, createdAt, phase, since, going, unseen, expected }) => [
        name,
        [of(revision), revision],
        [age(createdAt), phase, age(since), going, unseen, expected],
      ]),
    pass?.writes.map((write) => {
      if (write.kind === 'record')
        return [write.transitions.map(({ to, detail }) => [to, detail]), write.after === (row?.seq ?? 0)];
      if (write.kind === 'status')
        return [
          write.status.conditions?.map(({ reason }) => reason),
          write.status.replicas,
          write.version === pool?.metadata.resourceVersion,
        ];
      if (write.action.kind === 'create') return ['create', write.action.object.metadata.name];
      return write.action.kind === 'delete'
        ? ['delete', agents.find(({ uid }) => write.action.kind === 'delete' && uid === write.action.uid)?.name]
        : write.action.kind;
    }),
    pass === undefined || pass.outcome.kind === 'settled' ? '-' : pass.outcome.afterMs,
  ]);
}

import type { AgentPool } from '../../api/v1alpha1/agentpool.ts';
import type { PoolDetail } from './history.ts';
import { consecutiveFailures, type Member } from './member.ts';
import { type Goal, share } from './select.ts';
import { revisionOf } from './template.ts';

const defaultShare = '25%';
/** After so many failed Agents in a row no more are made, unless spec.maxConsecutiveFailures says otherwise. */
const defaultFailureLimit = 5;

export function failureLimit(pool: AgentPool): number {
  return pool.spec?.maxConsecutiveFailures ?? defaultFailureLimit;
}

/** How many Agents are asked for. A pool that does not say keeps what it was asked for before. */
export function desiredReplicas({ spec }: AgentPool, recorded: PoolDetail | undefined): number {
  return spec?.replicas ?? recorded?.replicas ?? 1;
}

/** The template's revision in effect: while the pool is paused, a change of the template is not. */
export function effectiveRevision({ spec }: AgentPool, recorded: PoolDetail | undefined): string {
  if (recorded !== undefined && spec?.paused === true) return recorded.revision;
  return spec?.template === undefined ? (recorded?.revision ?? '') : revisionOf(spec.template);
}

/** What the pool's Agents should come to, by what is asked for and what they have shown so far. */
export function goalOf(pool: AgentPool, recorded: PoolDetail | undefined, members: readonly Member[]): Goal {
  // A spec that cannot be used may be anything at all: it is only counted by.
  const spec = pool.spec ?? {};
  const replicas = desiredReplicas(pool, recorded);
  const revision = effectiveRevision(pool, recorded);
  const { maxSurge, maxUnavailable } = spec.updateStrategy?.rollingUpdate ?? {};
  const surge = share(maxSurge ?? defaultShare, replicas, 'up');
  const unavailable = share(maxUnavailable ?? defaultShare, replicas, 'down');
  const updated = members.filter((member) => member.revision === revision && !member.terminating);
  return {
    replicas,
    revision,
    maxSurge: surge,
    // Both zero, by rounding, would be a standstill: as with a Deployment one may then be missing.
    maxUnavailable: surge === 0 && unavailable === 0 ? 1 : Math.min(unavailable, replicas),
    rolling: spec.updateStrategy?.type !== 'OnDelete' && spec.paused !== true,
    held: consecutiveFailures(updated) >= failureLimit(pool),
    minReadyMs: (spec.minReadySeconds ?? 0) * 1000,
  };
}

import type { AgentPool } from '../../api/v1alpha1/agentpool.ts';
import type { AgentPoolReason } from '../../api/v1alpha1/reasons.ts';
import type { PoolObserved } from './decide.ts';
import { desiredReplicas, effectiveRevision } from './goal.ts';
import { lastRow, type PoolDetail, type PoolPhase, type PoolRow } from './history.ts';

export type PoolEventType = 'agentpool.created' | 'agentpool.scaled' | 'agentpool.updated' | 'agentpool.deleted';

/** A fact to be recorded, with the event that tells it. `observedAt` is in ms since the epoch. */
export type PoolTransition = {
  readonly from: PoolPhase | 'New';
  readonly to: PoolPhase;
  readonly reason: AgentPoolReason;
  readonly observedAt: number;
  readonly detail: PoolDetail;
  readonly event: { readonly type: PoolEventType; readonly data: Readonly<Record<string, unknown>> };
};

/** What this look proves beyond what is recorded: the pool is new, or asks for another number or another template. */
export function poolTransitions(observed: PoolObserved, pool: AgentPool, now: number): readonly PoolTransition[] {
  const { namespace, name, history } = observed;
  const before = lastRow(history)?.detail;
  const replicas = desiredReplicas(pool, before);
  const revision = effectiveRevision(pool, before);
  if (before === undefined) {
    const detail = { namespace, name, replicas, revision };
    return [{ from: 'New', to: 'Created', observedAt: now, ...told('agentpool.created', 'PoolCreated', detail) }];
  }
  const scaled = { ...before, replicas };
  const updated = { ...scaled, revision };
  const common = { from: 'Created', to: 'Created', observedAt: now } as const;
  return [
    ...(replicas === before.replicas
      ? []
      : [
          {
            ...common,
            ...told('agentpool.scaled', 'ReplicasChanged', scaled, { previousReplicas: before.replicas }),
          },
        ]),
    ...(revision === before.revision
      ? []
      : [
          {
            ...common,
            ...told('agentpool.updated', 'TemplateChanged', updated, { previousRevision: before.revision }),
          },
        ]),
  ];
}

/** The pool and all its Agents are gone. */
export function goneTransition(last: PoolRow, now: number): PoolTransition {
  return { from: last.to, to: 'Deleted', observedAt: now, ...told('agentpool.deleted', 'Deleted', last.detail) };
}

function told(
  type: PoolEventType,
  reason: AgentPoolReason,
  detail: PoolDetail,
  more: Readonly<Record<string, unknown>> = {},
): Pick<PoolTransition, 'reason' | 'detail' | 'event'> {
  return { reason, detail, event: { type, data: { ...detail, reason, ...more } } };
}

import type { TenantReason } from '../../api/v1alpha1/reasons.ts';
import type { Tenant, TenantStatus } from '../../api/v1alpha1/tenant.ts';
import { conditionsFrom, findCondition, type Progress } from '../../kernel/conditions.ts';
import type { TenantObserved } from './decide.ts';
import type { Verdict } from './namespace.ts';

/** Why a Tenant is not Ready. After `patienceMs` of it a person must act: the Tenant is Stalled. */
export type Problem = { readonly reason: TenantReason; readonly message: string; readonly patienceMs: number };

/** The status a Tenant should show. */
export function tenantStatus(
  tenant: Tenant,
  verdicts: readonly { readonly name: string; readonly verdict: Verdict }[],
  problem: Problem | undefined,
  agents: TenantObserved['agents'],
  now: number,
): TenantStatus {
  const prior = tenant.status;
  const generation = tenant.metadata.generation;
  const ready = {
    type: 'Ready',
    status: problem === undefined ? 'True' : 'False',
    reason: problem?.reason ?? 'TenantReady',
    message: problem?.message ?? 'Every namespace is set up.',
  } as const;
  return {
    observedGeneration: generation,
    phase: phaseOf(tenant, problem),
    namespaces: verifiedNamespaces(tenant, verdicts, problem),
    agents: { ...agents },
    conditions: conditionsFrom([ready], progressOf(tenant, problem, now), prior?.conditions ?? [], { generation, now }),
  };
}

/**
 * The list that decides whose a namespace is. An entry that was ready stays ready while its labels are
 * being put back: its agents need not notice. A spec that cannot be acted on leaves what was verified alone.
 */
function verifiedNamespaces(
  tenant: Tenant,
  verdicts: readonly { readonly name: string; readonly verdict: Verdict }[],
  problem: Problem | undefined,
): NonNullable<TenantStatus['namespaces']> {
  const prior = tenant.status?.namespaces ?? [];
  if (problem?.reason === 'InvalidSpec' || problem?.reason === 'FieldNotSupported') return prior;
  return verdicts.flatMap(({ name, verdict }) => {
    if (verdict.kind !== 'ours') return [];
    const { uid } = verdict.object.metadata;
    const wasReady = prior.some((entry) => entry.name === name && entry.uid === uid && entry.ready);
    return [{ name, uid, ready: verdict.labelled || wasReady }];
  });
}

function phaseOf(tenant: Tenant, problem: Problem | undefined): NonNullable<TenantStatus['phase']> {
  if (problem?.reason === 'Terminating') return 'Terminating';
  if (problem === undefined) return 'Active';
  return tenant.status?.phase === 'Active' ? 'Active' : 'Pending';
}

function progressOf(tenant: Tenant, problem: Problem | undefined, now: number): Progress {
  if (problem === undefined) return { kind: 'steady' };
  const { reason, message, patienceMs } = problem;
  const ready = findCondition(tenant.status?.conditions ?? [], 'Ready');
  const since = ready?.status === 'False' ? new Date(ready.lastTransitionTime).getTime() : now;
  return now - since >= patienceMs ? { kind: 'stalled', reason, message } : { kind: 'reconciling', reason, message };
}

import type { TenantReason } from '../../api/v1alpha1/reasons.ts';
import type { Tenant, TenantStatus } from '../../api/v1alpha1/tenant.ts';
import type { Action, EventAction } from '../../kernel/action.ts';
import { type ConditionFact, conditionsFrom, findCondition, type Progress } from '../../kernel/conditions.ts';
import { networkPolicyResource } from '../builtin.ts';
import { isIsolated } from '../network.ts';
import type { TenantObserved } from './decide.ts';
import type { Verdict } from './namespace.ts';
import { overuse, quotaUse } from './usage.ts';

/** Why a Tenant is not Ready. After `patienceMs` of it a person must act: the Tenant is Stalled. */
export type Problem = { readonly reason: TenantReason; readonly message: string; readonly patienceMs: number };

/** One namespace the Tenant names, judged, and what has to be done until it is set up. */
export type Setup = { readonly name: string; readonly verdict: Verdict; readonly todo: readonly Action[] };

/** The status a Tenant should show. */
export function tenantStatus(
  observed: TenantObserved,
  tenant: Tenant,
  setups: readonly Setup[],
  problem: Problem | undefined,
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
  const facts = [ready, ...isolation(tenant, setups), ...suspension(tenant), ...exceeded(observed, tenant)];
  const quota = quotaUse(observed, tenant);
  return {
    observedGeneration: generation,
    phase: phaseOf(tenant, problem),
    namespaces: verifiedNamespaces(observed, tenant, setups, problem),
    ...(quota === undefined ? {} : { quota }),
    agents: { ...observed.agents },
    pools: observed.pools,
    conditions: conditionsFrom(facts, progressOf(tenant, problem, now), prior?.conditions ?? [], { generation, now }),
  };
}

/**
 * The list that decides whose a namespace is. An entry that was ready stays ready while its labels or its
 * policies are being put back: its agents need not notice. A spec that cannot be acted on leaves what was
 * verified alone, and a Tenant that is going has its namespaces until they have gone: what it waits for is in them.
 */
function verifiedNamespaces(
  { namespaces }: TenantObserved,
  tenant: Tenant,
  setups: readonly Setup[],
  problem: Problem | undefined,
): NonNullable<TenantStatus['namespaces']> {
  const prior = tenant.status?.namespaces ?? [];
  if (problem?.reason === 'InvalidSpec') return prior;
  return setups.flatMap(({ name, verdict, todo }) => {
    const uid = namespaces.find((each) => each.name === name)?.object?.metadata.uid;
    const held = prior.find((entry) => entry.name === name && entry.uid === uid);
    if (verdict.kind === 'ours') {
      return [{ name, uid: verdict.object.metadata.uid, ready: todo.length === 0 || held?.ready === true }];
    }
    return held !== undefined && problem?.reason === 'Terminating' ? [held] : [];
  });
}

/** Whether traffic is denied by default, of a Tenant that has namespaces. */
function isolation(tenant: Tenant, setups: readonly Setup[]): readonly ConditionFact[] {
  if (setups.length === 0) return [];
  const type = 'NetworkIsolated';
  if (!isIsolated(tenant.spec.network)) {
    const message = 'spec.network.isolation is Unmanaged: OpenOS makes no NetworkPolicy.';
    return [{ type, status: 'False', reason: 'Unmanaged', message }];
  }
  const open = setups.filter(({ verdict, todo }) => verdict.kind !== 'ours' || todo.some(isPolicy));
  if (open.length === 0) {
    const message = 'In every namespace, only what spec.network allows gets through.';
    return [{ type, status: 'True', reason: 'DefaultDeny', message }];
  }
  const message = `The NetworkPolicies are not all there in ${open.map(({ name }) => name).join(', ')}.`;
  return [{ type, status: 'False', reason: 'NamespacesNotReady', message }];
}

function isPolicy(action: Action): boolean {
  if (action.kind === 'apply') return action.resource === networkPolicyResource;
  return action.kind === 'delete' && action.ref.resource === networkPolicyResource;
}

function suspension({ spec }: Tenant): readonly ConditionFact[] {
  if (!isHeld(spec)) return [];
  const message = spec.suspendReason ?? 'spec.suspend is set; no pod is started until it is None again.';
  return [{ type: 'Suspended', status: 'True', reason: 'Suspended', message }];
}

function isHeld(spec: Tenant['spec'] | undefined): spec is Tenant['spec'] {
  return spec?.suspend !== undefined && spec.suspend !== 'None';
}

/** Shown while somebody waits for the quota, or more is in use than it holds (it was lowered, or a namespace came in). */
function exceeded(observed: TenantObserved, tenant: Tenant): readonly ConditionFact[] {
  const reasons = (['agents', 'pools'] as const).map((resource) => overuse(observed, tenant, resource));
  const message = reasons.filter((each) => each !== undefined).join('; ');
  if (message === '') return [];
  return [{ type: 'QuotaExceeded', status: 'True', reason: 'QuotaExceeded', message: `${message}.` }];
}

/** Problems a person should hear of by a Warning event. */
const alarming: ReadonlySet<string> = new Set<TenantReason>(['NamespaceNotAllowed', 'NamespaceTaken', 'InvalidSpec']);

/** Kubernetes Events that go with a status about to be written: what a person should know, when it begins or ends. */
export function statusEvents(tenant: Tenant, next: TenantStatus): readonly EventAction[] {
  const look = (status: TenantStatus | undefined, type: string) => findCondition(status?.conditions ?? [], type);
  const began = (type: string) => (look(tenant.status, type) === undefined ? look(next, type) : undefined);
  const [before, ready] = [look(tenant.status, 'Ready'), look(next, 'Ready')];
  const isAlarm = ready !== undefined && alarming.has(ready.reason) && before?.reason !== ready.reason;
  const isReady = ready?.status === 'True' && before?.status !== 'True';
  const resumed = look(tenant.status, 'Suspended') !== undefined && look(next, 'Suspended') === undefined;
  const [exceeds, suspended] = [began('QuotaExceeded'), began('Suspended')];
  return [
    ...(isAlarm ? [statusEvent(tenant, 'Warning', ready.reason, ready.message)] : []),
    ...(exceeds === undefined ? [] : [statusEvent(tenant, 'Warning', exceeds.reason, exceeds.message)]),
    ...(isReady ? [statusEvent(tenant, 'Normal', ready.reason, ready.message)] : []),
    ...(suspended === undefined ? [] : [statusEvent(tenant, 'Normal', suspended.reason, suspended.message)]),
    ...(resumed ? [statusEvent(tenant, 'Normal', 'Resumed', 'spec.suspend is None again; agents go on.')] : []),
  ];
}

function statusEvent(
  { apiVersion, kind, metadata: { name, uid } }: Tenant,
  type: EventAction['type'],
  reason: TenantReason | string,
  note: string,
): EventAction {
  return { kind: 'event', type, regarding: { apiVersion, kind, name, uid }, reason, action: 'Reconcile', note };
}

function phaseOf(tenant: Tenant, problem: Problem | undefined): NonNullable<TenantStatus['phase']> {
  if (problem?.reason === 'Terminating') return 'Terminating';
  const isSetUp = problem === undefined || tenant.status?.phase === 'Active' || tenant.status?.phase === 'Suspended';
  if (!isSetUp) return 'Pending';
  return isHeld(tenant.spec) ? 'Suspended' : 'Active';
}

function progressOf(tenant: Tenant, problem: Problem | undefined, now: number): Progress {
  if (problem === undefined) return { kind: 'steady' };
  const { reason, message, patienceMs } = problem;
  const ready = findCondition(tenant.status?.conditions ?? [], 'Ready');
  const since = ready?.status === 'False' ? new Date(ready.lastTransitionTime).getTime() : now;
  return now - since >= patienceMs ? { kind: 'stalled', reason, message } : { kind: 'reconciling', reason, message };
}

import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import type { Action } from '../../kernel/action.ts';
import type { StoredObject } from '../../kernel/object.ts';
import { type Outcome, requeueAt, settled } from '../../kernel/outcome.ts';
import { limitRangeResource, resourceQuotaResource } from '../builtin.ts';
import type { ObservedChild } from '../children.ts';
import type { ChildBody } from './children.ts';

export const quotaName = 'openos-quota';
export const limitsName = 'openos-limits';

/** The ResourceQuota of a namespace, as a list of none or one. The API server holds to it without a race. */
export function resourceQuotas({ spec: { quota } }: Tenant): readonly ChildBody[] {
  if (quota === undefined) return [];
  const bounds = {
    ...quota.hard,
    ...(quota.agents === undefined ? {} : { 'count/agents.openos.dev': quota.agents }),
    ...(quota.pools === undefined ? {} : { 'count/agentpools.openos.dev': quota.pools }),
  };
  const hard = Object.fromEntries(Object.entries(bounds).map(([name, amount]) => [name, `${amount}`]));
  return [{ resource: resourceQuotaResource, name: quotaName, body: { spec: { hard } } }];
}

/** Much longer than a ResourceQuota takes to be counted. */
const countedWithinMs = 10_000;
const places = ['count/agents.openos.dev', 'count/agentpools.openos.dev'] as const;

type Counted = StoredObject & {
  readonly spec?: { readonly hard?: Readonly<Record<string, string>> };
  readonly status?: { readonly used?: Readonly<Record<string, string>> };
};

/**
 * ResourceQuotas that do not count our kinds are deleted, to be made anew. The cluster's quota controller finds new
 * kinds out within half a minute, but comes back to a quota that it met before that only after five; all that time
 * the API server refuses every Agent there ("status unknown for quota").
 */
export function remakeUncounted(children: readonly ObservedChild[], now: number) {
  const dues = children.filter(isUncounted).map(({ object }) => ({
    object,
    at: Date.parse(object.metadata.creationTimestamp ?? '') + countedWithinMs,
  }));
  const plan = dues.filter(({ at }) => now >= at).map(({ object }) => deleteQuota(object));
  const next = Math.min(...dues.map(({ at }) => at).filter((at) => now < at));
  const outcome: Outcome = Number.isFinite(next) ? requeueAt(next, now) : settled;
  return { plan, outcome };
}

/** Whether the API server would refuse our kinds for want of a count. */
export function isUncounted({ resource, object }: ObservedChild): boolean {
  if (resource !== resourceQuotaResource || object.metadata.name !== quotaName) return false;
  const { metadata, spec, status } = object as Counted;
  if (metadata.deletionTimestamp !== undefined) return false;
  return places.some((name) => spec?.hard?.[name] !== undefined && status?.used?.[name] === undefined);
}

function deleteQuota({ metadata: { name, namespace, uid } }: StoredObject): Action {
  const where = namespace === undefined ? {} : { namespace };
  return { kind: 'delete', ref: { resource: resourceQuotaResource, name, ...where }, uid };
}

/** The LimitRange of a namespace, as a list of none or one. */
export function limitRanges({ spec: { limitRange } }: Tenant): readonly ChildBody[] {
  if (limitRange === undefined) return [];
  return [{ resource: limitRangeResource, name: limitsName, body: { spec: limitRange } }];
}

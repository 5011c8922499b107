import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import { limitRangeResource, resourceQuotaResource } from '../builtin.ts';
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

/** The LimitRange of a namespace, as a list of none or one. */
export function limitRanges({ spec: { limitRange } }: Tenant): readonly ChildBody[] {
  if (limitRange === undefined) return [];
  return [{ resource: limitRangeResource, name: limitsName, body: { spec: limitRange } }];
}

import type { Tenant, TenantStatus } from '../../api/v1alpha1/tenant.ts';
import type { StoredObject } from '../../kernel/object.ts';
import { resourceQuotaResource } from '../builtin.ts';
import { quantityOf, quantityText } from '../quantity.ts';
import type { TenantObserved } from './decide.ts';
import { quotaName } from './quota.ts';

type Quantities = Readonly<Record<string, string>>;

/** The quota of a Tenant over all its namespaces, and its use: places by the ledger, amounts by its ResourceQuotas. */
export function quotaUse(observed: TenantObserved, tenant: Tenant): TenantStatus['quota'] {
  const { quota } = tenant.spec ?? {};
  if (quota === undefined) return undefined;
  const reported = observed.namespaces.flatMap(({ children }) => children.flatMap(usedOf));
  const names = Object.keys(quota.hard ?? {});
  const places = (['agents', 'pools'] as const).filter((resource) => quota[resource] !== undefined);
  return {
    hard: fields([
      ...places.map((resource) => [resource, `${quota[resource]}`] as const),
      ...names.map((name) => [name, `${quota.hard?.[name]}`] as const),
    ]),
    used: fields([
      ...places.map((resource) => [resource, placesUsed(observed, tenant, resource)] as const),
      ...names.map((name) => [name, total(reported, name)] as const),
    ]),
  };
}

/** Why there is more of a resource than the quota holds, in words; undefined while it is within bounds. */
export function overuse(
  { history, waiting }: TenantObserved,
  { spec }: Tenant,
  resource: 'agents' | 'pools',
): string | undefined {
  const limit = spec?.quota?.[resource];
  const used = history.kind === 'known' ? history.ledger[resource] : 0;
  const what = resource === 'agents' ? 'Agents' : 'AgentPools';
  if (limit !== undefined && used > limit) {
    return `${used} places for ${what} are taken, and the quota is ${limit}; those that run go on, and nothing more starts`;
  }
  return waiting[resource] > 0 ? `${what} wait for others to let go of a place or an amount` : undefined;
}

function placesUsed({ history }: TenantObserved, tenant: Tenant, resource: 'agents' | 'pools'): string | undefined {
  if (history.kind === 'known') return `${history.ledger[resource]}`;
  return tenant.status?.quota?.used?.[resource]?.toString();
}

function usedOf({ resource, object }: { readonly resource: object; readonly object: StoredObject }) {
  if (resource !== resourceQuotaResource || object.metadata.name !== quotaName) return [];
  const { status } = object as StoredObject & { readonly status?: { readonly used?: Quantities } };
  return status?.used === undefined ? [] : [status.used];
}

/** In the words of the ResourceQuota where there is one, and added up where there are several. */
function total(reported: readonly Quantities[], name: string): string | undefined {
  const amounts = reported.flatMap((used) => used[name] ?? []);
  if (amounts.length < 2) return amounts[0];
  return quantityText(amounts.reduce((sum, amount) => sum + quantityOf(amount), 0));
}

function fields(entries: readonly (readonly [string, string | undefined])[]): Record<string, string> {
  return Object.fromEntries(entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined));
}

import type { StoredObject } from '../kernel/object.ts';
import { resourceQuotaResource } from '../resources/builtin.ts';
import { eventually } from './eventually.ts';
import type { World } from './world.ts';

type Quota = StoredObject & { readonly status?: { readonly used?: Readonly<Record<string, string>> } };

/**
 * Waits until our kinds are counted in ResourceQuotas. Their controller finds new kinds out twice a minute, and comes
 * back to a quota it has met before only after five: such a one the operator makes anew.
 */
export async function kindsAreCounted({ cluster, createTenant }: World): Promise<void> {
  const name = 'counted';
  await createTenant(name, { namespaces: [{ name }], quota: { agents: 1, pools: 1 } });
  const ref = { resource: resourceQuotaResource, namespace: name, name: 'openos-quota' };
  const isCounted = async () =>
    (await cluster.client.get<Quota>(ref))?.status?.used?.['count/agents.openos.dev'] !== undefined;
  await eventually('ResourceQuotas count Agents', isCounted, 90_000);
}

import type { ObjectRef, StoredObject } from '../kernel/object.ts';
import { resourceQuotaResource } from '../resources/builtin.ts';
import { eventually } from './eventually.ts';
import type { World } from './world.ts';

type Quota = StoredObject & { readonly status?: { readonly used?: Readonly<Record<string, string>> } };

/** Longer than it takes to count a quota of kinds that are known. */
const patienceMs = 3_000;

/**
 * Waits until our kinds are counted in ResourceQuotas. Their controller finds new kinds out twice a minute, and comes
 * back to a quota it has met before only after five: such a one is deleted, and the operator makes it anew.
 */
export async function kindsAreCounted({ cluster, createTenant }: World): Promise<void> {
  const name = 'counted';
  await createTenant(name, { namespaces: [{ name }], quota: { agents: 1, pools: 1 } });
  const ref: ObjectRef = { resource: resourceQuotaResource, namespace: name, name: 'openos-quota' };
  const look = async () => {
    const quota = await cluster.client.get<Quota>(ref);
    if (quota === undefined) return false;
    if (quota.status?.used?.['count/agents.openos.dev'] !== undefined) return true;
    const age = Date.now() - Date.parse(quota.metadata.creationTimestamp ?? '');
    if (age > patienceMs) await cluster.client.delete(ref, { uid: quota.metadata.uid });
    return false;
  };
  await eventually('ResourceQuotas count Agents', look, 90_000);
}

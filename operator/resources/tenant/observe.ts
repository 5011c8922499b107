import { parseTenant, type Tenant } from '../../api/v1alpha1/tenant.ts';
import type { StoredObject } from '../../kernel/object.ts';
import { settled } from '../../kernel/outcome.ts';
import { type Observation, observed, unsynced } from '../../kernel/reconcile.ts';
import type { ObservedChild } from '../children.ts';
import type { TenantObserved } from './decide.ts';

/** Where a Tenant's world is looked up. */
export type TenantSources = {
  /** False while a cache is behind: what is not in it may only be unknown. */
  readonly synced: () => boolean;
  readonly tenant: (name: string) => StoredObject | undefined;
  readonly namespace: (name: string) => StoredObject | undefined;
  /** Tenants whose verified status lists the namespace. */
  readonly tenantsOfNamespace: (namespace: string) => readonly Tenant[];
  /** What stands in a namespace with our label on: policies, bounds, bindings. */
  readonly childrenOf: (namespace: string) => readonly ObservedChild[];
  readonly defaultRuntimeClass: string;
  /** The phases of the agents in a namespace, by their status. */
  readonly agentPhases: (namespace: string) => readonly (string | undefined)[];
};

/** One frozen look at the Tenant of this name; settled when there is none. */
export async function observeTenant(name: string, sources: TenantSources): Promise<Observation<TenantObserved>> {
  if (!sources.synced()) return unsynced;
  const object = sources.tenant(name);
  if (object === undefined) return settled;
  const parsed = parseTenant(object);
  const tenant = parsed.kind === 'valid' ? parsed.value : (object as Tenant);
  const wanted = (tenant.spec?.namespaces ?? []).map((entry) => entry.name);
  const held = tenant.status?.namespaces ?? [];
  return observed({
    name,
    tenant,
    ...(parsed.kind === 'invalid' ? { invalid: parsed.problems.join('; ') } : {}),
    namespaces: wanted.map((namespace) => ({
      name: namespace,
      object: sources.namespace(namespace),
      takenBy: sources.tenantsOfNamespace(namespace).find((other) => other.metadata.name !== name)?.metadata.name,
      children: sources.childrenOf(namespace),
    })),
    released: held.flatMap(({ name: namespace, uid }) => {
      const object = wanted.includes(namespace) ? undefined : sources.namespace(namespace);
      return object?.metadata.uid === uid && object !== undefined
        ? [{ object, children: sources.childrenOf(namespace) }]
        : [];
    }),
    defaultRuntimeClass: sources.defaultRuntimeClass,
    agents: countAgents(held.flatMap((entry) => sources.agentPhases(entry.name))),
  });
}

function countAgents(phases: readonly (string | undefined)[]): TenantObserved['agents'] {
  const count = (wanted: string) => phases.filter((phase) => phase === wanted).length;
  return { total: phases.length, ready: count('Ready'), failed: count('Failed'), suspended: count('Suspended') };
}

import { parseTenant, type Tenant } from '../../api/v1alpha1/tenant.ts';
import type { StoredObject } from '../../kernel/object.ts';
import { settled } from '../../kernel/outcome.ts';
import { type Observation, observed, unsynced } from '../../kernel/reconcile.ts';
import type { ObservedChild } from '../children.ts';
import { verifiedNamespaces } from '../tenancy.ts';
import type { TenantObserved } from './decide.ts';
import type { TenantHistory } from './history.ts';

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
  /** How long a deleted Tenant waits for its agents. */
  readonly protectionMs: number;
  /** The agents and pools in a namespace, by their status. */
  readonly agentsIn: (namespace: string) => readonly Counted[];
  readonly poolsIn: (namespace: string) => readonly Counted[];
  /**
   * What is recorded of Tenants of this name, and what the ledger says of one that holds these namespaces. Never throws
   * for a database that is away: that is one of its answers.
   */
  readonly history: (name: string, namespaces: readonly string[]) => Promise<TenantHistory>;
  /** Asks the API server itself for the UID of the Tenant that stands under this name. */
  readonly standing: (name: string) => Promise<string | undefined>;
  readonly newTraceparent: () => string;
};

/** What of an agent or a pool a Tenant counts. */
export type Counted = {
  readonly phase?: string | undefined;
  /** It says that it waits for the quota. */
  readonly waits: boolean;
};

/** One frozen look at the Tenant of this name; settled when neither an object nor a record is left of it. */
export async function observeTenant(name: string, sources: TenantSources): Promise<Observation<TenantObserved>> {
  if (!sources.synced()) return unsynced;
  const namespacesHeld = verifiedNamespaces(sources.tenant(name) as Tenant | undefined);
  // The record first: the caches are then at least as new as it.
  const history = await sources.history(name, namespacesHeld);
  const object = sources.tenant(name);
  const { defaultRuntimeClass, protectionMs } = sources;
  const rest = { name, history, defaultRuntimeClass, protectionMs };
  const open = history.kind === 'known' ? history.open : [];
  const ended = open.filter(({ id }) => id !== object?.metadata.uid);
  if (ended.length > 0) {
    // That it is gone cannot be taken back, so it is not taken from a cache alone.
    const standing = await sources.standing(name);
    if (ended.some(({ id }) => id === standing)) return unsynced;
  }
  const traceparent = (ended.at(0) ?? open.at(0))?.last.traceparent ?? sources.newTraceparent();
  if (object === undefined) {
    const isOver = open.length === 0 && (history.kind === 'unavailable' || history.ledger.astray === 0);
    return isOver ? settled : observed({ ...nothing, ...rest, traceparent });
  }
  const parsed = parseTenant(object);
  const tenant = parsed.kind === 'valid' ? parsed.value : (object as Tenant);
  const wanted = (tenant.spec?.namespaces ?? []).map((entry) => entry.name);
  const held = tenant.status?.namespaces ?? [];
  const agents = held.flatMap((entry) => sources.agentsIn(entry.name));
  const pools = held.flatMap((entry) => sources.poolsIn(entry.name));
  return observed({
    ...rest,
    traceparent,
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
    agents: countAgents(agents.map(({ phase }) => phase)),
    pools: pools.length,
    waiting: { agents: waiting(agents), pools: waiting(pools) },
  });
}

const nothing = {
  tenant: undefined,
  namespaces: [],
  released: [],
  agents: { total: 0, ready: 0, failed: 0, suspended: 0 },
  pools: 0,
  waiting: { agents: 0, pools: 0 },
} as const;

function waiting(counted: readonly Counted[]): number {
  return counted.filter(({ waits }) => waits).length;
}

function countAgents(phases: readonly (string | undefined)[]): TenantObserved['agents'] {
  const count = (wanted: string) => phases.filter((phase) => phase === wanted).length;
  return { total: phases.length, ready: count('Ready'), failed: count('Failed'), suspended: count('Suspended') };
}

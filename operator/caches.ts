import type { V1Pod } from '@kubernetes/client-node';
import type { Agent } from './api/v1alpha1/agent.ts';
import type { AgentPool } from './api/v1alpha1/agentpool.ts';
import { labels } from './api/v1alpha1/names.ts';
import type { Tenant } from './api/v1alpha1/tenant.ts';
import { withoutManagedFields } from './kernel/cache.ts';
import type { KubeClient } from './kernel/client.ts';
import type { Clock } from './kernel/clock.ts';
import type { Logger } from './kernel/logger.ts';
import { controllerUid, type ResourceType, type StoredObject } from './kernel/object.ts';
import { Reflector, type ReflectorOptions } from './kernel/reflector.ts';
import type { ClaimObject } from './resources/agent/claims.ts';
import { poolUidOf } from './resources/agentpool/member.ts';
import {
  claimResource,
  limitRangeResource,
  namespaceResource,
  networkPolicyResource,
  nodeResource,
  podResource,
  resourceQuotaResource,
  roleBindingResource,
  runtimeClassResource,
} from './resources/builtin.ts';
import { agentPoolResource, agentResource, tenantResource } from './resources/own.ts';
import { type NodeObject, type RuntimeClassObject, withoutUsage } from './resources/runtime.ts';
import { verifiedNamespaces } from './resources/tenancy.ts';
import type { Metrics } from './telemetry/metrics.ts';

/** Objects as the caches hold them: raw JSON with the fields we read. */
export type CachedAgent = StoredObject & Pick<Agent, 'spec' | 'status'>;
export type CachedAgentPool = StoredObject & Pick<AgentPool, 'spec' | 'status'>;
export type CachedTenant = StoredObject & Pick<Tenant, 'spec' | 'status'>;
export type CachedPod = StoredObject & Pick<V1Pod, 'spec' | 'status'>;

export type Caches = ReturnType<typeof createCaches>;

/** The part of the cluster the operator looks at, kept current on the leader and on standbys alike. */
export function createCaches(client: KubeClient, clock: Clock, log: Logger, metrics: Metrics) {
  function cache<T extends StoredObject>(
    resource: ResourceType,
    options: Pick<ReflectorOptions<T>, 'indexers' | 'selection' | 'transform'> = {},
  ): Reflector<T> {
    const hooks = {
      onList: () => metrics.watchListed(resource.plural),
      onWatch: () => metrics.watchRestarted(resource.plural),
    };
    return new Reflector<T>({ client, resource, clock, log, hooks, ...options });
  }
  const agents = cache<CachedAgent>(agentResource, {
    indexers: {
      namespace: inNamespace,
      pool: (agent) => list(poolUidOf(agent)),
      waiting: waitingIn,
      /** Those that show no phase yet, all under one key. */
      unshown: (agent) => (agent.status?.phase === undefined ? [''] : []),
    },
  });
  const agentPools = cache<CachedAgentPool>(agentPoolResource, {
    indexers: { namespace: inNamespace, waiting: waitingIn },
  });
  const pods = cache<CachedPod>(podResource, {
    selection: { labelSelector: labels.agentUid },
    indexers: { controller: (pod) => list(controllerUid(pod)), node: (pod) => list(pod.spec?.nodeName) },
  });
  const tenants = cache<CachedTenant>(tenantResource, {
    indexers: { verified: (tenant) => verifiedNamespaces(tenant as Tenant), named: namedNamespaces },
  });
  const namespaces = cache<StoredObject>(namespaceResource, { transform: metadataOnly });
  const runtimeClasses = cache<RuntimeClassObject>(runtimeClassResource);
  const nodes = cache<NodeObject>(nodeResource, { transform: withoutUsage });
  const claims = cache<ClaimObject>(claimResource, {
    selection: { labelSelector: labels.agent },
    indexers: { agent: (claim) => [agentKey(claim.metadata.namespace, claim.metadata.labels?.[labels.agent])] },
  });
  const tenantChildren = [networkPolicyResource, limitRangeResource, resourceQuotaResource, roleBindingResource].map(
    (resource) => ({
      resource,
      cache: cache<StoredObject>(resource, {
        selection: { labelSelector: labels.tenant },
        indexers: { namespace: inNamespace, agent: (child) => list(child.metadata.labels?.[labels.agentUid]) },
      }),
    }),
  );
  const all = [
    agents,
    agentPools,
    pods,
    tenants,
    namespaces,
    runtimeClasses,
    nodes,
    claims,
    ...tenantChildren.map((each) => each.cache),
  ] as const;
  const lives = [agentPools, agents, pods] as const;
  return {
    agents,
    agentPools,
    pods,
    tenants,
    namespaces,
    runtimeClasses,
    nodes,
    /** Claims made for Agents, also for those that are gone; the index `agent` takes an {@link agentKey}. */
    claims,
    /** What Tenants and Agents have in the namespaces, by kind. */
    tenantChildren,
    /** The NetworkPolicies among them; the index `agent` takes an Agent's UID. */
    networkPolicies: tenantChildren.find(({ resource }) => resource === networkPolicyResource)
      ?.cache as Reflector<StoredObject>,
    /** Whether every cache has a complete list; what changed since may not have come yet. */
    listed: () => all.every((each) => each.synced),
    /**
     * True while every cache may be believed when it says that something is not there: all are listed, and those
     * of owners and owned have not lost their watch. After an outage they come back one by one, and a pod that
     * went with its deleted Agent would be taken for lost as long as the other cache still shows that Agent.
     */
    synced: () => all.every((each) => each.synced) && lives.every((each) => each.disconnectedSince === undefined),
    /** Since when a cache has had no connection, ms since the epoch; undefined while all have one. */
    disconnectedSince: () => all.map((each) => each.disconnectedSince).reduce(earliest, undefined),
    whenSynced: () => Promise.all(all.map((each) => each.whenSynced)),
    run: (signal: AbortSignal) => Promise.all(all.map((each) => each.run(signal))),
  } as const;
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

function list(key: string | undefined): readonly string[] {
  return key === undefined ? [] : [key];
}

function inNamespace(object: StoredObject): readonly string[] {
  return list(object.metadata.namespace);
}

/** Whether an Agent or a pool waits for a place of its tenant's quota. */
export function isPlaceWanted({ metadata, status }: Waiter): boolean {
  const reserved = status?.conditions?.find(({ type }) => type === 'QuotaReserved');
  return reserved?.status === 'False' && metadata.deletionTimestamp === undefined;
}

/** An object of which only its conditions matter. */
export type Waiter = StoredObject & {
  readonly status?:
    | { readonly conditions?: readonly Readonly<Record<'type' | 'status' | 'reason' | 'lastTransitionTime', string>>[] }
    | undefined;
};

function waitingIn(object: Waiter): readonly string[] {
  return isPlaceWanted(object) ? inNamespace(object) : [];
}

/** Every namespace a Tenant has a say in, wished for or held. */
function namedNamespaces(tenant: CachedTenant): readonly string[] {
  const wanted = tenant.spec?.namespaces?.map((entry) => entry.name) ?? [];
  return [...new Set([...wanted, ...verifiedNamespaces(tenant as Tenant)])];
}

function metadataOnly<T extends StoredObject>({ apiVersion, kind, metadata }: T): T {
  return { apiVersion, kind, metadata } as T;
}

/** Where an Agent is by name, whichever UID has that now. */
export function agentKey(namespace = '', name = ''): string {
  return `${namespace}/${name}`;
}

/**
 * Objects as our own last write left them, until the watch has caught up: without it the pass that follows a
 * write would see the state before it and write again.
 */
export class WrittenObjects<T extends StoredObject> {
  readonly #written = new Map<string, T>();

  /** Remember what the API server answered to a write. */
  set(object: T): void {
    this.#written.set(object.metadata.uid, withoutManagedFields(object));
  }

  /** The newer of the cached object and what we wrote. */
  newest(cached: T | undefined): T | undefined {
    if (cached === undefined) return undefined;
    const written = this.#written.get(cached.metadata.uid);
    if (written === undefined) return cached;
    if (isOlder(cached, written)) return written;
    this.#written.delete(cached.metadata.uid);
    return cached;
  }

  forget(uid: string): void {
    this.#written.delete(uid);
  }
}

/** Versions of one resource are ordered numbers (Kubernetes 1.35, KEP-5504). */
function isOlder(a: StoredObject, b: StoredObject): boolean {
  return BigInt(a.metadata.resourceVersion) < BigInt(b.metadata.resourceVersion);
}

/** Where it is looked up which Tenant a namespace belongs to. */
export function tenancySources(caches: Caches) {
  return {
    tenantsOfNamespace: (name: string) => caches.tenants.byIndex('verified', name) as readonly Tenant[],
    namespace: (name: string) => caches.namespaces.getByName(undefined, name),
  };
}

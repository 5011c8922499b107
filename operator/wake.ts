import { isDeepStrictEqual } from 'node:util';
import type { V1Pod } from '@kubernetes/client-node';
import { labels } from './api/v1alpha1/names.ts';
import type { CachedAgent, CachedTenant, Caches, WrittenObjects } from './caches.ts';
import type { Expectations } from './kernel/expectations.ts';
import { controllerUid, refOf } from './kernel/object.ts';
import type { Lane, WorkQueue } from './kernel/queue.ts';
import type { LeaderParts } from './lead.ts';
import { isTakenAway } from './resources/agent/facts.ts';
import { type AppliedChildren, isUnedited } from './resources/children.ts';
import { troubleOf } from './resources/runtime.ts';

/** Totals of agents in a Tenant's status follow at this pace: they are for people, and each is a write. */
const tenantTotalsMs = 30_000;

type Work = {
  readonly agents: WorkQueue;
  readonly tenants: WorkQueue;
  readonly expectations: Expectations;
  readonly written: { readonly agents: WrittenObjects<CachedAgent>; readonly tenants: WrittenObjects<CachedTenant> };
  readonly applied: AppliedChildren;
  readonly evicted: Map<string, string>;
  readonly gone: Set<string>;
};

/** Watch → key: what changed is dropped, only the keys it concerns travel on. Returns how to stop. */
export function subscribe({ caches }: LeaderParts, work: Work): readonly (() => void)[] {
  const { agents, tenants, expectations, written, applied, evicted, gone } = work;
  const lane = (initial: boolean): Lane => (initial ? 'background' : 'urgent');
  const tenantsNaming = (namespace: string) =>
    caches.tenants.byIndex('named', namespace).map((tenant) => tenant.metadata.name);
  const queueNotReady = () => queueAll(caches, agents, 'background', (agent) => agent.status?.reason !== 'AgentReady');
  const stops = [
    caches.agents.onChange((type, agent, previous, initial) => {
      const { uid, namespace = '' } = agent.metadata;
      if (type === 'deleted') {
        written.agents.forget(uid);
        evicted.delete(uid);
        gone.add(uid);
      }
      if (type === 'added') gone.delete(uid);
      agents.add(uid, lane(initial));
      if (type === 'modified' && previous?.status?.phase === agent.status?.phase) return;
      for (const tenant of tenantsNaming(namespace)) tenants.addAfter(tenant, tenantTotalsMs);
    }),
    caches.pods.onChange((type, pod, previous, initial) => {
      const owner = controllerUid(pod);
      const ownerBefore = previous === undefined ? undefined : controllerUid(previous);
      if (ownerBefore !== undefined && ownerBefore !== owner) agents.add(ownerBefore);
      if (owner === undefined) return;
      const { name, uid, deletionTimestamp } = pod.metadata;
      // A pod with nothing to wait for goes within milliseconds, and why it went is in its last state alone.
      const isAgentLeft = type === 'deleted' && caches.agents.get(owner) !== undefined;
      if (isAgentLeft && isTakenAway(pod as unknown as V1Pod)) evicted.set(owner, name);
      if (type === 'added') evicted.delete(owner);
      if (type === 'deleted') expectations.observedGone(owner, { name, uid });
      else expectations.observed(owner, { name, uid, deleting: deletionTimestamp !== undefined });
      agents.add(owner, lane(initial));
    }),
    caches.tenants.onChange((type, tenant, previous, initial) => {
      if (type === 'deleted') written.tenants.forget(tenant.metadata.uid);
      tenants.add(tenant.metadata.name, lane(initial));
      if (type === 'modified' && concerning(previous) === concerning(tenant)) return;
      for (const { name } of tenant.status?.namespaces ?? previous?.status?.namespaces ?? []) {
        queueNamespace(caches, agents, name);
      }
    }),
    caches.namespaces.onChange((type, namespace, _previous, initial) => {
      const { name } = namespace.metadata;
      for (const tenant of tenantsNaming(name)) tenants.add(tenant, lane(initial));
      if (type !== 'modified') queueNamespace(caches, agents, name);
    }),
    ...caches.tenantChildren.map(({ resource, cache }) =>
      cache.onChange((type, child, previous, initial) => {
        if (type === 'deleted') applied.forget(refOf(resource, child));
        const agent = (child.metadata.labels ?? previous?.metadata.labels)?.[labels.agentUid];
        if (agent !== undefined) return agents.add(agent, lane(initial));
        // Use of a quota changes with every pod: it is for people, as the totals of agents are.
        const isUseOnly = type === 'modified' && previous !== undefined && isUnedited(previous, child);
        for (const tenant of tenantsNaming(child.metadata.namespace ?? '')) {
          if (isUseOnly) tenants.addAfter(tenant, tenantTotalsMs);
          else tenants.add(tenant, lane(initial));
        }
      }),
    ),
    caches.runtimeClasses.onChange((type) => {
      if (type !== 'modified') queueNotReady();
    }),
    caches.nodes.onChange((type, node, previous) => {
      if (!isDeepStrictEqual(previous?.status, node.status)) queueNotReady();
      const trouble = type === 'deleted' ? 'Lost' : troubleOf(node);
      if (trouble === (previous && troubleOf(previous))) return;
      for (const owner of caches.pods.byIndex('node', node.metadata.name).map(controllerUid)) {
        if (owner !== undefined) agents.add(owner);
      }
    }),
    caches.claims.onChange((_type, { metadata }, _previous, initial) => {
      const { [labels.agent]: name = '', [labels.agentUid]: maker } = metadata.labels ?? {};
      const holder = caches.agents.getByName(metadata.namespace, name)?.metadata.uid ?? maker;
      if (holder !== undefined && !initial) agents.add(holder, lane(initial));
    }),
  ];
  seed(caches, agents, tenants);
  return stops;
}

/** A standby's caches are warm: what they hold was reported before we led. */
function seed(caches: Caches, agents: WorkQueue, tenants: WorkQueue): void {
  for (const tenant of caches.tenants.list()) tenants.add(tenant.metadata.name, 'background');
  queueAll(caches, agents, 'background');
  for (const pod of caches.pods.list()) {
    const owner = controllerUid(pod);
    if (owner !== undefined) agents.add(owner, 'background');
  }
}

export function queueAll(
  caches: Caches,
  agents: WorkQueue,
  lane: Lane,
  which: (agent: CachedAgent) => boolean = () => true,
): void {
  for (const agent of caches.agents.list()) if (which(agent)) agents.add(agent.metadata.uid, lane);
}

function queueNamespace(caches: Caches, agents: WorkQueue, namespace: string): void {
  for (const agent of caches.agents.byIndex('namespace', namespace)) agents.add(agent.metadata.uid, 'background');
}

/** What of a Tenant matters to its agents: totals in its status do not. */
function concerning(tenant: CachedTenant | undefined): string {
  const { spec, status, metadata } = tenant ?? {};
  return JSON.stringify([spec, status?.namespaces, metadata?.deletionTimestamp]);
}

export function isToldReady(agent: CachedAgent): boolean {
  const published = agent.status?.conditions?.find((condition) => condition.type === 'EventsPublished');
  return published?.status === 'True' && agent.status?.phase === 'Ready';
}

export function isToldAcknowledged(agent: CachedAgent): boolean {
  const { conditions = [], consistency } = agent.status ?? {};
  return consistency?.state === 'Acknowledged' && conditions.every(({ type }) => type !== 'EventsAcknowledged');
}

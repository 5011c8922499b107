import type { Tenant } from './api/v1alpha1/tenant.ts';
import { type CachedTenant, isPlaceWanted, tenancySources, type WrittenObjects } from './caches.ts';
import type { Publisher } from './events/publisher.ts';
import type { StoredObject } from './kernel/object.ts';
import type { LeaderParts } from './lead.ts';
import type { LeaderEpoch } from './leader-epoch.ts';
import type { Quotas } from './quota.ts';
import { recordTenant, tenantHistory } from './recorder.ts';
import type { AppliedChildren } from './resources/children.ts';
import { tenantResource } from './resources/own.ts';
import type { TenantPorts } from './resources/tenant/controller.ts';
import { activeTraceparent, formatTraceparent, newTraceContext } from './telemetry/tracing.ts';
import { executeWith, writeStatus } from './writes.ts';

type TenantWork = {
  readonly written: WrittenObjects<CachedTenant>;
  readonly applied: AppliedChildren;
  readonly epoch: LeaderEpoch;
  readonly publisher: Publisher;
  readonly quotas: Quotas;
};

export function tenantPortsOf(
  { caches, client, config, database, log, metrics }: LeaderParts,
  { written, applied, epoch, publisher, quotas }: TenantWork,
): TenantPorts {
  return {
    ...tenancySources(caches),
    synced: caches.synced,
    tenant: (name) => written.newest(caches.tenants.getByName(undefined, name)),
    childrenOf: (namespace) =>
      caches.tenantChildren.flatMap(({ resource, cache }) =>
        cache.byIndex('namespace', namespace).map((child) => applied.look(resource, child)),
      ),
    defaultRuntimeClass: config.defaultRuntimeClass,
    protectionMs: config.tenantProtectionMs,
    applied,
    apply: (resource, object) => client.apply(resource, object),
    get: (ref) => client.get(ref),
    agentsIn: (namespace) =>
      caches.agents.byIndex('namespace', namespace).map(({ status }) => ({
        phase: status?.phase,
        waits: status?.reason === 'WaitingForQuota',
      })),
    poolsIn: (namespace) =>
      caches.agentPools.byIndex('namespace', namespace).map((pool) => ({ waits: isPlaceWanted(pool) })),
    history: (name, namespaces) => tenantHistory(database, name, namespaces),
    standing: async (name) => (await client.get({ resource: tenantResource, name }))?.metadata.uid,
    newTraceparent: () => activeTraceparent() ?? formatTraceparent(newTraceContext()),
    record: (observed, records) =>
      recordTenant(
        {
          database,
          epoch,
          metrics,
          log,
          recorded: (id) => publisher.nudge(id),
          freed: (tenant) => quotas.freed(tenant),
        },
        observed,
        records,
      ),
    execute: (action) => executeWith(client, log, action),
    writeStatus: async ({ resource, object, status }) => {
      const stored = await writeStatus<CachedTenant>(client, resource, object as Tenant & StoredObject, status);
      if (stored !== undefined) written.set(stored);
    },
  };
}

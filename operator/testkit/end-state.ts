import { expect } from 'vitest';
import type { ResourceType } from '../kernel/object.ts';
import {
  claimResource,
  limitRangeResource,
  namespaceResource,
  networkPolicyResource,
  podResource,
  resourceQuotaResource,
  roleBindingResource,
} from '../resources/builtin.ts';
import { agentPoolResource, agentResource, tenantResource } from '../resources/own.ts';
import { everythingIn } from './events.ts';
import type { Lane, Loose } from './lane.ts';

const children = [
  claimResource,
  limitRangeResource,
  networkPolicyResource,
  resourceQuotaResource,
  roleBindingResource,
] as const;

/** What is there when all is over, without what differs from one run to the next: names, times, versions, totals. */
export async function endState(lane: Lane) {
  const objects = async (resource: ResourceType) => (await lane.list(resource)).map(shape).sort();
  const [tenant, namespace] = await Promise.all(
    [tenantResource, namespaceResource].map((resource) => lane.get(resource, lane.name)),
  );
  return {
    told: await told(lane),
    ledger: await ledger(lane),
    tenant: tenant && shape(tenant),
    namespace: namespace && [namespace.metadata.labels, Object.keys(namespace.metadata.annotations ?? {}).sort()],
    agents: await objects(agentResource),
    pods: await objects(podResource),
    pools: await objects(agentPoolResource),
    children: (await Promise.all(children.map((resource) => lane.list(resource)))).flat().map(content),
  };
}

/** What the step recorded of each, in order, whether it is out, and whether the read model has come to it. */
async function told(lane: Lane): Promise<readonly string[]> {
  const shown = await lane.database.db
    .selectFrom('projected_resource')
    .select(['aggregate_id as id', 'sequence', 'phase'])
    .execute();
  return [...(await lane.added())]
    .map(([id, rows]) => {
      const last = rows.at(-1);
      const isShown = shown.some((each) => each.id === id && each.sequence === last?.seq);
      const isWhole = rows.every(({ seq }, index) => seq === (rows[0]?.seq ?? 0) + index);
      const isOut = rows.every(({ state }) => state === 'Published' || state === 'Acknowledged');
      const steps = rows.map(({ kind, phase, reason, type }) => `${kind} ${phase} ${reason} ${type}`);
      return JSON.stringify({ steps, isWhole, isOut, isShown });
    })
    .sort();
}

/** Places held, and their sums: both say what the objects that hold them say. */
async function ledger({ database: { db } }: Lane): Promise<readonly string[]> {
  const places = await db.selectFrom('tenant_place').select(['tenant_id as tenant', 'resource']).execute();
  const usage = await db.selectFrom('tenant_usage').select(['tenant_id as tenant', 'resource', 'used']).execute();
  const count = (tenant: string, resource: string) =>
    places.filter((place) => place.tenant === tenant && place.resource === resource).length;
  const sums = usage.filter(({ used }) => used > 0);
  return [
    ...sums.map(({ tenant, resource, used }) => `${resource} used ${used}, held ${count(tenant, resource)}`).sort(),
    `${places.length} places in all`,
  ];
}

type Condition = { readonly type: string; readonly status: string; readonly reason?: string };

/** Of a pod only what we put into it: the rest is for the cluster to say. */
function shape({ kind, metadata, spec = {}, status = {} }: Loose): string {
  const { phase, reason, attempts, replicas, readyReplicas, updatedReplicas, availableReplicas, podRef } = status;
  const { namespaces, suspend, operatingMode } = spec;
  const { consistency, restartCount } = status;
  const conditions = (status.conditions as readonly Condition[] | undefined) ?? [];
  const containers = spec.containers as readonly { readonly image: string }[] | undefined;
  const isPod = kind === 'Pod';
  return JSON.stringify({
    phase,
    reason,
    attempts,
    restartCount,
    counts: [replicas, readyReplicas, updatedReplicas, availableReplicas],
    conditions: isPod ? [] : conditions.map((each) => `${each.type}=${each.status} ${each.reason}`),
    hasPod: podRef !== undefined,
    told: (consistency as { readonly lastEventType?: string } | undefined)?.lastEventType,
    image: spec.image ?? containers?.[0]?.image,
    wish: [namespaces, suspend, operatingMode],
    verified: (status.namespaces as readonly { readonly ready: boolean }[] | undefined)?.map(({ ready }) => ready),
    isGoing: metadata.deletionTimestamp !== undefined,
    finalizers: metadata.finalizers,
  });
}

function content({ kind, metadata, ...rest }: Loose): string {
  const { status: _status, apiVersion: _version, ...body } = rest;
  return JSON.stringify([kind, metadata.name, metadata.labels, body]);
}

/** The stream has every event of everybody, in the order of the record, and no other; repeats of an id are left out. */
export async function expectTold(lane: Lane): Promise<void> {
  const stream = Map.groupBy(await everythingIn(lane.nats), ({ event }) => event.agent_id);
  const record = Map.groupBy(await lane.rows(), ({ id }) => id);
  expect(new Set(stream.keys())).toEqual(new Set(record.keys()));
  for (const [id, rows] of record) {
    const ids = new Set((stream.get(id) ?? []).map(({ event }) => event.event_id));
    expect([...ids]).toEqual(rows.map(({ eventId }) => eventId));
  }
}

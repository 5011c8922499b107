import type { AgentPool } from './api/v1alpha1/agentpool.ts';
import type { CachedAgentPool, CachedTenant, Caches, WrittenObjects } from './caches.ts';
import type { Action } from './kernel/action.ts';
import type { Expectations } from './kernel/expectations.ts';
import { controllerUid, type ResourceType, type StoredObject } from './kernel/object.ts';
import type { Lane, WorkQueue } from './kernel/queue.ts';
import type { LeaderParts } from './lead.ts';
import type { LeaderEpoch } from './leader-epoch.ts';
import type { Quotas } from './quota.ts';
import { poolHistory, recordPool } from './recorder.ts';
import type { PoolPorts } from './resources/agentpool/controller.ts';
import type { Refusal } from './resources/agentpool/decide.ts';
import { type MemberObject, poolUidOf } from './resources/agentpool/member.ts';
import { agentPoolResource, agentResource } from './resources/own.ts';
import type { TenancyPorts } from './resources/tenancy.ts';
import { activeTraceparent, formatTraceparent, newTraceContext } from './telemetry/tracing.ts';

/** What the leader keeps for pools, for as long as it leads. */
export type PoolWork = {
  readonly queue: WorkQueue;
  /** Creates and deletes of Agents that the cache has not shown yet, by the pool's UID. */
  readonly expectations: Expectations;
  readonly written: WrittenObjects<CachedAgentPool>;
  readonly refusals: Map<string, Refusal>;
  /** Agents that are gone while their pods are still stopping, by UID: they take up a place until then. */
  readonly leaving: Map<string, MemberObject>;
};

/** What the pool controller shares with the others. */
export type PoolServices = {
  readonly epoch: LeaderEpoch;
  readonly quotas: Quotas;
  readonly tenancy: TenancyPorts;
  /** Called with the pool's UID after a commit: the publisher need not wait for its poll. */
  readonly recorded: (uid: string) => void;
  readonly execute: (action: Action) => Promise<void>;
  readonly writeStatus: <T extends StoredObject>(
    resource: ResourceType,
    object: StoredObject,
    status: unknown,
  ) => Promise<T | undefined>;
};

/** Agents on their way up change several times a second: their pool looks at all of them together. */
const memberChangesMs = 100;

export function poolPortsOf(
  { caches, client, database, log, metrics }: LeaderParts,
  { expectations, leaving, written, refusals }: PoolWork,
  { epoch, quotas, tenancy, recorded, execute, writeStatus }: PoolServices,
): PoolPorts {
  return {
    ...tenancy,
    synced: caches.synced,
    pool: (uid) => written.newest(caches.agentPools.get(uid)),
    membersOf: (uid) => [...caches.agents.byIndex('pool', uid), ...leavingFrom(uid, caches, leaving)],
    isStanding: async (uid, namespace, name) =>
      (await client.get({ resource: agentPoolResource, namespace, name }))?.metadata.uid === uid,
    isReleased: async ({ metadata: { namespace = '', name, uid } }) => {
      const standing = await client.get({ resource: agentResource, namespace, name });
      return standing?.metadata.uid === uid && poolUidOf(standing) === undefined;
    },
    outstanding: (uid) => !expectations.satisfied(uid),
    expect: (uid, action) => {
      if (action.kind === 'create') expectations.expectCreate(uid, action.object.metadata.name);
      if (action.kind === 'delete') expectations.expectDelete(uid, action.uid);
    },
    unexpect: (uid, action) => {
      if (action.kind === 'create') expectations.cancelCreate(uid, action.object.metadata.name);
      if (action.kind === 'delete') expectations.cancelDelete(uid, action.uid);
    },
    isSeen: (uid, action) => isSeen(caches, uid, action),
    room: (uid, tenancy) => quotas.poolRoomOf(uid, tenancy),
    refusal: (uid) => refusals.get(uid),
    setRefusal: (uid, refusal) => {
      if (refusal === undefined) refusals.delete(uid);
      else refusals.set(uid, refusal);
    },
    history: (uid) => poolHistory(database, uid),
    newTraceparent: () => activeTraceparent() ?? formatTraceparent(newTraceContext()),
    record: (observed, transitions) =>
      recordPool(
        {
          database,
          epoch,
          metrics,
          log,
          recorded: () => recorded(observed.uid),
          freed: (tenant) => quotas.freed(tenant),
        },
        observed,
        transitions,
      ),
    execute,
    writeStatus: async ({ resource, object, status }) => {
      const stored = await writeStatus<CachedAgentPool>(resource, object as AgentPool & StoredObject, status);
      if (stored !== undefined) written.set(stored);
    },
  };
}

/** The Agents of a pool that have gone and whose pods have not, as what they are: on their way out. */
function leavingFrom(pool: string, { pods }: Caches, leaving: PoolWork['leaving']): readonly MemberObject[] {
  return [...leaving.values()].flatMap((agent) => {
    const { metadata } = agent;
    const stopping = pods.byIndex('controller', metadata.uid)[0];
    if (stopping === undefined) leaving.delete(metadata.uid);
    if (stopping === undefined || poolUidOf(agent) !== pool) return [];
    const deletionTimestamp = stopping.metadata.deletionTimestamp ?? stopping.metadata.creationTimestamp ?? '';
    return [{ ...agent, metadata: { deletionTimestamp, ...metadata } }];
  });
}

function isSeen({ agents }: Caches, uid: string, action: Action): boolean {
  if (action.kind === 'create') {
    const { namespace, name } = action.object.metadata;
    const standing = agents.getByName(namespace, name);
    return standing !== undefined && poolUidOf(standing) === uid;
  }
  if (action.kind !== 'delete') return true;
  const standing = agents.get(action.uid);
  return standing === undefined || standing.metadata.deletionTimestamp !== undefined;
}

/** Watch → key of a pool: its own changes, those of its Agents, and whose its namespace is. Returns how to stop. */
export function subscribePools(caches: Caches, work: PoolWork): readonly (() => void)[] {
  const { queue, expectations, leaving, written, refusals } = work;
  const lane = (initial: boolean): Lane => (initial ? 'background' : 'urgent');
  const stops = [
    caches.agentPools.onChange((type, pool, _previous, initial) => {
      const { uid } = pool.metadata;
      if (type === 'deleted') {
        written.forget(uid);
        refusals.delete(uid);
      }
      queue.add(uid, lane(initial));
    }),
    caches.agents.onChange((type, agent, previous, initial) => {
      const owner = poolUidOf(agent) ?? (previous === undefined ? undefined : poolUidOf(previous));
      if (owner === undefined) return;
      const { name, uid, deletionTimestamp } = agent.metadata;
      if (type === 'deleted') {
        leaving.set(uid, agent);
        expectations.observedGone(owner, { name, uid });
      } else expectations.observed(owner, { name, uid, deleting: deletionTimestamp !== undefined });
      if (type === 'modified' || !expectations.satisfied(owner)) queue.addAfter(owner, memberChangesMs);
      else queue.add(owner, lane(initial));
    }),
    caches.pods.onChange((type, pod) => {
      const agent = type === 'deleted' ? leaving.get(controllerUid(pod) ?? '') : undefined;
      const owner = agent === undefined ? undefined : poolUidOf(agent);
      if (owner !== undefined) queue.addAfter(owner, memberChangesMs);
    }),
    caches.tenants.onChange((type, tenant, previous) => {
      if (type === 'modified' && holdings(previous) === holdings(tenant)) return;
      const entries = [...(tenant.status?.namespaces ?? []), ...(previous?.status?.namespaces ?? [])];
      for (const { name } of entries) queueNamespace(caches, queue, name);
    }),
    caches.namespaces.onChange((type, namespace) => {
      if (type !== 'modified') queueNamespace(caches, queue, namespace.metadata.name);
    }),
  ];
  queuePools(caches, queue);
  return stops;
}

/** Every pool there is, and every one that Agents still name: a standby's caches were told of them before we led. */
export function queuePools(caches: Caches, queue: WorkQueue): void {
  for (const pool of caches.agentPools.list()) queue.add(pool.metadata.uid, 'background');
  for (const agent of caches.agents.list()) {
    const owner = poolUidOf(agent);
    if (owner !== undefined) queue.add(owner, 'background');
  }
}

function queueNamespace(caches: Caches, queue: WorkQueue, namespace: string): void {
  for (const pool of caches.agentPools.byIndex('namespace', namespace)) queue.add(pool.metadata.uid, 'background');
}

/** What of a Tenant matters to pools: which namespaces are its own. */
function holdings(tenant: CachedTenant | undefined): string {
  return JSON.stringify([tenant?.status?.namespaces, tenant?.metadata.deletionTimestamp]);
}

import { isDeepStrictEqual } from 'node:util';
import type { V1Pod } from '@kubernetes/client-node';
import { Adopter } from './adopter.ts';
import type { Agent } from './api/v1alpha1/agent.ts';
import { labels } from './api/v1alpha1/names.ts';
import type { OperatorReason } from './api/v1alpha1/reasons.ts';
import type { Tenant } from './api/v1alpha1/tenant.ts';
import type { CachedAgent, CachedAgentPool, CachedTenant, Caches } from './caches.ts';
import { agentKey, isPlaceWanted, WrittenObjects } from './caches.ts';
import type { Config } from './config.ts';
import { Consumers } from './consumers.ts';
import type { NatsBroker } from './events/nats-broker.ts';
import { Publisher } from './events/publisher.ts';
import { Retention } from './events/retention.ts';
import { AgentHistories } from './histories.ts';
import type { Action } from './kernel/action.ts';
import type { KubeClient } from './kernel/client.ts';
import type { Clock } from './kernel/clock.ts';
import { Controller, type ReconcileContext } from './kernel/controller.ts';
import { hasCode } from './kernel/errors.ts';
import { execute } from './kernel/execute.ts';
import { Expectations } from './kernel/expectations.ts';
import { type Leadership, leases } from './kernel/leader.ts';
import type { Logger } from './kernel/logger.ts';
import { controllerUid, type ResourceType, refOf, type StoredObject } from './kernel/object.ts';
import { type Lane, WorkQueue } from './kernel/queue.ts';
import { type PassPorts, reconcilePass } from './kernel/reconcile.ts';
import { type PoolWork, poolPortsOf, queuePools, subscribePools } from './pools.ts';
import { Quotas } from './quota.ts';
import { agentHistory, LeaderEpoch, recordAgent, recordTenant, tenantHistory } from './recorder.ts';
import { type AgentPorts, agentPass } from './resources/agent/controller.ts';
import { isTakenAway } from './resources/agent/facts.ts';
import { lastRow } from './resources/agent/history.ts';
import { acknowledgedAfterMs } from './resources/agent/status.ts';
import { poolPass } from './resources/agentpool/controller.ts';
import { networkPolicyResource, nodeResource, podResource } from './resources/builtin.ts';
import { AppliedChildren, isUnedited } from './resources/children.ts';
import { agentResource, tenantResource } from './resources/own.ts';
import { missingHandler, troubleOf } from './resources/runtime.ts';
import { type TenantPorts, tenantPass } from './resources/tenant/controller.ts';
import type { Database } from './store/db.ts';
import { listOpenAggregates } from './store/repositories/history.ts';
import { outboxOf } from './store/repositories/outbox.ts';
import { retentionSweeps } from './store/repositories/retention.ts';
import type { ControllerName, Metrics } from './telemetry/metrics.ts';
import { activeTraceparent, formatTraceparent, newTraceContext, withSpan } from './telemetry/tracing.ts';

export type LeaderParts = {
  readonly config: Config;
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly database: Database;
  readonly broker: NatsBroker;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
};

/** Totals of agents in a Tenant's status follow at this pace: they are for people, and each is a write. */
const tenantTotalsMs = 30_000;
/** Somebody began to wait for the quota, or waits no longer: the Tenant says so a moment later, for all together. */
const waitingMs = 1_000;
/** A pass in hand when we are told to stop may take this long to finish. */
const drainMs = 10_000;
/** Rows without an object are looked for again this often, besides at the start and when the database returns. */
const openRowsMs = 60_000;

/**
 * What the leader does: reconciles agents and tenants and publishes their events, until it has to end. Told to stop
 * it finishes the passes in hand; when the Lease is lost nothing is written any more.
 */
export async function lead(given: LeaderParts, { ending, fence }: Leadership): Promise<void> {
  const parts = { ...given, client: given.client.behind(fence) };
  const { caches, clock, config, database, log, metrics } = parts;
  metrics.leading(true);
  const agents = controllerQueue('agent', clock, metrics);
  const tenants = controllerQueue('tenant', clock, metrics);
  const pools: PoolWork = {
    queue: controllerQueue('agentpool', clock, metrics),
    expectations: new Expectations(clock),
    written: new WrittenObjects<CachedAgentPool>(),
    refusals: new Map(),
    leaving: new Map(),
  };
  const adopter = new Adopter(parts, (reason, note) => tellOperators(parts, reason, note));
  const epoch = new LeaderEpoch(database, config.podName, fence, log, (held) => adopter.run(held));
  const histories = new AgentHistories({
    read: (uid) => agentHistory(database, uid, epoch),
    isAvailable: () => database.available,
    clock,
  });
  const publisher = new Publisher({
    outbox: outboxOf(database.db),
    broker: parts.broker,
    log,
    metrics,
    onSettled: (aggregates, publishedAt) => {
      histories.settled(aggregates, publishedAt);
      for (const id of aggregates) agents.add(id);
      consumers.nudge();
    },
    onSequenceReused: (message) => consumers.suspect(message),
    isHeld: () => !epoch.isCompared,
  });
  const consumers = new Consumers(parts, {
    onAcknowledged: (aggregates) => {
      for (const id of aggregates) agents.addAfter(id, acknowledgedAfterMs);
    },
    onObstacle: () => queueAll(caches, agents, 'background', (agent) => !isToldAcknowledged(agent)),
    onDiscontinuity: ({ message }, lost) =>
      tellOperators(parts, 'StreamDiscontinuity', `${message}; ${lost} events are published again`),
    onReturned: () => publisher.nudge(),
  });
  const sweeps = retentionSweeps(database.db, config.retention);
  const retention = new Retention({ sweeps, log, metrics, clock });
  const expectations = new Expectations(clock);
  const written = { agents: new WrittenObjects<CachedAgent>(), tenants: new WrittenObjects<CachedTenant>() };
  const traces = new Map<string, string>();
  const quotas = quotasOf(parts, { agents, pools }, { agents: written.agents, pools: pools.written });
  const applied = new AppliedChildren();
  const evicted = new Map<string, string>();
  const agentPorts = agentPortsOf(parts, {
    expectations,
    written: written.agents,
    applied,
    evicted,
    epoch,
    histories,
    publisher,
    ackObstacle: () => consumers.obstacle,
    quotas,
    traces,
  });
  const tenantPorts = tenantPortsOf(parts, { written: written.tenants, applied, epoch, publisher, quotas });
  const poolPorts = poolPortsOf(parts, pools, {
    epoch,
    quotas,
    tenancy: tenancySources(caches),
    recorded: (uid) => publisher.nudge(uid),
    execute: (action) => executeWith(parts.client, log, action),
    writeStatus: (resource, object, status) => writeStatus(parts.client, resource, object, status),
  });
  const controllers = [
    controllerOf('agent', agents, agentPass(agentPorts), parts, (uid) => traces.get(uid)),
    controllerOf('agentpool', pools.queue, poolPass(poolPorts), parts, () => undefined),
    controllerOf('tenant', tenants, tenantPass(tenantPorts), parts, () => undefined),
  ];
  const unsubscribe = [
    ...subscribe(parts, { agents, tenants, expectations, written, applied, evicted }),
    ...subscribePools(caches, pools),
    ...quotas.subscribe((tenant) => tenants.addAfter(tenant, waitingMs)),
  ];

  // At once and not with the first recording: who led before and only slept must not record beside us.
  const takeRecord = () =>
    epoch.current().then(
      () => publisher.nudge(),
      (err: unknown) => log.debug({ err }, 'the record is taken over when the database is back'),
    );
  void takeRecord();
  const stopComparing = [
    database.onRestart(() => {
      epoch.renew();
      void takeRecord().then(() => queueAll(caches, agents, 'background'));
    }),
    parts.broker.onState(({ available }) => {
      if (!available || epoch.isCompared) return;
      epoch.renew();
      void takeRecord();
    }),
  ];
  await Promise.race([caches.whenSynced(), aborted(ending)]);
  publisher.start();
  consumers.start();
  retention.start();
  for (const controller of controllers) controller.start();
  const open = {
    agent: { queue: agents, cache: caches.agents },
    agentpool: { queue: pools.queue, cache: caches.agentPools },
    tenant: { queue: tenants, cache: caches.tenants },
  };
  const findOpenRows = () => queueOpenRows(database, open, log);
  void findOpenRows();
  const timer = setInterval(findOpenRows, openRowsMs);
  const stopListening = [
    database.onAvailability((available) => {
      queueAll(caches, agents, 'background');
      queuePools(caches, pools.queue);
      for (const tenant of caches.tenants.list()) tenants.add(tenant.metadata.name, 'background');
      if (available) void findOpenRows();
    }),
    parts.broker.onState(() => queueAll(caches, agents, 'background', (agent) => !isToldReady(agent))),
  ];

  await aborted(ending);
  for (const stop of [...unsubscribe, ...stopListening, ...stopComparing]) stop();
  clearInterval(timer);
  await Promise.all(controllers.map((controller) => controller.stop(fence.broken.aborted ? 0 : drainMs)));
  await publisher.stop();
  await Promise.all([consumers.stop(), retention.stop()]);
  metrics.leading(false);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function controllerQueue(name: ControllerName, clock: Clock, metrics: Metrics): WorkQueue {
  return new WorkQueue({
    clock,
    hooks: {
      onDepth: (depth) => metrics.queueDepth(name, depth),
      onTaken: (lane, waitedMs) => metrics.queueWaited(name, lane, waitedMs),
      onRetry: () => metrics.queueRetried(name),
    },
  });
}

function controllerOf<Observed extends object, Transition, Status>(
  name: ControllerName,
  queue: WorkQueue,
  ports: PassPorts<Observed, Transition, Status>,
  { clock, config, log, metrics }: LeaderParts,
  traceOf: (key: string) => string | undefined,
): Controller {
  const reconcile = (key: string, { signal }: ReconcileContext) =>
    withSpan(`reconcile ${name}`, traceOf(key), { 'openos.key': key }, () =>
      reconcilePass(ports, key, { now: clock.now(), signal }),
    );
  return new Controller({
    name,
    workers: config.workers,
    reconcile,
    queue,
    log,
    clock,
    hooks: { onPass: (result, durationMs) => metrics.reconciled(name, result, durationMs) },
  });
}

type AgentWork = {
  readonly expectations: Expectations;
  readonly written: WrittenObjects<CachedAgent>;
  readonly applied: AppliedChildren;
  /** The last pod of an agent that the cluster took away, by the agent's UID, until the next is there. */
  readonly evicted: Map<string, string>;
  readonly epoch: LeaderEpoch;
  readonly histories: AgentHistories;
  readonly publisher: Publisher;
  readonly ackObstacle: AgentPorts['ackObstacle'];
  readonly quotas: Quotas;
  /** The trace of each agent met so far, by UID: its passes are spans of that one trace. */
  readonly traces: Map<string, string>;
};

function agentPortsOf(parts: LeaderParts, work: AgentWork): AgentPorts {
  const { applied, evicted, expectations, written, epoch, histories, publisher, quotas, traces } = work;
  const { broker, caches, client, config, database, log, metrics } = parts;
  /** Its story is over: also what came after its DELETE event, such as the answer to a write, is kept no longer. */
  const forget = (uid: string): void => {
    traces.delete(uid);
    expectations.forget(uid);
    written.forget(uid);
    evicted.delete(uid);
  };
  return {
    ...tenancySources(caches),
    synced: caches.synced,
    agent: (uid) => written.newest(caches.agents.get(uid)),
    isStanding: async (uid, namespace, name) =>
      (await client.get({ resource: agentResource, namespace, name }))?.metadata.uid === uid,
    podsOf: (uid) => caches.pods.byIndex('controller', uid) as unknown as readonly V1Pod[],
    podNamed: async (namespace, name) =>
      (await client.get({ resource: podResource, namespace, name })) as V1Pod | undefined,
    nodeTrouble: (name) => {
      const node = caches.nodes.getByName(undefined, name);
      return node === undefined ? 'unknown' : troubleOf(node);
    },
    evictedPod: (uid) => evicted.get(uid),
    isNodeGone: async (name) => (await client.get({ resource: nodeResource, name })) === undefined,
    claimsOf: ({ uid, namespace, name }) => {
      const holder = caches.agents.getByName(namespace, name);
      return holder === undefined || holder.metadata.uid === uid
        ? caches.claims.byIndex('agent', agentKey(namespace, name))
        : [];
    },
    policyOf: (uid) => {
      const policy = caches.networkPolicies.byIndex('agent', uid).at(0);
      return policy === undefined ? undefined : applied.look(networkPolicyResource, policy);
    },
    runtimeClassExists: (name) => caches.runtimeClasses.getByName(undefined, name) !== undefined,
    missingHandler: (name) => {
      const runtimeClass = caches.runtimeClasses.getByName(undefined, name);
      return runtimeClass === undefined ? undefined : missingHandler(runtimeClass, caches.nodes.list());
    },
    quota: (uid, tenancy, asksForPlace) => quotas.roomOf(uid, tenancy, asksForPlace),
    podOnItsWay: (uid) => !expectations.satisfied(uid),
    expectPod: (uid, name) => expectations.expectCreate(uid, name),
    podRefused: (uid, name) => expectations.cancelCreate(uid, name),
    history: async (uid) => {
      const history = await histories.of(uid);
      const last = lastRow(history);
      if (last?.to === 'Deleted') forget(uid);
      else if (last?.traceparent !== undefined) traces.set(uid, last.traceparent);
      return history;
    },
    brokerAvailable: () => broker.state.available,
    ackObstacle: work.ackObstacle,
    // The first pass is the root of the trace that the pod and every event of this agent go on with.
    newTraceparent: () => activeTraceparent() ?? formatTraceparent(newTraceContext()),
    defaultRuntimeClass: config.defaultRuntimeClass,
    apply: async (resource, object) => applied.remember(resource, object, await client.apply(resource, object)),
    record: (observed, transitions) =>
      histories.recording(observed.uid, () =>
        recordAgent(
          {
            database,
            epoch,
            metrics,
            recorded: () => publisher.nudge(observed.uid),
            freed: (tenant) => quotas.freed(tenant),
          },
          observed,
          transitions,
        ),
      ),
    execute: (action) => executeWith(client, log, action),
    writeStatus: async ({ resource, object, status }) => {
      const stored = await writeStatus<CachedAgent>(client, resource, object as Agent & StoredObject, status);
      if (stored !== undefined) written.set(stored);
    },
  };
}

/** The two lines in which Agents and pools wait for a place. */
function quotasOf(
  { caches, database }: LeaderParts,
  { agents, pools }: { readonly agents: WorkQueue; readonly pools: PoolWork },
  written: { readonly agents: WrittenObjects<CachedAgent>; readonly pools: WrittenObjects<CachedAgentPool> },
): Quotas {
  return new Quotas(caches, database, {
    agents: {
      waitingIn: (namespace) => caches.agents.byIndex('waiting', namespace),
      newest: (agent) => written.agents.newest(agent as CachedAgent) ?? agent,
      queue: agents,
    },
    pools: {
      waitingIn: (namespace) => caches.agentPools.byIndex('waiting', namespace),
      newest: (pool) => written.pools.newest(pool as CachedAgentPool) ?? pool,
      queue: pools.queue,
    },
  });
}

type TenantWork = {
  readonly written: WrittenObjects<CachedTenant>;
  readonly applied: AppliedChildren;
  readonly epoch: LeaderEpoch;
  readonly publisher: Publisher;
  readonly quotas: Quotas;
};

function tenantPortsOf(
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

function tenancySources(caches: Caches) {
  return {
    tenantsOfNamespace: (name: string) => caches.tenants.byIndex('verified', name) as readonly Tenant[],
    namespace: (name: string) => caches.namespaces.getByName(undefined, name),
  };
}

/** What concerns no one resource is told by a Kubernetes Event of our Lease, for who runs the operator. */
async function tellOperators(
  { client, config, log }: LeaderParts,
  reason: OperatorReason,
  note: string,
): Promise<void> {
  const { namespace, lease } = config;
  try {
    const standing = await client.get<StoredObject>({ resource: leases, namespace, name: lease.name });
    if (standing === undefined) return;
    const { name, uid } = standing.metadata;
    const regarding = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name, uid } as const;
    await execute({ kind: 'event', type: 'Warning', regarding, reason, action: 'Audit', note }, { client, log });
  } catch (err) {
    log.debug({ err, reason }, 'a Kubernetes Event was not written');
  }
}

/** A Kubernetes Event is a courtesy: nothing waits for it. */
async function executeWith(client: KubeClient, log: Logger, action: Action): Promise<void> {
  const done = execute(action, { client, log });
  if (action.kind !== 'event') return done;
  done.catch((err: unknown) => log.debug({ err }, 'a Kubernetes Event was not written'));
}

/** Writes a status over exactly the version that was observed; an object that is gone meanwhile needs none. */
async function writeStatus<T extends StoredObject>(
  client: KubeClient,
  resource: ResourceType,
  object: StoredObject,
  status: unknown,
): Promise<T | undefined> {
  const { uid, resourceVersion } = object.metadata;
  try {
    return await client.updateStatus<T>({ ref: refOf(resource, object), uid, resourceVersion, status });
  } catch (error) {
    if (hasCode(error, 'NotFound')) return undefined;
    throw error;
  }
}

type Work = {
  readonly agents: WorkQueue;
  readonly tenants: WorkQueue;
  readonly expectations: Expectations;
  readonly written: { readonly agents: WrittenObjects<CachedAgent>; readonly tenants: WrittenObjects<CachedTenant> };
  readonly applied: AppliedChildren;
  readonly evicted: Map<string, string>;
};

/** Watch → key: what changed is dropped, only the keys it concerns travel on. Returns how to stop. */
function subscribe({ caches }: LeaderParts, work: Work): readonly (() => void)[] {
  const { agents, tenants, expectations, written, applied, evicted } = work;
  const lane = (initial: boolean): Lane => (initial ? 'background' : 'urgent');
  const tenantsNaming = (namespace: string) =>
    caches.tenants.byIndex('named', namespace).map((tenant) => tenant.metadata.name);
  const queueNotReady = () => queueAll(caches, agents, 'background', (agent) => agent.status?.reason !== 'AgentReady');
  const stops = [
    caches.agents.onChange((type, agent, previous, initial) => {
      const { uid, namespace = '' } = agent.metadata;
      if (type === 'deleted') written.agents.forget(uid);
      if (type === 'deleted') evicted.delete(uid);
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

function queueAll(
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

function isToldReady(agent: CachedAgent): boolean {
  const published = agent.status?.conditions?.find((condition) => condition.type === 'EventsPublished');
  return published?.status === 'True' && agent.status?.phase === 'Ready';
}

function isToldAcknowledged(agent: CachedAgent): boolean {
  const { conditions = [], consistency } = agent.status ?? {};
  return consistency?.state === 'Acknowledged' && conditions.every(({ type }) => type !== 'EventsAcknowledged');
}

type OpenKind = { readonly queue: WorkQueue; readonly cache: { get(uid: string): object | undefined } };

/** Whatever has rows, no Deleted row and no object: theirs is the only key that no watch delivers. */
async function queueOpenRows(
  database: Database,
  kinds: Readonly<Record<string, OpenKind>>,
  log: Logger,
): Promise<void> {
  try {
    for (const [kind, { queue, cache }] of Object.entries(kinds)) {
      for (const { id, tenantId } of await listOpenAggregates(database.db, kind)) {
        // All that stand are queued by their caches: looking at each of thousands every minute would be load for nothing.
        if (cache.get(id) === undefined) queue.add(kind === 'tenant' ? tenantId : id, 'background');
      }
    }
  } catch (err) {
    log.debug({ err }, 'the open rows could not be read; they are when the database is back');
  }
}

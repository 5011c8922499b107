import { Adopter } from './adopter.ts';
import { agentPortsOf } from './agents.ts';
import {
  type CachedAgent,
  type CachedAgentPool,
  type CachedTenant,
  type Caches,
  tenancySources,
  WrittenObjects,
} from './caches.ts';
import type { Config } from './config.ts';
import { Consumers } from './consumers.ts';
import type { NatsBroker } from './events/nats-broker.ts';
import { Publisher } from './events/publisher.ts';
import { Retention } from './events/retention.ts';
import { AgentHistories } from './histories.ts';
import type { KubeClient } from './kernel/client.ts';
import type { Clock } from './kernel/clock.ts';
import { Controller, type ReconcileContext } from './kernel/controller.ts';
import { Expectations } from './kernel/expectations.ts';
import type { Leadership } from './kernel/leader.ts';
import type { Logger } from './kernel/logger.ts';
import { WorkQueue } from './kernel/queue.ts';
import { type PassPorts, reconcilePass } from './kernel/reconcile.ts';
import { LeaderEpoch } from './leader-epoch.ts';
import { OpenRows } from './open-rows.ts';
import { type PoolWork, poolPortsOf, queuePools, subscribePools } from './pools.ts';
import { Quotas } from './quota.ts';
import { RecordTaking } from './record-taking.ts';
import { agentHistory } from './recorder.ts';
import { agentPass } from './resources/agent/controller.ts';
import { acknowledgedAfterMs } from './resources/agent/status-write.ts';
import { poolPass } from './resources/agentpool/controller.ts';
import { AppliedChildren } from './resources/children.ts';
import { tenantPass } from './resources/tenant/controller.ts';
import type { Database } from './store/db.ts';
import { openAggregates } from './store/repositories/history.ts';
import { outboxOf } from './store/repositories/outbox.ts';
import { retentionSweeps } from './store/repositories/retention.ts';
import type { ControllerName, Metrics } from './telemetry/metrics.ts';
import { traceFields, withSpan } from './telemetry/tracing.ts';
import { tenantPortsOf } from './tenants.ts';
import { isToldAcknowledged, isToldReady, queueAll, subscribe } from './wake.ts';
import { executeWith, tellOperators, writeStatus } from './writes.ts';

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

/** Somebody began to wait for the quota, or waits no longer: the Tenant says so a moment later, for all together. */
const waitingMs = 1_000;
/** A pass in hand when we are told to stop may take this long to finish. */
const drainMs = 10_000;

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
  // What becomes of an event is shown in the status of its Agent: of one that is gone it changes nothing.
  const isShown = (uid: string) => caches.agents.get(uid) !== undefined;
  const publisher = new Publisher({
    outbox: outboxOf(database.db),
    broker: parts.broker,
    log,
    metrics,
    onSettled: (aggregates, publishedAt) => {
      histories.settled(aggregates, publishedAt);
      for (const id of aggregates) if (isShown(id)) agents.add(id);
      consumers.nudge();
    },
    onSequenceReused: (message) => consumers.suspect(message),
    isHeld: () => !epoch.isCompared,
  });
  const consumers = new Consumers(parts, {
    onAcknowledged: (events) => {
      // A pass in between ends the delay: it must see what this one would have.
      histories.acknowledged(events);
      for (const { aggregateId } of events) if (isShown(aggregateId)) agents.addAfter(aggregateId, acknowledgedAfterMs);
    },
    onObstacle: () => queueAll(caches, agents, 'background', (agent) => !isToldAcknowledged(agent)),
    onAlarm: ({ reason, message }) => tellOperators(parts, reason, message),
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
  const gone = new Set<string>();
  const agentPorts = agentPortsOf(parts, {
    expectations,
    written: written.agents,
    applied,
    evicted,
    gone,
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
    ...subscribe(parts, { agents, tenants, expectations, written, applied, evicted, gone }),
    ...subscribePools(caches, pools),
    ...quotas.subscribe((tenant) => tenants.addAfter(tenant, waitingMs)),
  ];

  const openRows = openRowsOf(parts, { agents, tenants, pools });
  // A pass may have asked for it. What the record lacked before may be open rows.
  const stopTelling = epoch.onTaken(() => {
    publisher.nudge();
    openRows.ask();
  });
  const taking = new RecordTaking({ ...parts, epoch, onRestarted: () => queueAll(caches, agents, 'background') });
  taking.start();
  await Promise.race([caches.whenSynced(), aborted(ending)]);
  publisher.start();
  consumers.start();
  retention.start();
  for (const controller of controllers) controller.start();
  openRows.ask();
  const stopListening = [
    database.onAvailability((available) => {
      queueAll(caches, agents, 'background');
      queuePools(caches, pools.queue);
      for (const tenant of caches.tenants.list()) tenants.add(tenant.metadata.name, 'background');
      if (available) openRows.ask();
    }),
    parts.broker.onState(() => queueAll(caches, agents, 'background', (agent) => !isToldReady(agent))),
  ];

  await aborted(ending);
  for (const stop of [...unsubscribe, ...stopListening, stopTelling]) stop();
  taking.stop();
  openRows.stop();
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
  const reconcile = (key: string, { signal, annotate }: ReconcileContext) =>
    withSpan(`reconcile ${name}`, traceOf(key), { 'openos.key': key }, ({ traceparent }) => {
      annotate({ ...traceFields(traceparent) });
      return reconcilePass(ports, key, { now: clock.now(), signal });
    });
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

/** Everything recorded that is not Deleted; a Tenant's rows are under its UID and its key is its name. */
function openRowsOf(
  { caches, clock, database, log }: LeaderParts,
  { agents, pools, tenants }: { readonly agents: WorkQueue; readonly pools: PoolWork; readonly tenants: WorkQueue },
): OpenRows<'agent' | 'agentpool' | 'tenant'> {
  return new OpenRows({
    kinds: {
      agent: { queue: agents, cache: caches.agents, keyOf: ({ id }) => id },
      agentpool: { queue: pools.queue, cache: caches.agentPools, keyOf: ({ id }) => id },
      tenant: { queue: tenants, cache: caches.tenants, keyOf: ({ tenantId }) => tenantId },
    },
    read: (kind) => openAggregates(database.db, kind),
    isListed: () => caches.listed(),
    clock,
    log,
  });
}

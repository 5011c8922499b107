import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { PassResult } from '../kernel/controller.ts';
import type { Lane } from '../kernel/queue.ts';

/**
 * Every metric of the operator, in one registry of our own. Labels come from closed sets: a value that is in
 * none of them is counted as "other", so that no caller can make series without bound.
 */

export const controllerNames = ['agent', 'agentpool', 'tenant'] as const;
export const reconcileResults = [
  'settled',
  'requeue',
  'conflict',
  'retryable',
  'terminal',
  'panic',
  'aborted',
] as const satisfies readonly PassResult[];
export const discontinuityReasons = [
  'StreamReplaced',
  'StreamRolledBack',
  'SequenceReused',
  'MessagesDeleted',
  'MessagesPurged',
  'MessageMissing',
] as const;
export const aggregateKinds = ['agent', 'agentpool', 'tenant'] as const;
export const apiVerbs = ['get', 'list', 'watch', 'create', 'apply', 'update', 'patch', 'delete'] as const;
export const apiCodeClasses = ['2xx', '3xx', '4xx', '5xx', 'none'] as const;
export const apiResources = [
  'agents',
  'agentpools',
  'tenants',
  'pods',
  'persistentvolumeclaims',
  'namespaces',
  'nodes',
  'serviceaccounts',
  'runtimeclasses',
  'priorityclasses',
  'resourcequotas',
  'limitranges',
  'networkpolicies',
  'rolebindings',
  'leases',
  'events',
] as const;

export const retainedTables = ['outbox', 'transition', 'audit_log', 'projection_parked'] as const;

export type ControllerName = (typeof controllerNames)[number];
export type AggregateKind = (typeof aggregateKinds)[number];

export type MetricsOptions = {
  readonly version: string;
  /** The states of the machines, the one before the first row included: the label values of transitions. */
  readonly phases: readonly string[];
  /** Memory, garbage collection, event loop and CPU of this process too; on when left out. */
  readonly processMetrics?: boolean;
};

const other = 'other';
const shortSeconds = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2, 2.5, 5, 10];
const startSeconds = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 30, 60, 120, 300];

export type Metrics = ReturnType<typeof createMetrics>;

/** Makes the registry and one function per thing that is counted; durations are given in milliseconds. */
export function createMetrics(options: MetricsOptions) {
  const registry = new Registry();
  if (options.processMetrics !== false) collectDefaultMetrics({ register: registry });
  buildInfo(registry, options.version);
  return {
    contentType: registry.contentType,
    /** All series in Prometheus' text format. */
    metrics: () => registry.metrics(),
    registry,
    ...reconcileMetrics(registry),
    ...apiMetrics(registry),
    ...agentMetrics(registry, options.phases),
    ...outboxMetrics(registry),
    ...auditMetrics(registry),
    ...dependencyMetrics(registry),
  } as const;
}

function reconcileMetrics(registry: Registry) {
  const registers = [registry];
  const duration = new Histogram({
    name: 'openos_reconcile_duration_seconds',
    help: 'Time one reconcile took, from its key leaving the queue to its outcome.',
    labelNames: ['controller'],
    buckets: shortSeconds,
    registers,
  });
  const total = new Counter({
    name: 'openos_reconcile_total',
    help: 'Reconciles by how they ended.',
    labelNames: ['controller', 'result'],
    registers,
  });
  const depth = new Gauge({
    name: 'openos_queue_depth_keys',
    help: 'Keys waiting in the work queue.',
    labelNames: ['controller'],
    registers,
  });
  const retries = new Counter({
    name: 'openos_queue_retries_total',
    help: 'Keys put back into the work queue because their reconcile failed.',
    labelNames: ['controller'],
    registers,
  });
  const latency = new Histogram({
    name: 'openos_queue_latency_seconds',
    help: 'Time a due key waited in the work queue; its count is the number of keys taken.',
    labelNames: ['controller', 'lane'],
    buckets: shortSeconds,
    registers,
  });
  const controllerOf = closed(controllerNames);
  const resultOf = closed(reconcileResults);
  return {
    reconciled(name: ControllerName, result: PassResult, durationMs: number): void {
      const controller = controllerOf(name);
      duration.observe({ controller }, durationMs / 1000);
      total.inc({ controller, result: resultOf(result) });
    },
    queueDepth: (name: ControllerName, keys: number): void => depth.set({ controller: controllerOf(name) }, keys),
    queueRetried: (name: ControllerName): void => retries.inc({ controller: controllerOf(name) }),
    queueWaited: (name: ControllerName, lane: Lane, ms: number): void =>
      latency.observe({ controller: controllerOf(name), lane }, ms / 1000),
  } as const;
}

function apiMetrics(registry: Registry) {
  const registers = [registry];
  const requests = new Counter({
    name: 'openos_api_requests_total',
    help: 'Requests to the Kubernetes API; code "none" is a request that got no answer.',
    labelNames: ['verb', 'resource', 'code'],
    registers,
  });
  const restarts = new Counter({
    name: 'openos_watch_restarts_total',
    help: 'Watches begun again after they ended, broke or stalled.',
    labelNames: ['resource'],
    registers,
  });
  const lists = new Counter({
    name: 'openos_watch_lists_total',
    help: 'Full lists a cache had to make, the first one included.',
    labelNames: ['resource'],
    registers,
  });
  const verbOf = closed(apiVerbs);
  const resourceOf = closed(apiResources);
  return {
    /** `status` is the HTTP status, undefined when no answer came. */
    apiRequest: (verb: string, resource: string, status: number | undefined): void =>
      requests.inc({ verb: verbOf(verb), resource: resourceOf(resource), code: codeClass(status) }),
    watchRestarted: (resource: string): void => restarts.inc({ resource: resourceOf(resource) }),
    watchListed: (resource: string): void => lists.inc({ resource: resourceOf(resource) }),
  } as const;
}

function agentMetrics(registry: Registry, phases: readonly string[]) {
  const registers = [registry];
  const transitions = new Counter({
    name: 'openos_transitions_total',
    help: 'Recorded transitions.',
    labelNames: ['kind', 'from', 'to'],
    registers,
  });
  const start = new Histogram({
    name: 'openos_agent_start_latency_seconds',
    help: 'Time from an Agent being recorded as Created until it was Ready.',
    buckets: startSeconds,
    registers,
  });
  const kindOf = closed(aggregateKinds);
  const phaseOf = closed(phases);
  return {
    transitioned: (kind: AggregateKind, from: string, to: string): void =>
      transitions.inc({ kind: kindOf(kind), from: phaseOf(from), to: phaseOf(to) }),
    agentStarted: (latencyMs: number): void => start.observe(latencyMs / 1000),
  } as const;
}

function outboxMetrics(registry: Registry) {
  const registers = [registry];
  const pending = new Gauge({
    name: 'openos_outbox_pending_events',
    help: 'Events recorded and not yet published.',
    registers,
  });
  const oldest = new Gauge({
    name: 'openos_outbox_oldest_age_seconds',
    help: 'Age of the oldest event that is not yet published; 0 when there is none.',
    registers,
  });
  const published = new Counter({
    name: 'openos_events_published_total',
    help: 'Events the broker has stored.',
    registers,
  });
  const failures = new Counter({
    name: 'openos_event_attempt_failures_total',
    help: 'Publishing attempts in which the broker refused the event itself.',
    registers,
  });
  const dead = new Counter({
    name: 'openos_events_dead_lettered_total',
    help: 'Events parked after the broker refused them too often.',
    registers,
  });
  const invalid = new Counter({
    name: 'openos_events_invalid_total',
    help: 'Events that failed the schema of their own type and so were not recorded: a fault of the operator.',
    labelNames: ['kind'],
    registers,
  });
  const kindOf = closed(aggregateKinds);
  for (const kind of aggregateKinds) invalid.inc({ kind }, 0);
  const acknowledgedEvents = new Counter({
    name: 'openos_events_acknowledged_total',
    help: 'Events every required consumer has had.',
    registers,
  });
  const unacknowledged = new Gauge({
    name: 'openos_outbox_unacknowledged_events',
    help: 'Events on the stream that a required consumer has not had yet; counted up to 1,000.',
    registers,
  });
  const lag = new Gauge({
    name: 'openos_consumer_lag_events',
    help: 'Events a required consumer has yet to acknowledge.',
    labelNames: ['consumer'],
    registers,
  });
  const present = new Gauge({
    name: 'openos_required_consumer_up',
    help: '1 while a required consumer exists.',
    labelNames: ['consumer'],
    registers,
  });
  const backlog = new Gauge({
    name: 'openos_consumer_backlog_ratio',
    help: 'Share of the time or the room the stream gives a required consumer that what it has not had uses up; at 1 events are removed before it had them.',
    labelNames: ['consumer'],
    registers,
  });
  const missed = new Counter({
    name: 'openos_consumer_missed_events_total',
    help: 'Events a required consumer is not given any more: they left the stream, or it began anew behind them.',
    labelNames: ['consumer'],
    registers,
  });
  const parked = new Counter({
    name: 'openos_projection_parked_total',
    help: 'Messages of the stream the projection could not read or write and put aside.',
    registers,
  });
  const removed = new Counter({
    name: 'openos_retention_removed_total',
    help: 'Rows removed because they have been kept for as long as configured.',
    labelNames: ['table'],
    registers,
  });
  const tableOf = closed(retainedTables);
  const acknowledged = new Histogram({
    name: 'openos_event_publish_latency_seconds',
    help: "Time from an event being committed until the broker's acknowledgement.",
    buckets: shortSeconds,
    registers,
  });
  return {
    outbox(state: { readonly pendingEvents: number; readonly oldestAgeMs: number }): void {
      pending.set(state.pendingEvents);
      oldest.set(state.oldestAgeMs / 1000);
    },
    eventPublished(latencyMs: number): void {
      published.inc();
      acknowledged.observe(latencyMs / 1000);
    },
    eventAttemptFailed: (): void => failures.inc(),
    eventInvalid: (kind: string): void => invalid.inc({ kind: kindOf(kind) }),
    eventDeadLettered: (): void => dead.inc(),
    eventsAcknowledged: (count: number): void => acknowledgedEvents.inc(count),
    unacknowledged: (events: number): void => unacknowledged.set(events),
    /** Of a required consumer, a name from the configuration; `events` is undefined for one that is missing. */
    consumerLag(consumer: string, events: number | undefined): void {
      present.set({ consumer }, events === undefined ? 0 : 1);
      // Or the first would be a series that begins, and no increase.
      missed.inc({ consumer }, 0);
      if (events !== undefined) lag.set({ consumer }, events);
    },
    consumerBacklog: (consumer: string, share: number): void => backlog.set({ consumer }, share),
    consumerMissed: (consumer: string, events: number): void => missed.inc({ consumer }, events),
    eventParked: (): void => parked.inc(),
    rowsRemoved: (table: string, rows: number): void => removed.inc({ table: tableOf(table) }, rows),
  } as const;
}

function auditMetrics(registry: Registry) {
  const registers = [registry];
  const discontinuities = new Counter({
    name: 'openos_stream_discontinuities_total',
    help: 'Times the stream was found to have lost events, or to be another one.',
    labelNames: ['reason'],
    registers,
  });
  const intact = new Gauge({
    name: 'openos_stream_up',
    help: '0 while the numbers of the stream are not trusted: what it lost is published again, nothing is acknowledged.',
    registers,
  });
  intact.set(1);
  const lost = new Counter({
    name: 'openos_events_lost_total',
    help: 'Events the stream had acknowledged and lost; each is published again.',
    registers,
  });
  const expired = new Counter({
    name: 'openos_events_expired_total',
    help: 'Events that left the stream in their time before every required consumer had had them.',
    registers,
  });
  const used = new Gauge({
    name: 'openos_stream_used_bytes',
    help: 'What the stream holds; above 70 % of its limit events may soon go before their time.',
    registers,
  });
  const limit = new Gauge({ name: 'openos_stream_limit_bytes', help: 'What the stream may hold.', registers });
  const adopted = new Counter({
    name: 'openos_events_adopted_total',
    help: 'Events that were found on the stream and not in the database, and recorded from there.',
    registers,
  });
  const reasonOf = closed(discontinuityReasons);
  return {
    streamDiscontinuity: (reason: string): void => discontinuities.inc({ reason: reasonOf(reason) }),
    streamDoubted: (isOpen: boolean): void => intact.set(isOpen ? 0 : 1),
    eventsLost: (count: number): void => lost.inc(count),
    eventsExpired: (count: number): void => expired.inc(count),
    streamUsed(bytes: number, limitBytes: number): void {
      used.set(bytes);
      limit.set(limitBytes);
    },
    eventsAdopted: (count: number): void => adopted.inc(count),
  } as const;
}

function dependencyMetrics(registry: Registry) {
  const flag = (name: string, help: string): ((on: boolean) => void) => {
    const gauge = new Gauge({ name, help, registers: [registry] });
    gauge.set(0);
    return (on) => gauge.set(on ? 1 : 0);
  };
  return {
    brokerUp: flag('openos_broker_up', '1 while the event broker takes events.'),
    databaseUp: flag('openos_database_up', '1 while Postgres answers.'),
    leading: flag('openos_leader', '1 while this process is the leader.'),
  } as const;
}

function buildInfo(registry: Registry, version: string): void {
  const info = new Gauge({
    name: 'openos_build_info',
    help: 'Always 1; the labels say what is running.',
    labelNames: ['version'],
    registers: [registry],
  });
  info.set({ version }, 1);
}

function closed(values: readonly string[]): (value: string) => string {
  const known = new Set(values);
  return (value) => (known.has(value) ? value : other);
}

function codeClass(status: number | undefined): (typeof apiCodeClasses)[number] {
  if (status === undefined) return 'none';
  return apiCodeClasses[Math.floor(status / 100) - 2] ?? 'none';
}

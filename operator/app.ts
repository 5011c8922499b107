import { TenantPhase } from './api/v1alpha1/phases.ts';
import { type Caches, createCaches } from './caches.ts';
import { createClient } from './client.ts';
import type { Config } from './config.ts';
import { NatsBroker } from './events/nats-broker.ts';
import { systemClock } from './kernel/clock.ts';
import { classify } from './kernel/errors.ts';
import { LeaderElector } from './kernel/leader.ts';
import type { Logger } from './kernel/logger.ts';
import { lead } from './lead.ts';
import { attemptStarts, transitions } from './resources/agent/machine.ts';
import { openDatabase } from './store/db.ts';
import { greatestStreamSeq, outboxStats } from './store/repositories/outbox.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { type Check, type CheckResult, startServer } from './telemetry/server.ts';
import { startTracing } from './telemetry/tracing.ts';

export type App = { start(): Promise<void>; stop(): Promise<void> };

const statsMs = 5_000;
const disconnectedLimitMs = 60_000;

/** The operator: everything wired by hand, nothing started. */
export function createApp(config: Config, log: Logger): App {
  const clock = systemClock;
  const metrics = createMetrics({ version: config.version, phases: machineStates() });
  const client = createClient(config, (verb, resource, status) => metrics.apiRequest(verb, resource, status));
  const database = openDatabase({
    url: config.databaseUrl,
    poolSize: config.workers + 4,
    applicationName: 'openos',
    allowUnsafe: config.allowUnsafeDatabase,
    fencesRestarts: true,
    log,
  });
  const broker = new NatsBroker({
    url: config.natsUrl,
    name: config.podName,
    stream: config.stream,
    // A stream that has to be made again goes on above every number that was ever handed out.
    firstSequence: async () => (await greatestStreamSeq(database.db)) + 1,
    log,
  });
  warnOfLoss(config, log);
  const caches = createCaches(client, clock, log, metrics);
  const stopping = new AbortController();
  const seen: Seen = { database: missing('not asked yet'), broker: missing('not asked yet') };
  let running: Promise<unknown> = Promise.resolve();
  let closeServers: readonly (() => Promise<void>)[] = [];

  const elector = () =>
    new LeaderElector({
      client,
      namespace: config.namespace,
      name: config.lease.name,
      identity: config.podName,
      clock,
      log,
      timings: leaseTimings(config.lease.durationMs),
      onStartedLeading: (leadership) =>
        lead({ config, client, caches, database, broker, metrics, clock, log }, leadership),
    });

  async function elect(): Promise<void> {
    while (!stopping.signal.aborted) await elector().run(stopping.signal);
  }

  async function watchDependencies(): Promise<void> {
    const { state } = broker;
    if (!seen.broker.ok) seen.broker = state.available ? reached : missing(state.reason.message);
    metrics.brokerUp(broker.state.available);
    metrics.databaseUp(database.available);
    try {
      const stats = await outboxStats(database.db);
      seen.database = reached;
      metrics.outbox({ pendingEvents: stats.pending, oldestAgeMs: stats.oldestPendingMs });
    } catch (error) {
      if (!seen.database.ok) seen.database = missing(classify(error).message);
    }
  }

  return {
    start: async () => {
      const tracing = await startTracing({
        otlpEndpoint: config.otlpEndpoint,
        serviceVersion: config.version,
        instance: config.podName,
        log,
      });
      const readiness = readinessChecks(caches, seen, clock.now);
      const server = await startServer({ port: config.httpPort, metrics, readiness, log });
      closeServers = [() => server.stop(), () => tracing.stop()];
      log.info({ port: server.port, version: config.version }, 'openos controller started');
      // Readiness waits for both: it must not wait for the next round as well.
      broker.onState(() => void watchDependencies());
      database.onAvailability(() => void watchDependencies());
      broker.connect();
      await watchDependencies();
      const timer = setInterval(() => void watchDependencies(), statsMs);
      stopping.signal.addEventListener('abort', () => clearInterval(timer));
      running = Promise.all([caches.run(stopping.signal), elect()]);
      await running;
    },
    stop: async () => {
      stopping.abort();
      await running;
      await Promise.all(closeServers.map((close) => close()));
      await broker.close();
      await database.close();
      await client.close();
    },
  };
}

/** One copy that is synced now and then: a power cut takes back what was acknowledged. */
function warnOfLoss({ stream }: Config, log: Logger): void {
  if (stream.replicas > 1 || stream.syncs === 'always') return;
  const { replicas } = stream;
  log.warn(
    { code: 'StreamNotDurable', replicas },
    'NATS keeps one copy of the events and may lose seconds of them in a power cut: set its sync_interval to always (and OPENOS_STREAM_SYNC=always here), or OPENOS_STREAM_REPLICAS=3',
  );
}

/** client-go's proportions: renew for two thirds of the lease, try about seven times in it. */
function leaseTimings(leaseMs: number) {
  return { leaseMs, renewDeadlineMs: (leaseMs * 2) / 3, retryMs: (leaseMs * 2) / 15 };
}

function machineStates(): readonly string[] {
  const agentPhases = [...attemptStarts, ...transitions.map((rule) => rule.to)];
  return ['New', ...new Set([...agentPhases, ...Object.values(TenantPhase)])];
}

type Seen = { database: CheckResult; broker: CheckResult };

const reached: CheckResult = { ok: true, detail: 'reached' };

function missing(why: string): CheckResult {
  return { ok: false, detail: `not reached yet: ${why}` };
}

/**
 * Ready once every dependency has been reached; later outages of Postgres or NATS do not take the operator out of
 * service (its agents run on and it recovers by itself), only a lost API server does.
 */
function readinessChecks(caches: Caches, seen: Seen, now: () => number): readonly Check[] {
  return [
    { name: 'caches', check: () => cacheCheck(caches, now()) },
    { name: 'database', check: () => seen.database },
    { name: 'broker', check: () => seen.broker },
  ];
}

function cacheCheck(caches: Caches, now: number): CheckResult {
  const since = caches.disconnectedSince();
  if (!caches.listed()) return { ok: false, detail: 'waiting for the API server (are the CRDs installed?)' };
  const silentMs = since === undefined ? 0 : now - since;
  return { ok: silentMs < disconnectedLimitMs, detail: silentMs === 0 ? 'synced' : `disconnected for ${silentMs} ms` };
}

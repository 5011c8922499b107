import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Consumers } from '../../operator/consumers.ts';
import { NatsBroker } from '../../operator/events/nats-broker.ts';
import { Publisher } from '../../operator/events/publisher.ts';
import { Retention } from '../../operator/events/retention.ts';
import { systemClock } from '../../operator/kernel/clock.ts';
import { silentLogger } from '../../operator/kernel/logger.ts';
import { openDatabase } from '../../operator/store/db.ts';
import { outboxOf } from '../../operator/store/repositories/outbox.ts';
import { retentionSweeps } from '../../operator/store/repositories/retention.ts';
import { createMetrics } from '../../operator/telemetry/metrics.ts';
import { observedBroker } from './observed-broker.ts';
import { type FromPublisher, machineMs, type SoakSettings, type ToPublisher } from './soak-messages.ts';

/**
 * The event side of a leader as a process of its own, put together as the operator does it: publisher, projector, ack
 * watcher, auditor and retention. Started by soak.ts, which tells it of commits and asks it how it is.
 */
const settings = JSON.parse(process.argv[2] ?? '') as SoakSettings;
const clock = systemClock;
const log = silentLogger;
const tell = (message: FromPublisher): void => void (process.connected && process.send?.(message));

const database = openDatabase({ url: settings.databaseUrl, poolSize: 10, applicationName: 'soak-publisher', log });
const stream = { replicas: 1, maxAgeMs: 86_400_000, maxBytes: 1.5 * 2 ** 30 };
const broker = new NatsBroker({ url: settings.natsUrl, name: 'soak-publisher', stream, log });
const metrics = createMetrics({ version: 'soak', phases: [] });

let acked: (readonly [id: string, atMs: number])[] = [];
const observed = observedBroker(broker, ({ headers }) => acked.push([headers['ce-id'] ?? '', machineMs()]));
const ackTimer = setInterval(() => {
  if (acked.length > 0) tell({ kind: 'acked', events: acked });
  acked = [];
}, 100);

const ignore = (): void => undefined;
const hooks = {
  ...{ onAcknowledged: ignore, onObstacle: ignore, onDiscontinuity: ignore, onAlarm: ignore },
  onReturned: (): void => publisher.nudge(),
};
const config = {
  auditMs: 30_000,
  podName: 'soak',
  requiredConsumers: [],
  stream: { ...stream, syncs: 'always' },
} as const;
const consumers = new Consumers({ config, database, broker, metrics, clock, log }, hooks);
const publisher = new Publisher({
  ...{ outbox: outboxOf(database.db), broker: observed, log, metrics, clock },
  onSettled: () => consumers.nudge(),
  onSequenceReused: (message) => consumers.suspect(message),
});

const removed = { outbox: 0, transition: 0, audit_log: 0 };
const isCounted = (table: string): table is keyof typeof removed => Object.hasOwn(removed, table);
const retention = new Retention({
  sweeps: retentionSweeps(database.db, settings.keep),
  everyMs: settings.walkEveryMs,
  metrics: {
    rowsRemoved: (table, rows) => {
      if (isCounted(table)) removed[table] += rows;
    },
  },
  ...{ log, clock },
});

const resolutionMs = 10;
const loop = {
  window: monitorEventLoopDelay({ resolution: resolutionMs }),
  run: monitorEventLoopDelay({ resolution: resolutionMs }),
};
/** The histogram holds the time between two ticks of its own timer: what is above its resolution is delay. */
const p99 = (histogram: typeof loop.run): number => Math.max(0, histogram.percentile(99) / 1e6 - resolutionMs);
let rejections = 0;
process.on('unhandledRejection', () => {
  rejections += 1;
});

function sample(): void {
  const { rss, heapUsed } = process.memoryUsage();
  // What lives on, not what is in flight or waits for a time.
  const handles = process
    .getActiveResourcesInfo()
    .filter((kind) => /Wrap$/.test(kind) && !/ReqWrap$/.test(kind)).length;
  const [loopP99Ms, runLoopP99Ms] = [p99(loop.window), p99(loop.run)];
  loop.window.reset();
  tell({
    ...{ kind: 'sample', rssMiB: rss / 2 ** 20, heapMiB: heapUsed / 2 ** 20, handles, rejections },
    ...{ loopP99Ms, runLoopP99Ms, removed: { ...removed } },
  });
}

async function stop(): Promise<void> {
  clearInterval(ackTimer);
  await retention.stop();
  await publisher.stop();
  await consumers.stop();
  await broker.close();
  await database.close();
}

process.on('message', (message: ToPublisher) => {
  if (message.kind === 'committed') publisher.nudge(message.id);
  else if (message.kind === 'sample') sample();
  else void stop().then(() => process.disconnect());
});
// Whoever started it is gone: it must not outlive it.
process.once('disconnect', () => process.exit());

broker.connect();
consumers.start();
publisher.start();
retention.start();
const unsubscribe = broker.onState(({ available }) => {
  if (!available) return;
  unsubscribe();
  loop.window.enable();
  loop.run.enable();
  tell({ kind: 'publishing' });
});

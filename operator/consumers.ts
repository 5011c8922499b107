import type { Config } from './config.ts';
import { type AckObstacle, AckWatcher } from './events/ack-watcher.ts';
import { Auditor } from './events/auditor.ts';
import type { Discontinuity } from './events/auditor-checks.ts';
import type { NatsBroker } from './events/nats-broker.ts';
import { natsConsumer } from './events/nats-consumer.ts';
import { natsObserver } from './events/nats-observer.ts';
import { Projector } from './events/projector.ts';
import { projectorName } from './events/required-consumers.ts';
import type { StreamAlarm } from './events/stream-alarms.ts';
import type { Clock } from './kernel/clock.ts';
import type { Logger } from './kernel/logger.ts';
import type { Database } from './store/db.ts';
import { type AcknowledgedEvent, acknowledgementStoreOf } from './store/repositories/acknowledgement.ts';
import { auditStoreOf } from './store/repositories/audit.ts';
import { projectionStoreOf } from './store/repositories/projection.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { withSpan } from './telemetry/tracing.ts';

export type ConsumersParts = {
  readonly config: Pick<Config, 'auditMs' | 'podName' | 'requiredConsumers' | 'stream'>;
  readonly database: Database;
  readonly broker: NatsBroker;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
};

export type ConsumersHooks = {
  /** It is committed that these events were acknowledged. */
  readonly onAcknowledged: (events: readonly AcknowledgedEvent[]) => void;
  /** What stands in the way of acknowledging has changed. */
  readonly onObstacle: () => void;
  /** A required consumer, or the room of the stream, needs somebody to look at it. */
  readonly onAlarm: (alarm: StreamAlarm) => void;
  /** The stream lost something, or was put back; so many events are published again. */
  readonly onDiscontinuity: (found: Discontinuity, lost: number) => void;
  /** Lost events wait for the publisher again. */
  readonly onReturned: () => void;
};

/** The far side of the stream, as the leader has it: our own consumer, the watch over all that are required, and the audit. */
export class Consumers {
  readonly #projector: Projector;
  readonly #watcher: AckWatcher;
  readonly #auditor: Auditor;
  #obstacle: AckObstacle | undefined;

  constructor({ config, database, broker, metrics, clock, log }: ConsumersParts, hooks: ConsumersHooks) {
    this.#projector = new Projector({
      consumer: natsConsumer(broker, projectorName),
      store: projectionStoreOf(database.db),
      broker,
      log,
      metrics,
      clock,
      inSpan: withSpan,
    });
    const observer = natsObserver(broker);
    const required = [...new Set([projectorName, ...config.requiredConsumers])];
    this.#watcher = new AckWatcher({
      store: acknowledgementStoreOf(database.db),
      observer,
      broker,
      required,
      limits: config.stream,
      log,
      metrics,
      clock,
      onAlarm: hooks.onAlarm,
      onAcknowledged: hooks.onAcknowledged,
      onObstacle: (obstacle) => {
        this.#obstacle = obstacle;
        if (obstacle?.reason === 'StreamDiscontinuity') this.#auditor.nudge();
        hooks.onObstacle();
      },
    });
    this.#auditor = new Auditor({
      store: auditStoreOf(database.db, { actor: 'openos-auditor', detail: { host: config.podName } }),
      observer,
      broker,
      limits: config.stream,
      required,
      log,
      metrics,
      clock,
      auditMs: config.auditMs,
      onAlarm: hooks.onAlarm,
      onDiscontinuity: hooks.onDiscontinuity,
      onReturned: hooks.onReturned,
    });
  }

  /** Why published events are not acknowledged; undefined while they are. */
  get obstacle(): AckObstacle | undefined {
    return this.#obstacle;
  }

  start(): void {
    this.#projector.start();
    this.#watcher.start();
    this.#auditor.start();
  }

  /** Says that the stream gave a number out a second time. */
  suspect(message: string): void {
    this.#auditor.suspect(message);
  }

  /** Says that something was published. */
  nudge(): void {
    this.#watcher.nudge();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#projector.stop(), this.#watcher.stop(), this.#auditor.stop()]);
  }
}

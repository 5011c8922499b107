import type { OperatorReason } from './api/v1alpha1/reasons.ts';
import { adoptMissing } from './events/adoption.ts';
import type { NatsBroker } from './events/nats-broker.ts';
import { natsConsumer } from './events/nats-consumer.ts';
import { projectorName } from './events/required-consumers.ts';
import type { Clock } from './kernel/clock.ts';
import type { Logger } from './kernel/logger.ts';
import type { Database } from './store/db.ts';
import { type Adoption, adopt, newestRecordedAt } from './store/repositories/adoption.ts';
import { unitOfWork } from './store/unit-of-work.ts';
import type { Metrics } from './telemetry/metrics.ts';

export type AdopterParts = {
  readonly database: Database;
  readonly broker: NatsBroker;
  readonly metrics: Pick<Metrics, 'eventsAdopted'>;
  readonly clock: Clock;
  readonly log: Logger;
};

/** Who takes the record over does not wait longer for a broker that is away: agents go on without it. */
const patienceMs = 3_000;

/** Whoever takes the record over compares it with the stream before anything new is recorded. */
export class Adopter {
  readonly #parts: AdopterParts;
  readonly #tell: (reason: OperatorReason, note: string) => void;
  /** How old the record was when it was taken; kept until it could be compared. */
  #taken: { readonly newest: Date | undefined } | undefined;

  constructor(parts: AdopterParts, tell: (reason: OperatorReason, note: string) => void = () => undefined) {
    this.#parts = parts;
    this.#tell = tell;
  }

  /**
   * Adopts what the stream has and the record has not. False when the broker is away: then nothing may be published
   * until this was run again.
   * @throws OperatorError NotLeader, DatabaseUnavailable, or what reading the stream throws
   */
  async run(epoch: number): Promise<boolean> {
    const { broker, clock, database, log } = this.#parts;
    this.#taken ??= { newest: await newestRecordedAt(database.db) };
    if (!(await isReached(broker, clock))) return false;
    const { newest } = this.#taken;
    const adoption = await adoptMissing({
      broker,
      log,
      newestRecordedAt: async () => newest,
      take: (found) => unitOfWork(database.db, epoch, (trx) => adopt(trx, epoch, 'openos-controller', found)),
    });
    await this.#report(adoption);
    this.#taken = undefined;
    return true;
  }

  async #report({ adopted, forked }: Adoption): Promise<void> {
    const { broker, log, metrics } = this.#parts;
    if (forked.length > 0) {
      const note = `${forked.length} events of the database differ from those on the stream under the same ids; they are parked`;
      log.error({ events: forked.length, first: forked[0]?.eventId }, note);
      this.#tell('HistoryForked', note);
    }
    if (adopted.length === 0) return;
    const note = `the database lacked ${adopted.length} events that are on the stream, and has them again: was it restored?`;
    log.warn({ events: adopted.length, first: adopted[0]?.eventId }, note);
    metrics.eventsAdopted(adopted.length);
    this.#tell('EventsAdopted', note);
    // The read model went back with the rest, and its consumer did not.
    await natsConsumer(broker, projectorName).restart();
  }
}

function isReached(broker: NatsBroker, clock: Clock): Promise<boolean> {
  if (broker.state.available) return Promise.resolve(true);
  return new Promise((resolve) => {
    const settle = (answer: boolean): void => {
      cancel();
      unsubscribe();
      resolve(answer);
    };
    const cancel = clock.setTimer(patienceMs, () => settle(false));
    const unsubscribe = broker.onState(({ available }) => {
      if (available) settle(true);
    });
  });
}

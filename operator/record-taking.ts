import type { CancelTimer, Clock } from './kernel/clock.ts';
import type { Logger } from './kernel/logger.ts';
import type { LeaderEpoch } from './leader-epoch.ts';
import type { Database } from './store/db.ts';

export type RecordTakingParts = {
  readonly epoch: Pick<LeaderEpoch, 'current' | 'renew' | 'isCompared' | 'isTaking'>;
  readonly database: Pick<Database, 'available' | 'onRestart'>;
  readonly broker: {
    readonly state: { readonly available: boolean };
    onState(listener: () => void): () => void;
  };
  readonly clock: Clock;
  readonly log: Logger;
  /** Called after the database was started again and its record was taken: what was recorded may be another. */
  readonly onRestarted: () => void;
};

/** How soon a take-over that failed, or that could not compare, is tried again. */
const retakeMs = 1_000;

/**
 * Takes the record as soon as we lead, and again whenever it may be another: nothing is published before it was
 * compared with the stream, and in a quiet cluster nobody else would ask for that.
 */
export class RecordTaking {
  readonly #parts: RecordTakingParts;
  #stopListening: readonly (() => void)[] = [];
  #cancelTimer: CancelTimer = () => undefined;
  #isStopped = false;

  constructor(parts: RecordTakingParts) {
    this.#parts = parts;
  }

  /** At once and not with the first recording: who led before and only slept must not record beside us. */
  start(): void {
    const { broker, database, epoch, onRestarted } = this.#parts;
    this.#stopListening = [
      database.onRestart(() => {
        epoch.renew();
        void this.#take().then(() => {
          if (!this.#isStopped) onRestarted();
        });
      }),
      broker.onState(() => this.#retake()),
    ];
    void this.#take();
    this.#retakeLater();
  }

  stop(): void {
    this.#isStopped = true;
    for (const stop of this.#stopListening) stop();
    this.#cancelTimer();
  }

  #retakeLater(): void {
    this.#cancelTimer = this.#parts.clock.setTimer(retakeMs, () => {
      this.#retake();
      this.#retakeLater();
    });
  }

  /** Not while one is under way, which may still be waiting for what has just come back. */
  #retake(): void {
    const { broker, database, epoch } = this.#parts;
    if (epoch.isCompared || epoch.isTaking || !broker.state.available || !database.available) return;
    epoch.renew();
    void this.#take();
  }

  async #take(): Promise<void> {
    const { epoch, log } = this.#parts;
    try {
      await epoch.current();
    } catch (err) {
      log.debug({ err }, 'the record could not be taken over; it is tried again');
    }
  }
}

import type { Fence } from './kernel/client.ts';
import { classify, hasCode, notLeader, OperatorError } from './kernel/errors.ts';
import type { Logger } from './kernel/logger.ts';
import { placeRules } from './resources/places.ts';
import type { Database } from './store/db.ts';
import { takeOver } from './store/repositories/leadership.ts';
import { recountPlaces } from './store/repositories/ledger.ts';
import { unitOfWork } from './store/unit-of-work.ts';

/** The epoch of this leadership: taken when the database is first there. Everything recorded carries it. */
export class LeaderEpoch {
  readonly #database: Database;
  readonly #holder: string;
  readonly #fence: Pick<Fence, 'holds'>;
  readonly #log: Logger;
  readonly #compare: (epoch: number) => Promise<boolean>;
  #epoch: Promise<number> | undefined;
  /** The take-over under way, and the one that waits for it to end: two at once would refuse each other. */
  #running: Promise<number> | undefined;
  #next: Promise<number> | undefined;
  /** Grows whenever what was read may be older than what is there. */
  #turn = 0;
  #isCompared = false;
  readonly #listeners = new Set<() => void>();

  /** `compare` makes the record have what the stream has; false when the stream cannot be asked. */
  constructor(
    database: Database,
    holder: string,
    fence: Pick<Fence, 'holds'>,
    log: Logger,
    compare: (epoch: number) => Promise<boolean> = async () => true,
  ) {
    this.#database = database;
    this.#holder = holder;
    this.#fence = fence;
    this.#log = log;
    this.#compare = compare;
  }

  /** Whether the record is ours and has what the stream has: before that nothing is published from it. */
  get isCompared(): boolean {
    return this.#isCompared;
  }

  /** Whether a take-over is under way. */
  get isTaking(): boolean {
    return this.#running !== undefined;
  }

  /** Calls `listener` whenever the record has become ours, whoever asked for it; returns how to stop that. */
  onTaken(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Says that the record may not be what it was: it is taken over and compared again before anything is recorded. */
  renew(): void {
    this.#turn += 1;
    this.#isCompared = false;
    this.#epoch = undefined;
  }

  /** Reads a record that is ours, and not one that was exchanged while it was read. @throws OperatorError what `read` throws */
  async reading<Result>(read: () => Promise<Result>): Promise<Result> {
    await this.current();
    const turn = this.#turn;
    const result = await read();
    if (turn === this.#turn) return result;
    throw new OperatorError('DatabaseUnavailable', 'retryable', 'the database was started again while it was read');
  }

  /**
   * @throws OperatorError DatabaseUnavailable; asked again it tries again. NotLeader when leading is over: who was
   * frozen must not take the record from the one who leads now.
   */
  async current(): Promise<number> {
    if (!this.#fence.holds()) throw notLeader();
    const taken = this.#epoch ?? this.#takeOver();
    this.#epoch = taken;
    try {
      return await taken;
    } catch (error) {
      this.#forget(taken);
      throw error;
    }
  }

  /**
   * Runs `write` under the epoch in force. When it is refused somebody took the record who had slept with that
   * statement in hand: as long as we lead, the next one takes it back. Only once, however many were refused: each
   * taking refuses whatever is under way.
   * @throws OperatorError what {@link current} and `write` throw
   */
  async during<Result>(write: (epoch: number) => Promise<Result>): Promise<Result> {
    const epoch = await this.current();
    const taken = this.#epoch;
    try {
      return await write(epoch);
    } catch (error) {
      if (hasCode(error, 'NotLeader')) this.#forget(taken);
      throw error;
    }
  }

  /** One at a time: asked for while one is under way, a further one follows it, however often it was asked for. */
  #takeOver(): Promise<number> {
    if (this.#running === undefined) return this.#begin();
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<number> {
    this.#next = undefined;
    const taken = this.#take().finally(() => {
      this.#running = this.#next;
    });
    this.#running = taken;
    return taken;
  }

  async #take(): Promise<number> {
    // Leading may have ended while this one waited.
    if (!this.#fence.holds()) throw notLeader();
    const turn = this.#turn;
    const epoch = await takeOver(this.#database.db, this.#holder);
    const isCompared = await this.#compare(epoch);
    await this.#recount(epoch);
    if (turn === this.#turn) {
      this.#isCompared = isCompared;
      for (const listener of this.#listeners) listener();
    }
    return epoch;
  }

  /**
   * Nobody else records from here on, so this is when the ledger can be made what the rows say. It is written with
   * them and should be so already: a count that takes too long must not keep a leader from recording.
   */
  async #recount(epoch: number): Promise<void> {
    try {
      const { db } = this.#database;
      const recount = await unitOfWork(db, epoch, (trx) =>
        recountPlaces(trx, Object.values(placeRules), 'openos-controller'),
      );
      const drifted = Object.values(recount).some((number) => number > 0);
      const code = 'LedgerDrifted';
      if (drifted) this.#log.warn({ code, ...recount }, 'the quota ledger was not what the rows say; it is again');
    } catch (error) {
      const { code, message } = classify(error);
      if (code === 'NotLeader') throw error;
      this.#log.warn({ code }, `the quota ledger could not be compared with the rows: ${message}`);
    }
  }

  #forget(taken: Promise<number> | undefined): void {
    if (this.#epoch === taken) this.#epoch = undefined;
  }
}

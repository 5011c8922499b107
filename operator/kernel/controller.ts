import { randomUUID } from 'node:crypto';
import type { Clock } from './clock.ts';
import { ApiError, classify, type OperatorError } from './errors.ts';
import type { Logger } from './logger.ts';
import type { Outcome } from './outcome.ts';
import type { RetryBounds, WorkQueue } from './queue.ts';

export type ReconcileContext = {
  /** Aborts when leadership is lost or the time for finishing is over. */
  readonly signal: AbortSignal;
  /** Carries controller, key and reconcileId. */
  readonly log: Logger;
  readonly reconcileId: string;
  /** Adds fields to what the controller says of this pass should it fail. */
  readonly annotate: (fields: Readonly<Record<string, unknown>>) => void;
};

/** One pass over one key. It never sleeps: it says in its outcome when to look again. */
export type Reconcile = (key: string, context: ReconcileContext) => Promise<Outcome>;

export type PassResult = Outcome['kind'] | 'conflict' | 'retryable' | 'terminal' | 'panic' | 'aborted';

export type ControllerHooks = {
  /** After every pass; `durationMs` is the time the pass took. */
  readonly onPass?: (result: PassResult, durationMs: number) => void;
};

export type ControllerOptions = {
  readonly name: string;
  readonly workers: number;
  readonly reconcile: Reconcile;
  readonly queue: WorkQueue;
  readonly log: Logger;
  readonly clock: Clock;
  readonly hooks?: ControllerHooks;
};

/** Takes keys from its queue and reconciles them, `workers` at a time. Used once: start, then stop. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #log: Logger;
  readonly #stopTaking = new AbortController();
  readonly #abortPasses = new AbortController();
  #workers: Promise<unknown> = Promise.resolve();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#log = options.log.child({ controller: options.name });
  }

  /** Starts the workers. The caches they look into are synced by now. */
  start(): void {
    const { workers } = this.#options;
    this.#workers = Promise.all(Array.from({ length: workers }, () => this.#work()));
  }

  /**
   * Takes no new key, lets the passes in hand finish, and aborts those that have not after
   * `deadlineMs` (0 = at once: leadership is lost). Resolves when every pass has ended.
   */
  async stop(deadlineMs: number): Promise<void> {
    const { clock, queue } = this.#options;
    this.#stopTaking.abort();
    queue.close();
    if (deadlineMs <= 0) this.#abortPasses.abort();
    const cancel = clock.setTimer(deadlineMs, () => this.#abortPasses.abort());
    await this.#workers;
    cancel();
  }

  async #work(): Promise<void> {
    const { queue } = this.#options;
    for (;;) {
      const key = await queue.take(this.#stopTaking.signal);
      if (key === undefined) return;
      await this.#pass(key);
      queue.done(key);
    }
  }

  async #pass(key: string): Promise<void> {
    const { clock, hooks, queue, reconcile } = this.#options;
    const reconcileId = randomUUID();
    const log = this.#log.child({ key, reconcileId });
    const started = clock.monotonic();
    const fields: Record<string, unknown> = {};
    const annotate: ReconcileContext['annotate'] = (more) => Object.assign(fields, more);
    let result: PassResult;
    try {
      const outcome = await reconcile(key, { signal: this.#abortPasses.signal, log, reconcileId, annotate });
      queue.forget(key);
      if (outcome.kind === 'requeue') queue.addAfter(key, outcome.afterMs);
      result = outcome.kind;
    } catch (error) {
      result = this.#failed(key, classify(error), log.child(fields));
    }
    hooks?.onPass?.(result, clock.monotonic() - started);
  }

  #failed(key: string, error: OperatorError, log: Logger): PassResult {
    const { queue } = this.#options;
    const answer = errorPolicy(error);
    if (answer.retry === 'never') queue.forget(key);
    const retryInMs = answer.retry === 'never' ? undefined : queue.retry(key, answer.bounds);
    const cause = answer.result === 'panic' ? error.cause : undefined;
    log[answer.level]({ code: error.code, retryInMs, err: cause ?? error }, messages[answer.result]);
    return answer.result;
  }
}

type FailedResult = Exclude<PassResult, Outcome['kind']>;

type Answer = {
  readonly result: FailedResult;
  readonly level: 'debug' | 'warn' | 'error';
} & ({ readonly retry: 'backoff'; readonly bounds: RetryBounds } | { readonly retry: 'never' });

const messages: Readonly<Record<FailedResult, string>> = {
  aborted: 'stopped in the middle of a pass',
  conflict: 'someone else moved first, looking again',
  panic: 'reconcile threw something unexpected',
  retryable: 'reconcile failed, will be retried',
  terminal: 'reconcile failed, waiting for a change of the object',
};

/**
 * The one place that says what follows from an error. A conflict is nobody's fault: looked at again
 * soon and quietly, however often. Terminal errors wait for an event. The rest backs off to a minute,
 * or to what the server asked for.
 */
export function errorPolicy(error: OperatorError): Answer {
  if (error.code === 'Aborted') return { result: 'aborted', level: 'debug', retry: 'backoff', bounds: {} };
  if (error.code === 'Panic') return { result: 'panic', level: 'error', retry: 'backoff', bounds: {} };
  if (error.kind === 'conflict') {
    return { result: 'conflict', level: 'debug', retry: 'backoff', bounds: { maxMs: conflictMaxMs } };
  }
  if (error.kind === 'terminal') return { result: 'terminal', level: 'warn', retry: 'never' };
  const minMs = error instanceof ApiError ? error.retryAfterMs : undefined;
  return { result: 'retryable', level: 'warn', retry: 'backoff', bounds: minMs === undefined ? {} : { minMs } };
}

// Long enough for the cache to catch up, short enough for nobody to notice.
const conflictMaxMs = 500;

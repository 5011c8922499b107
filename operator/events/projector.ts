import { type Clock, pause, systemClock } from '../kernel/clock.ts';
import { classify } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import {
  isUnwritable,
  type ParkedMessage,
  type ProjectedEvent,
  type ProjectionStore,
} from '../store/repositories/projection.ts';
import type { Broker } from './broker.ts';
import type { DurableConsumer, DurableMessage } from './durable-consumer.ts';
import { decode } from './registry.ts';

type InSpan = (
  name: string,
  traceparent: string | undefined,
  attributes: Readonly<Record<string, string | number>>,
  work: () => Promise<void> | void,
) => Promise<void>;

export type ProjectorOptions = {
  readonly consumer: DurableConsumer;
  readonly store: ProjectionStore;
  readonly broker: Pick<Broker, 'state' | 'onState'>;
  readonly log: Logger;
  readonly metrics?: { readonly eventParked: () => void };
  /** Runs work inside a span that goes on with the trace of this W3C traceparent. */
  readonly inSpan?: InSpan;
  readonly clock?: Clock;
};

/** Every batch is a commit, and nobody waits for it: what a burst brings meanwhile goes into the next one … */
const gatherMs = 100;
/** … which, if it is of this size, means that there is more already. */
const largeBatch = 64;
const firstRetryMs = 100;
const slowestRetryMs = 5_000;

/**
 * Keeps the read model: what a consumer that knows the stream alone can know of every resource. A batch is written
 * together with its position in one transaction and acknowledged after it; what cannot be read or written is put
 * aside, so that it holds nobody up. Nothing waits for it: it has no say in what an agent is.
 */
export class Projector {
  readonly #options: ProjectorOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  #loop: Promise<void> | undefined;
  #wake: () => void = () => undefined;

  constructor(options: ProjectorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Begins to consume. Neither the database nor the broker needs to be there yet. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** Ends after the batch in hand. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { broker, consumer, log } = this.#options;
    const { signal } = this.#stop;
    const unsubscribe = broker.onState(() => this.#wake());
    for (let retryMs = firstRetryMs; !signal.aborted; retryMs = Math.min(retryMs * 2, slowestRetryMs)) {
      try {
        await consumer.consume(async (messages) => {
          retryMs = firstRetryMs;
          await this.#follow(messages, this.#take(messages));
          if (messages.length < largeBatch) await pause(this.#clock, gatherMs, signal);
        }, signal);
      } catch (error) {
        log.debug({ code: classify(error).code }, 'projecting pauses');
      }
      if (!signal.aborted) await this.#rest(retryMs);
    }
    unsubscribe();
  }

  /** A broker that comes back ends it. */
  #rest(ms: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    return pause(this.#clock, ms, AbortSignal.any([this.#stop.signal, woken.signal]));
  }

  /** Each message in a span of the trace of its event, which ends when the batch is written. */
  async #follow(messages: readonly DurableMessage[], written: Promise<void>): Promise<void> {
    await Promise.all([written, ...messages.map((message) => this.#inSpan('project event', message, () => written))]);
  }

  async #inSpan(name: string, { headers, streamSeq, subject }: DurableMessage, work: () => Promise<void> | void) {
    const { inSpan } = this.#options;
    const attributes = { 'openos.subject': subject, 'openos.stream_seq': streamSeq };
    await (inSpan ? inSpan(name, headers.traceparent, attributes, work) : work());
  }

  /** Writes a batch, however long the database is away, and acknowledges it. */
  async #take(messages: readonly DurableMessage[]): Promise<void> {
    const { signal } = this.#stop;
    for (let retryMs = firstRetryMs; !signal.aborted; retryMs = Math.min(retryMs * 2, slowestRetryMs)) {
      try {
        await this.#write(messages);
        for (const message of messages) message.acknowledge();
        return;
      } catch (error) {
        this.#options.log.debug({ code: classify(error).code }, 'projecting pauses');
        await pause(this.#clock, retryMs, signal);
      }
    }
  }

  async #write(messages: readonly DurableMessage[]): Promise<void> {
    const { store } = this.#options;
    const last = messages.at(-1);
    if (last === undefined) return;
    const read = messages.map(readMessage);
    const events = read.flatMap((result) => (result.kind === 'event' ? [result.event] : []));
    for (const [index, result] of read.entries()) {
      const message = messages[index];
      if (result.kind === 'unreadable' && message !== undefined) await this.#park(message, result.error);
    }
    try {
      await store.project(events, last);
    } catch (error) {
      if (!isUnwritable(error)) throw error;
      await this.#writeSingly(messages);
    }
  }

  /** One of them is refused for what it is: each by itself shows which. */
  async #writeSingly(messages: readonly DurableMessage[]): Promise<void> {
    for (const message of messages) {
      const result = readMessage(message);
      if (result.kind === 'unreadable') continue;
      try {
        await this.#options.store.project([result.event], message);
      } catch (error) {
        if (!isUnwritable(error)) throw error;
        await this.#park(message, error);
      }
    }
  }

  async #park(message: DurableMessage, cause: unknown): Promise<void> {
    const { log, metrics, store } = this.#options;
    const aside = parked(message, cause);
    await this.#inSpan('park event', message, async () => {
      await store.park(aside);
      const { streamSeq, subject, error } = aside;
      log.error({ streamSeq, subject, reason: error }, 'an event cannot be projected and was put aside');
    });
    metrics?.eventParked();
  }
}

type Read =
  | { readonly kind: 'event'; readonly event: ProjectedEvent }
  | { readonly kind: 'unreadable'; readonly error: unknown };

function readMessage(message: DurableMessage): Read {
  try {
    const event = decode(message.payload);
    return {
      kind: 'event',
      event: {
        streamCreated: message.streamCreated,
        streamSeq: message.streamSeq,
        eventId: event.event_id,
        eventType: event.event_type,
        kind: event.event_type.split('.', 1)[0] ?? '',
        aggregateId: event.agent_id,
        tenantId: event.tenant_id,
        sequence: event.sequence,
        occurredAt: new Date(event.occurred_at),
        data: event.data,
      },
    };
  } catch (error) {
    return { kind: 'unreadable', error };
  }
}

function parked({ streamCreated, streamSeq, subject, payload }: DurableMessage, error: unknown): ParkedMessage {
  const { code, message } = classify(error);
  return { streamCreated, streamSeq, subject, payload, error: `${code}: ${message}` };
}

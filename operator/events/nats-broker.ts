import { readFile } from 'node:fs/promises';
import {
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  type PubAck,
} from '@nats-io/jetstream';
import { type ConnectionOptions, connect, credsAuthenticator, headers, type MsgHdrs, type NatsConnection } from 'nats';
import type { OperatorError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Broker, BrokerState, OutgoingMessage, PublishReceipt, ReadOptions, StoredMessage } from './broker.ts';
import { EventErrorCode, eventError } from './errors.ts';
import { type Loss, newLoss } from './loss.ts';
import { classifyNatsError } from './nats-errors.ts';
import { readStream } from './nats-reader.ts';
import { ensureCapture, ensureStream, requireServerVersion, type StreamSettings, streamName } from './streams.ts';

export type NatsBrokerOptions = {
  /** nats:// or tls:// URLs, separated by commas; user:password@ or token@ in the first one. */
  readonly url: string;
  /** A credentials file (JWT and seed); read again at every connection that we open. */
  readonly credentialsFile?: string;
  /** Shown in the server's list of connections. */
  readonly name: string;
  /** The stream as it is to be. A consumer leaves it out and takes the stream as it finds it. */
  readonly stream?: StreamSettings;
  /** Where a stream that is missing starts; must be above every sequence ever seen. 1 by default. */
  readonly firstSequence?: () => Promise<number>;
  /** How long a publish may take; milliseconds, 5,000 by default. */
  readonly publishTimeoutMs?: number;
  readonly log: Logger;
};

/** JetStream over a connection that stands. */
export type JetStreamSession = {
  readonly client: JetStreamClient;
  /** Rejects when the connection is lost: an answer cannot come any more. */
  readonly lost: Promise<never>;
};

type Session = JetStreamSession & Loss & { readonly connection: NatsConnection };

const firstRetryMs = 100;
const slowestRetryMs = 5_000;

/** The Broker port on NATS JetStream. Connects for ever, in the background; a lost server is a state, not an error. */
export class NatsBroker implements Broker {
  readonly #options: NatsBrokerOptions;
  readonly #listeners = new Set<(state: BrokerState) => void>();
  readonly #stop = new AbortController();
  #state: BrokerState = { available: false, reason: notConnected() };
  /** Whether the last message that was sent found no room. */
  #isFull = false;
  /** Whether a server was ever reached, or its absence was told. */
  #told = false;
  #session: Session | undefined;
  #connection: NatsConnection | undefined;
  #running: Promise<void> | undefined;

  constructor(options: NatsBrokerOptions) {
    this.#options = options;
  }

  get state(): BrokerState {
    return this.#state;
  }

  onState(listener: (state: BrokerState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  connect(): void {
    this.#running ??= this.#keepConnected();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    // Not the session's: while the client reconnects there is none.
    await this.#connection?.close().catch(() => undefined);
    await this.#running;
  }

  async publish(message: OutgoingMessage): Promise<PublishReceipt> {
    const session = this.#available();
    const streamCreated = this.#streamCreated();
    const sent = session.client.publish(message.subject, message.payload, {
      msgID: message.messageId,
      headers: toNatsHeaders(message.headers),
      expect: { streamName },
      timeout: this.#options.publishTimeoutMs ?? 5_000,
    });
    const ack = await this.#answered<PubAck>(session, sent).catch((error: unknown) => {
      const failure = classifyNatsError(error);
      if (failure.code === EventErrorCode.StreamFull) this.#noteFull(failure);
      throw failure;
    });
    this.#noteFull(undefined);
    return { streamCreated, streamSeq: ack.seq, duplicate: ack.duplicate };
  }

  /** The publisher tries it again and again: people are told once, and when it is over. */
  #noteFull(refusal: OperatorError | undefined): void {
    const { log } = this.#options;
    if (this.#isFull === (refusal !== undefined)) return;
    this.#isFull = refusal !== undefined;
    if (refusal) log.warn({ code: refusal.code }, `${refusal.message}: events wait in the outbox until there is room`);
    else log.info({}, 'the stream takes events again');
  }

  async messageAt(streamSeq: number): Promise<StoredMessage | undefined> {
    const session = this.#available();
    const manager = await session.client.jetstreamManager(false);
    const message = await this.#answered(session, manager.streams.getMessage(streamName, { seq: streamSeq }));
    if (!message) return undefined;
    return {
      streamSeq: message.seq,
      subject: message.subject,
      payload: message.string(),
      headers: fromNatsHeaders(message.header),
    };
  }

  async *read(options: ReadOptions): AsyncIterable<StoredMessage> {
    const { client } = this.#available();
    try {
      for await (const message of readStream(client, options)) {
        yield {
          streamSeq: message.seq,
          subject: message.subject,
          payload: message.string(),
          headers: fromNatsHeaders(message.headers),
        };
      }
    } catch (error) {
      throw classifyNatsError(error);
    }
  }

  /** Runs what the rest of this folder asks of JetStream, until the connection is lost. @throws as `publish` */
  async use<Answer>(work: (session: JetStreamSession) => Promise<Answer>): Promise<Answer> {
    const session = this.#available();
    try {
      return await session.orLost(work(session));
    } catch (error) {
      const failure = classifyNatsError(error);
      if (failure.code === EventErrorCode.StreamMissing) this.#recheck(failure);
      throw failure;
    }
  }

  /** Says which stream is there now: one that was made anew behind our back has to be looked at again. */
  sawStream(created: string): void {
    if (!this.#state.available || this.#state.streamCreated === created) return;
    this.#recheck(eventError(EventErrorCode.StreamMissing, 'the stream was made anew by somebody else'));
  }

  #available(): Session {
    if (!this.#state.available) throw this.#state.reason;
    if (!this.#session) throw notConnected();
    return this.#session;
  }

  #streamCreated(): string {
    return this.#state.available ? this.#state.streamCreated : '';
  }

  async #answered<Answer>(session: Session, answer: Promise<Answer>): Promise<Answer> {
    try {
      return await session.orLost(answer);
    } catch (error) {
      const failure = classifyNatsError(error);
      // The connection stands and JetStream or the stream behind it is gone: only looking again can tell.
      if (failure.code === EventErrorCode.StreamMissing || failure.code === EventErrorCode.BrokerUnavailable) {
        this.#recheck(failure);
      }
      throw failure;
    }
  }

  /** One connection after the other until `close`; each lives through the reconnects of the client. */
  async #keepConnected(): Promise<void> {
    const { signal } = this.#stop;
    for (let retryMs = firstRetryMs; !signal.aborted; retryMs = Math.min(retryMs * 2, slowestRetryMs)) {
      try {
        const connection = await connect(await connectionOptions(this.#options));
        retryMs = firstRetryMs;
        await this.#serve(connection);
      } catch (error) {
        this.#notReached(classifyNatsError(error));
      }
      await delay(retryMs, signal);
    }
  }

  /** A server that never was there changes no state: without this nobody would be told. */
  #notReached(reason: OperatorError): void {
    const isNews = !this.#told && !this.#state.available && this.#state.reason.code === reason.code;
    this.#told = true;
    if (isNews && !this.#stop.signal.aborted) this.#options.log.warn({ code: reason.code }, reason.message);
    this.#setState({ available: false, reason });
  }

  /** Runs until the connection is closed for good. */
  async #serve(connection: NatsConnection): Promise<void> {
    if (this.#stop.signal.aborted) return connection.close();
    this.#connection = connection;
    void this.#prepare(connection);
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') this.#lose(notConnected());
      if (status.type === 'reconnect') void this.#prepare(connection);
      if (status.type === 'error') this.#options.log.debug({ error: status.error.name }, 'NATS reported an error');
    }
    const reason = await connection.closed();
    this.#lose(classifyNatsError(reason ?? notConnected()));
  }

  /** Checks the server and the stream; repeats until they are right, the connection is lost or all is over. */
  async #prepare(connection: NatsConnection): Promise<void> {
    this.#lose(notConnected());
    const session = newSession(connection);
    this.#session = session;
    const isCurrent = () => this.#session === session && !this.#stop.signal.aborted;
    for (let retryMs = firstRetryMs; isCurrent(); retryMs = Math.min(retryMs * 2, slowestRetryMs)) {
      try {
        const streamCreated = await session.orLost(this.#checkStream(connection));
        if (isCurrent()) this.#setState({ available: true, streamCreated });
        return;
      } catch (error) {
        if (isCurrent()) this.#setState({ available: false, reason: classifyNatsError(error) });
      }
      await delay(retryMs, this.#stop.signal);
    }
  }

  async #checkStream(connection: NatsConnection): Promise<string> {
    requireServerVersion(connection.info?.version ?? '0');
    const manager: JetStreamManager = await jetstreamManager(connection);
    const { stream, firstSequence } = this.#options;
    if (!stream) return (await manager.streams.info(streamName)).created;
    // First: what the server gives up for a consumer of the events is to be known from the beginning.
    await ensureCapture(manager, stream);
    const info = await ensureStream(manager, stream, firstSequence ?? (async () => 1));
    return info.created;
  }

  #recheck(reason: OperatorError): void {
    const session = this.#session;
    if (!session || !this.#state.available || this.#stop.signal.aborted) return;
    this.#setState({ available: false, reason });
    void this.#prepare(session.connection);
  }

  #lose(reason: OperatorError): void {
    this.#session?.lose(reason);
    this.#session = undefined;
    this.#setState({ available: false, reason });
  }

  #setState(state: BrokerState): void {
    const before = this.#state;
    this.#state = state;
    const same = state.available
      ? before.available && before.streamCreated === state.streamCreated
      : !before.available && before.reason.code === state.reason.code;
    if (same || this.#stop.signal.aborted) return;
    this.#told = true;
    if (state.available) this.#options.log.info({}, 'the event broker is available');
    else this.#options.log.warn({ code: state.reason.code }, state.reason.message);
    for (const listener of this.#listeners) listener(state);
  }
}

function newSession(connection: NatsConnection): Session {
  return Object.assign(newLoss(), { connection, client: jetstream(connection) });
}

async function connectionOptions(options: NatsBrokerOptions): Promise<ConnectionOptions> {
  const urls = options.url.split(',').map((text) => new URL(text.trim()));
  const [first] = urls;
  const user = decodeURIComponent(first?.username ?? '');
  const pass = decodeURIComponent(first?.password ?? '');
  const credentials = options.credentialsFile === undefined ? undefined : await readFile(options.credentialsFile);
  return {
    servers: urls.map((url) => `${url.hostname}:${url.port || '4222'}`),
    name: options.name,
    ...(first?.protocol === 'tls:' && { tls: {} }),
    ...(pass !== '' && { user, pass }),
    ...(user !== '' && pass === '' && { token: user }),
    ...(credentials && { authenticator: credsAuthenticator(credentials) }),
    timeout: 3_000,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    // Credentials may be wrong only for a while, when they are being rotated.
    ignoreAuthErrorAbort: true,
    // Notices a server that is frozen or cut off.
    pingInterval: 5_000,
    maxPingOut: 2,
    noAsyncTraces: true,
  };
}

function toNatsHeaders(values: Readonly<Record<string, string>>): MsgHdrs {
  const result = headers();
  for (const [name, value] of Object.entries(values)) result.set(name, value);
  return result;
}

/** Headers as plain values. */
export function fromNatsHeaders(values: MsgHdrs | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(values?.keys().map((name) => [name, values.get(name)]) ?? []);
}

function notConnected(): OperatorError {
  return eventError(EventErrorCode.BrokerUnavailable, 'the broker cannot be reached');
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}

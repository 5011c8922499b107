import { isDeepStrictEqual } from 'node:util';
import { type Dispatcher, Pool } from 'undici';
import type { Credentials, TlsMaterial } from './credentials.ts';
import { ApiError, aborted, OperatorError, type StatusBody } from './errors.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export type RequestOptions = {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** `application/json` unless given. */
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Throws when the request must not be made. Asked last, when its bytes are about to be written to a connection. */
  readonly permit?: () => void;
  /** What the request is counted under, such as `pods` or `agents/status`; from a closed set. */
  readonly resource?: string;
};

export type LinesOptions = Omit<RequestOptions, 'body' | 'contentType'> & {
  /** The server has accepted the request. */
  readonly onOpen?: () => void;
};

/** One answered (or failed) request, for metrics. `status` 0: there was no answer. A watch counts when it opens. */
export type RequestSample = {
  readonly verb: Method | 'WATCH';
  readonly resource: string;
  readonly status: number;
  readonly durationMs: number;
};

export type TransportOptions = {
  readonly credentials: Credentials;
  /** Ends up in the User-Agent as `openos/<version>`. */
  readonly version: string;
  /** Connections for requests; each watch has one of its own besides. */
  readonly connections?: number;
  /** How long the server may stay silent before an answer, milliseconds. */
  readonly answerTimeoutMs?: number;
  readonly onRequest?: (sample: RequestSample) => void;
};

type Pools = { readonly tls: TlsMaterial; readonly requests: Pool; readonly watches: Pool };

/**
 * HTTP to the API server over connections that are kept: raw JSON in and out.
 * Errors are OperatorErrors: ApiError when the server refused, ApiServerUnavailable when it did not
 * answer, MalformedAnswer for JSON that breaks off (all retryable or as ApiError says), Aborted when `signal` did it.
 */
export class Transport {
  readonly #options: TransportOptions;
  readonly #prefix: string;
  #pools: Pools | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#prefix = options.credentials.server.pathname.replace(/\/$/, '');
  }

  /** One request, one JSON answer. The caller names the type it expects: nothing is checked here. */
  async request<T>(method: Method, path: string, options: RequestOptions = {}): Promise<T> {
    const started = performance.now();
    const name = `${method} ${path}`;
    let status = 0;
    try {
      const answer = await this.#send(method, path, options, (pools) => pools.requests);
      status = answer.statusCode;
      const text = await answer.body.text();
      if (status >= 300) throw apiError(name, answer, text);
      return parse<T>(text, name);
    } catch (error) {
      throw translated(error, name, options.signal);
    } finally {
      this.#count(method, options.resource, status, started);
    }
  }

  /**
   * A GET whose answer is an endless stream of lines, each given as soon as its last byte is here.
   * Ends when the server ends it properly; throws MalformedAnswer when it ends inside a line.
   * Leaving the loop closes the connection.
   */
  async *lines(path: string, options: LinesOptions = {}): AsyncGenerator<string, void, void> {
    const name = `WATCH ${path}`;
    try {
      yield* splitLines(await this.#open(path, name, options), name);
    } catch (error) {
      throw translated(error, name, options.signal);
    }
  }

  /** Closes all connections; what is in flight fails. */
  async close(): Promise<void> {
    const pools = this.#pools;
    this.#pools = undefined;
    if (pools === undefined) return;
    await Promise.all([pools.requests.destroy(), pools.watches.destroy()]);
  }

  async #open(path: string, name: string, options: LinesOptions): Promise<AsyncIterable<Buffer>> {
    const started = performance.now();
    let status = 0;
    try {
      const answer = await this.#send('GET', path, options, (pools) => pools.watches);
      status = answer.statusCode;
      if (status >= 300) throw apiError(name, answer, await answer.body.text());
      options.onOpen?.();
      return answer.body;
    } finally {
      this.#count('WATCH', options.resource, status, started);
    }
  }

  async #send(
    method: Method,
    path: string,
    options: RequestOptions,
    choose: (pools: Pools) => Pool,
  ): Promise<Dispatcher.ResponseData> {
    const { tls, headers } = await this.#options.credentials.resolve();
    const body = options.body === undefined ? null : JSON.stringify(options.body);
    const pool = choose(this.#poolsFor(tls));
    const dispatcher = options.permit === undefined ? pool : pool.compose(permitted(options.permit));
    return dispatcher.request({
      method,
      path: `${this.#prefix}${path}${queryString(options.query)}`,
      headers: {
        accept: 'application/json',
        'user-agent': `openos/${this.#options.version}`,
        ...(body !== null && { 'content-type': options.contentType ?? 'application/json' }),
        ...headers,
        ...options.headers,
      },
      body,
      signal: options.signal ?? null,
    });
  }

  #poolsFor(tls: TlsMaterial): Pools {
    if (this.#pools !== undefined && isDeepStrictEqual(this.#pools.tls, tls)) return this.#pools;
    const outdated = this.#pools;
    this.#pools = this.#createPools(tls);
    // Requests in flight finish on the old certificate; so do watches, which end by themselves in minutes.
    void outdated?.requests.close();
    void outdated?.watches.close();
    return this.#pools;
  }

  #createPools(tls: TlsMaterial): Pools {
    const { credentials, connections = 16, answerTimeoutMs = 30_000 } = this.#options;
    const shared = {
      // One connection per watch and a few for requests is what we want: no stream shares a window with another.
      allowH2: false,
      // A quiet connection whose peer is gone without a word ends after 15 s and ten unanswered probes, one a second:
      // by the kernel, at no cost to the server. SYNs are repeated within the first seconds or not at all.
      connect: { ...tls, timeout: 5_000, keepAlive: true, keepAliveInitialDelay: 15_000 },
      headersTimeout: answerTimeoutMs,
      // The API server closes after 90 s; a new handshake costs a cold start several milliseconds.
      keepAliveTimeout: 60_000,
    };
    const { origin } = credentials.server;
    return {
      tls,
      requests: new Pool(origin, { ...shared, connections, bodyTimeout: answerTimeoutMs }),
      // A quiet watch is fine for the transport: the reflector knows how long silence may last.
      watches: new Pool(origin, { ...shared, bodyTimeout: 0 }),
    };
  }

  #count(verb: RequestSample['verb'], resource: string | undefined, status: number, started: number): void {
    const durationMs = performance.now() - started;
    this.#options.onRequest?.({ verb, resource: resource ?? 'other', status, durationMs });
  }
}

// Waiting for credentials or for a free connection, a request can grow old: by then it may be forbidden.
function permitted(permit: () => void): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart: (controller, context) => {
        permit();
        handler.onRequestStart?.(controller, context);
      },
      onResponseStart: (...start) => handler.onResponseStart?.(...start),
      onResponseData: (...data) => handler.onResponseData?.(...data),
      onResponseEnd: (...end) => handler.onResponseEnd?.(...end),
      onResponseError: (...failure) => handler.onResponseError?.(...failure),
    });
}

async function* splitLines(chunks: AsyncIterable<Buffer>, name: string): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = decoder.decode(chunk, { stream: true }).split('\n');
    lines[0] = rest + lines[0];
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield line;
  }
  if (rest !== '') throw new OperatorError('MalformedAnswer', 'retryable', `${name}: ended inside a line`);
}

/** Parses JSON; throws MalformedAnswer (retryable). `name` says whose answer it was. */
export function parse<T>(text: string, name: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    // The parser's message quotes the text, which may hold secrets: it is not passed on.
    throw new OperatorError('MalformedAnswer', 'retryable', `${name}: the answer is not JSON`);
  }
}

function apiError(name: string, answer: Dispatcher.ResponseData, text: string): ApiError {
  const seconds = Number(answer.headers['retry-after'] ?? Number.NaN);
  return new ApiError(name, answer.statusCode, statusBody(text), seconds >= 0 ? seconds * 1000 : undefined);
}

// A proxy in between may answer HTML.
function statusBody(text: string): StatusBody {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? body : {};
  } catch {
    return {};
  }
}

function translated(error: unknown, name: string, signal: AbortSignal | undefined): OperatorError {
  if (error instanceof OperatorError) return error;
  if (signal?.aborted) return aborted(error);
  return new OperatorError('ApiServerUnavailable', 'retryable', `${name}: no answer`, { cause: error });
}

function queryString(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) parameters.set(key, String(value));
  return parameters.size === 0 ? '' : `?${parameters}`;
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Credentials } from '../kernel/credentials.ts';
import type { StoredObject } from '../kernel/object.ts';

/** An answer to one request that is not a watch. */
export type Answer = {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly text?: string;
  /** Never answer: the connection stays open and silent. */
  readonly silent?: boolean;
};

/** What a test does with one watch that a client has opened. */
export type WatchStream = {
  readonly query: URLSearchParams;
  send(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: unknown): void;
  bookmark(resourceVersion: string): void;
  /** An ERROR event with this code. */
  error(code: number, reason: string): void;
  /** Any bytes. */
  raw(bytes: string | Buffer): void;
  /** The proper end. */
  end(): void;
  /** The connection breaks. */
  destroy(): void;
  readonly closed: Promise<void>;
};

export type SeenRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
};

/**
 * An HTTP server that speaks as an API server does, by a script: for the faults a real one shows
 * once a year. `answers` and `watches` are used up in order; then `otherwise` answers and watches stay open.
 */
export class ScriptedApiServer {
  readonly answers: (Answer | ((request: SeenRequest) => Answer))[] = [];
  readonly watches: (Answer | ((stream: WatchStream) => void))[] = [];
  readonly requests: SeenRequest[] = [];
  readonly openWatches = new Set<WatchStream>();
  otherwise: Answer | ((request: SeenRequest) => Answer) = listOf([], '1');
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** Listens on a free port of 127.0.0.1. */
  async start(): Promise<this> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.listen(0, '127.0.0.1', resolve);
    await promise;
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get credentials(): Credentials {
    return {
      server: new URL(`http://127.0.0.1:${this.port}`),
      resolve: () => Promise.resolve({ tls: {}, headers: {} }),
    };
  }

  get lists(): readonly SeenRequest[] {
    return this.requests.filter(
      ({ method, query }) => method === 'GET' && !query.has('watch') && !query.has('continue'),
    );
  }

  get watchRequests(): readonly SeenRequest[] {
    return this.requests.filter(({ query }) => query.has('watch'));
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    for (const socket of this.#sockets) socket.destroy();
    await promise;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const seen: SeenRequest = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: await bodyOf(request),
    };
    this.requests.push(seen);
    if (seen.query.has('watch')) this.#watch(seen, response);
    else answer(pick(this.answers.shift() ?? this.otherwise, seen), response);
  }

  #watch(seen: SeenRequest, response: ServerResponse): void {
    const step = this.watches.shift();
    if (step !== undefined && typeof step !== 'function') {
      answer(step, response);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const stream = streamOn(response, seen.query);
    this.openWatches.add(stream);
    void stream.closed.then(() => this.openWatches.delete(stream));
    step?.(stream);
  }
}

/** A list answer in one page. */
export function listOf(items: readonly StoredObject[], resourceVersion: string, next?: string): Answer {
  return { body: { kind: 'List', metadata: { resourceVersion, ...(next && { continue: next }) }, items } };
}

/** A `metav1.Status` answer. */
export function statusOf(code: number, reason: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status: code, headers, body: { kind: 'Status', status: 'Failure', code, reason, message: reason } };
}

function pick(step: Answer | ((request: SeenRequest) => Answer), seen: SeenRequest): Answer {
  return typeof step === 'function' ? step(seen) : step;
}

function answer(given: Answer, response: ServerResponse): void {
  if (given.silent) return;
  response.writeHead(given.status ?? 200, { 'content-type': 'application/json', ...given.headers });
  response.end(given.text ?? JSON.stringify(given.body ?? {}));
}

function streamOn(response: ServerResponse, query: URLSearchParams): WatchStream {
  const line = (type: string, object: unknown) => response.write(`${JSON.stringify({ type, object })}\n`);
  return {
    query,
    send: (type, object) => line(type, object),
    bookmark: (resourceVersion) => line('BOOKMARK', { metadata: { resourceVersion } }),
    error: (code, reason) => line('ERROR', { kind: 'Status', code, reason }),
    raw: (bytes) => response.write(bytes),
    end: () => response.end(),
    destroy: () => response.socket?.destroy(),
    closed: new Promise((resolve) => response.on('close', resolve)),
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

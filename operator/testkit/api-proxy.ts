import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Credentials } from '../kernel/credentials.ts';
import type { Answer } from './api-server.ts';

/** A request as it came to the proxy. */
export type ProxiedRequest = {
  /** `performance.now()` when it came. */
  readonly at: number;
  readonly method: string;
  readonly path: string;
  readonly isWatch: boolean;
};

/** What is done with a request instead of passing it on and its answer back. */
export type Fault =
  /** The API server never hears of it. */
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** It is carried out, and its answer ends properly after so many bytes. */
  | { readonly kind: 'truncate'; readonly bytes: number }
  /** It is carried out, and its answer is kept back until then. */
  | { readonly kind: 'hold'; readonly until: Promise<unknown> };

/**
 * An HTTP proxy before a real API server, for faults that have a status or a body, and to see what was asked.
 * It is spoken to without TLS and acts with the rights of the credentials it was given.
 */
export class ApiProxy {
  /** Everything that came, in order. */
  readonly requests: ProxiedRequest[] = [];
  /** Asked for each request; undefined passes it on. */
  fault: (request: ProxiedRequest) => Fault | undefined = () => undefined;
  readonly #upstream: Credentials;
  readonly #agent = new TlsAgent({ keepAlive: true });
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #held = 0;

  constructor(upstream: Credentials) {
    this.#upstream = upstream;
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
    // A client that is frozen finds its connections as it left them.
    this.#server.keepAliveTimeout = 0;
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  async start(): Promise<this> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.listen(0, '127.0.0.1', resolve);
    await promise;
    return this;
  }

  /** Credentials that lead here. */
  get credentials(): Credentials {
    return { server: new URL(this.url), resolve: () => Promise.resolve({ tls: {}, headers: {} }) };
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A kubeconfig that leads here, as the text of a file. */
  get kubeconfig(): string {
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'proxy',
      contexts: [{ name: 'proxy', context: { cluster: 'proxy', user: 'proxy' } }],
      clusters: [{ name: 'proxy', cluster: { server: this.url, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'proxy', user: {} }],
    });
  }

  /** Answers that are kept back, or not yet wholly handed to the client's kernel. */
  get held(): number {
    return this.#held;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.cut();
    this.#agent.destroy();
    await promise;
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', this.url);
    const isWatch = url.searchParams.get('watch') === 'true';
    const request = { at: performance.now(), method: incoming.method ?? '', path: url.pathname, isWatch };
    this.requests.push(request);
    const fault = this.fault(request);
    if (fault?.kind === 'answer') {
      const { status = 200, headers, text, body } = fault.answer;
      incoming.resume();
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(text ?? JSON.stringify(body ?? {}));
      return;
    }
    const answer = await this.#passOn(incoming, response);
    if (fault?.kind === 'hold') await this.#hold(fault.until, response);
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    // The beginning of a watch is its headers alone.
    response.flushHeaders();
    if (fault?.kind === 'truncate') await truncated(answer, response, fault.bytes);
    else await pipeline(answer, response);
  }

  async #hold(until: Promise<unknown>, response: ServerResponse): Promise<void> {
    this.#held += 1;
    response.once('close', () => {
      this.#held -= 1;
    });
    await until;
  }

  async #passOn(incoming: IncomingMessage, response: ServerResponse): Promise<IncomingMessage> {
    const { tls, headers } = await this.#upstream.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = tlsRequest(new URL(incoming.url ?? '/', this.#upstream.server), {
      ...tls,
      agent: this.#agent,
      method: incoming.method,
      headers: { ...incoming.headers, host: this.#upstream.server.host, ...headers },
    });
    outgoing.once('response', resolve).on('error', reject);
    response.once('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
    return promise;
  }
}

async function truncated(answer: IncomingMessage, response: ServerResponse, bytes: number): Promise<void> {
  for await (const chunk of answer) {
    response.end((chunk as Buffer).subarray(0, bytes));
    return;
  }
}

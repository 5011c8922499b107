import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OperatorError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { redactText } from './redact.ts';

export type CheckResult = { readonly ok: boolean; readonly detail: string };

/** One thing readiness depends on. One that throws, or does not answer within two seconds, has failed. */
export type Check = { readonly name: string; readonly check: () => CheckResult | Promise<CheckResult> };

export type ServerOptions = {
  /** 0 takes any free port. */
  readonly port: number;
  /** Address to listen on; all when left out. */
  readonly host?: string;
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
  readonly readiness: readonly Check[];
  readonly log: Logger;
};

export type TelemetryServer = { readonly port: number; stop(): Promise<void> };

type Reply = { readonly status: number; readonly type: string; readonly body: string };

const checkDeadlineMs = 2_000;
const text = 'text/plain; charset=utf-8';

/**
 * Serves /metrics (Prometheus text), /healthz (200 while the event loop turns) and /readyz: JSON
 * {ready, checks: [{name, ok, detail}]}, 503 as long as one check fails.
 * @throws OperatorError HttpPortUnavailable when the port cannot be had.
 */
export async function startServer(options: ServerOptions): Promise<TelemetryServer> {
  const server = createServer((request, response) => {
    reply(options, request)
      .catch((err: unknown) => {
        options.log.error({ err, path: request.url }, 'a telemetry request failed');
        return { status: 500, type: text, body: 'internal error\n' };
      })
      .then((answer) => send(request, response, answer));
  });
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return { port, stop: () => close(server) };
}

async function reply(options: ServerOptions, request: IncomingMessage): Promise<Reply> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, type: text, body: 'method not allowed\n' };
  }
  switch (request.url?.split('?')[0]) {
    case '/metrics':
      return { status: 200, type: options.metrics.contentType, body: await options.metrics.metrics() };
    case '/healthz':
      return { status: 200, type: text, body: 'ok\n' };
    case '/readyz':
      return readiness(options.readiness);
    default:
      return { status: 404, type: text, body: 'not found; there are /metrics, /healthz and /readyz\n' };
  }
}

async function readiness(checks: readonly Check[]): Promise<Reply> {
  const results = await Promise.all(checks.map(async (check) => ({ name: check.name, ...(await run(check)) })));
  const ready = results.every((result) => result.ok);
  const body = `${JSON.stringify({ ready, checks: results }, undefined, 2)}\n`;
  return { status: ready ? 200 : 503, type: 'application/json', body };
}

async function run(check: Check): Promise<CheckResult> {
  const late = Promise.withResolvers<CheckResult>();
  const timer = setTimeout(() => late.resolve({ ok: false, detail: 'no answer within 2 s' }), checkDeadlineMs);
  try {
    const { ok, detail } = await Promise.race([Promise.resolve().then(check.check), late.promise]);
    return { ok, detail: redactText(detail) };
  } catch (error) {
    return { ok: false, detail: redactText(error instanceof Error ? error.message : String(error)) };
  } finally {
    clearTimeout(timer);
  }
}

function send(request: IncomingMessage, response: ServerResponse, answer: Reply): void {
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'content-length': Buffer.byteLength(answer.body),
    'cache-control': 'no-store',
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

function listen(server: Server, { port, host }: ServerOptions): Promise<void> {
  const listening = Promise.withResolvers<void>();
  server.once('error', (cause) => {
    const message = `cannot listen on port ${port}: ${cause.message}`;
    listening.reject(new OperatorError('HttpPortUnavailable', 'terminal', message, { cause }));
  });
  server.listen({ port, host }, listening.resolve);
  return listening.promise;
}

function close(server: Server): Promise<void> {
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  server.closeAllConnections();
  return closed.promise;
}

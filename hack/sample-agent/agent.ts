import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { release, version } from 'node:os';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { judge, type KernelView } from './kernel.ts';
import { newSpanId, parseTraceparent } from './traceparent.ts';

/**
 * A small long-running agent to try OpenOS with: it says which kernel it runs on, answers /healthz and
 * /ready, and every few seconds does a piece of work and logs it as one JSON line. It needs nothing but
 * Node, ends on SIGTERM after the piece at hand, and continues the trace of the Agent that started it.
 *
 * PORT (8080) · INTERVAL_MS between pieces of work (5000) · WARMUP_MS before it reports ready (0)
 */
const port = positiveInteger('PORT', 8080);
const intervalMs = positiveInteger('INTERVAL_MS', 5000);
const warmupMs = positiveInteger('WARMUP_MS', 0);
const name = process.env.AGENT_NAME ?? process.env.HOSTNAME ?? 'agent';
const trace = parseTraceparent(process.env.TRACEPARENT);

function positiveInteger(key: string, fallback: number): number {
  const text = process.env[key];
  if (text === undefined || text === '') return fallback;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  console.error(`${key} must be a whole number, not "${text}"`);
  process.exit(2);
}

/** One structured line on stdout; `fields` are added to time, agent and trace. */
function log(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
  const context = trace === undefined ? {} : { trace_id: trace.traceId };
  const time = new Date().toISOString();
  process.stdout.write(
    `${JSON.stringify({ level: 'info', time, agent: name, ...context, msg: message, ...fields })}\n`,
  );
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function kernelView(): KernelView {
  const procVersion = readIfThere('/proc/version');
  return { release: release(), version: version(), procVersion, hasKallsyms: existsSync('/proc/kallsyms') };
}

/** A real piece of work, small and repeatable: extends a hash chain by 1,000 links. */
function work(seed: string): string {
  let link = seed;
  for (let i = 0; i < 1000; i += 1) link = createHash('sha256').update(link).digest('hex');
  return link;
}

function answer(response: ServerResponse, ok: boolean, text: string): void {
  response.writeHead(ok ? 200 : 503, { 'content-type': 'text/plain' }).end(`${text}\n`);
}

function serve(isReady: () => boolean): Server {
  return createServer((request, response) => {
    if (request.url === '/healthz') return answer(response, true, 'ok');
    if (request.url === '/ready') return answer(response, isReady(), isReady() ? 'ready' : 'not ready');
    response.writeHead(404).end();
  }).listen(port);
}

/** Sleeps, or returns at once when `signal` fires. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

async function run(signal: AbortSignal): Promise<number> {
  let result = 'openos';
  let pieces = 0;
  while (!signal.aborted) {
    const began = performance.now();
    result = work(result);
    pieces += 1;
    const durationMs = Math.round((performance.now() - began) * 10) / 10;
    log('work done', { piece: pieces, result: result.slice(0, 12), duration_ms: durationMs, span_id: newSpanId() });
    await pause(intervalMs, signal);
  }
  return pieces;
}

async function main(): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());

  const { sandbox, evidence } = judge(kernelView());
  log(`sandbox: ${sandbox}`, { sandbox, evidence, node: process.version, uid: process.getuid?.(), pid: process.pid });
  if (trace !== undefined) log('continuing the trace of the Agent', { parent_span_id: trace.parentSpanId });

  let ready = false;
  const server = serve(() => ready);
  await once(server, 'listening');
  await pause(warmupMs, stop.signal);
  ready = !stop.signal.aborted;
  if (ready) log('ready', { port });

  const pieces = await run(stop.signal);
  ready = false;
  server.close();
  server.closeAllConnections();
  log('stopped', { pieces });
}

await main();

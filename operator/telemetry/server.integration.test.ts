import { afterEach, expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import { createMetrics } from './metrics.ts';
import { type Check, startServer, type TelemetryServer } from './server.ts';

let server: TelemetryServer | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function serving(readiness: readonly Check[], port = 0): Promise<string> {
  const metrics = createMetrics({ version: '1.2.3', phases: [], processMetrics: false });
  server = await startServer({ port, host: '127.0.0.1', metrics, readiness, log: silentLogger });
  return `http://127.0.0.1:${server.port}`;
}

const good: Check = { name: 'database', check: () => ({ ok: true, detail: 'answers' }) };

test('/metrics speaks Prometheus', async () => {
  const response = await fetch(`${await serving([])}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  expect(await response.text()).toContain('openos_build_info{version="1.2.3"} 1');
});

test('/healthz says the process turns, whatever its dependencies do', async () => {
  const url = await serving([{ name: 'database', check: () => ({ ok: false, detail: 'refused' }) }]);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
});

test('/readyz lists every check and is 200 while all hold', async () => {
  const response = await fetch(`${await serving([good])}/readyz`);
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({
    ready: true,
    checks: [{ name: 'database', ok: true, detail: 'answers' }],
  });
});

test('/readyz is 503 as soon as one check fails or throws, and keeps secrets', async () => {
  const throwing: Check = {
    name: 'broker',
    check: () => Promise.reject(new Error('nats://u:s3cr3t@nats:4222 refused')),
  };
  const response = await fetch(`${await serving([good, throwing])}/readyz`);
  expect(response.status).toBe(503);
  const body = await response.text();
  expect(body).not.toContain('s3cr3t');
  expect(JSON.parse(body)).toMatchObject({ ready: false, checks: [{ ok: true }, { name: 'broker', ok: false }] });
});

test('/readyz does not wait for ever for a check that hangs', async () => {
  const hanging: Check = { name: 'database', check: () => new Promise(() => {}) };
  const response = await fetch(`${await serving([hanging])}/readyz`);
  expect(response.status).toBe(503);
});

test('other paths are 404, other methods 405, HEAD has no body', async () => {
  const url = await serving([good]);
  expect((await fetch(`${url}/nothing`)).status).toBe(404);
  expect((await fetch(`${url}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
  const head = await fetch(`${url}/healthz?probe=1`, { method: 'HEAD' });
  expect([head.status, await head.text()]).toEqual([200, '']);
});

test('a port that is taken has an error code', async () => {
  const url = await serving([]);
  const { port } = new URL(url);
  const second = startServer({
    port: Number(port),
    host: '127.0.0.1',
    metrics: { contentType: 'text/plain', metrics: () => Promise.resolve('') },
    readiness: [],
    log: silentLogger,
  });
  await expect(second).rejects.toMatchObject({ code: 'HttpPortUnavailable' });
});

test('stop ends also connections that are kept alive', async () => {
  const url = await serving([good]);
  await (await fetch(`${url}/healthz`)).text();
  await server?.stop();
  server = undefined;
  await expect(fetch(`${url}/healthz`)).rejects.toThrow();
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ScriptedApiServer, statusOf } from '../testkit/api-server.ts';
import { eventually } from '../testkit/eventually.ts';
import { loadKubeConfig } from './credentials.ts';
import { type RequestSample, Transport } from './transport.ts';

let server: ScriptedApiServer;
let transport: Transport;
const samples: RequestSample[] = [];

beforeEach(async () => {
  server = await new ScriptedApiServer().start();
  samples.length = 0;
  transport = new Transport({
    credentials: server.credentials,
    version: '1.2.3',
    answerTimeoutMs: 1_000,
    onRequest: (sample) => void samples.push(sample),
  });
});

afterEach(async () => {
  await transport.close();
  await server.close();
});

describe('requests', () => {
  test('carry the query, the body, the type and who we are', async () => {
    server.answers.push({ body: { ok: true } });
    const query = { a: 'x y', b: undefined, force: true, n: 5 };
    const answer = await transport.request('PATCH', '/api/v1/things/one', {
      query,
      body: { v: 1 },
      contentType: 'application/apply-patch+yaml',
      resource: 'things',
    });
    expect(answer).toEqual({ ok: true });
    const [seen] = server.requests;
    expect(seen).toMatchObject({ method: 'PATCH', path: '/api/v1/things/one', body: '{"v":1}' });
    expect(`${seen?.query}`).toBe('a=x+y&force=true&n=5');
    expect(seen?.headers).toMatchObject({
      'user-agent': 'openos/1.2.3',
      'content-type': 'application/apply-patch+yaml',
    });
    expect(samples).toEqual([{ verb: 'PATCH', resource: 'things', status: 200, durationMs: expect.any(Number) }]);
  });

  test.each([
    [statusOf(429, 'TooManyRequests', { 'retry-after': '3' }), { code: 'TooManyRequests', retryAfterMs: 3_000 }],
    [statusOf(409, 'AlreadyExists'), { code: 'AlreadyExists', kind: 'conflict' }],
    [
      { status: 503, text: 'upstream down' },
      { code: 'ServiceUnavailable', kind: 'retryable' },
    ],
    [{ text: '{"half' }, { code: 'MalformedAnswer', kind: 'retryable' }],
    [{ silent: true }, { code: 'ApiServerUnavailable', kind: 'retryable' }],
  ])('%j becomes an error with a code', async (answer, expected) => {
    server.answers.push(answer);
    await expect(transport.request('GET', '/x')).rejects.toMatchObject(expected);
  });

  test('to a server that is not there are ApiServerUnavailable', async () => {
    await server.close();
    await expect(transport.request('GET', '/x')).rejects.toMatchObject({ code: 'ApiServerUnavailable' });
    expect(samples).toMatchObject([{ status: 0 }]);
    server = await new ScriptedApiServer().start();
  });

  test('that are given up are Aborted', async () => {
    server.answers.push({ silent: true });
    const abort = new AbortController();
    const request = transport.request('GET', '/x', { signal: abort.signal });
    await eventually('the request has arrived', () => server.requests.length === 1);
    abort.abort();
    await expect(request).rejects.toMatchObject({ code: 'Aborted' });
  });

  test('of the same client share connections, and a watch does not hold them up', async () => {
    const lines = transport.lines('/x', { query: { watch: true } });
    const first = lines.next();
    const stream = await eventually('the watch is open', () => [...server.openWatches][0]);
    for (let i = 0; i < 50; i += 1) await transport.request('GET', '/y');
    stream.raw('{}\n');
    expect(await first).toEqual({ done: false, value: '{}' });
    await lines.return();
    await stream.closed;
  });

  test('of a quiet watch are probed by the kernel within 15 seconds: a peer that is gone cannot go unnoticed', async () => {
    const lines = transport.lines('/x', { query: { watch: true } });
    const first = lines.next();
    const stream = await eventually('the watch is open', () => [...server.openWatches][0]);
    const timers = await eventually('the kernel knows the connection', async () => {
      const found = timersTo(server.port, await readFile('/proc/net/tcp', 'utf8'));
      return found.length > 0 && found;
    });
    for (const { kind, inSeconds } of timers) {
      expect(kind).toBe('keepalive');
      expect(inSeconds).toBeLessThanOrEqual(15);
    }
    stream.raw('{}\n');
    await first;
    await lines.return();
  });
});

/** The running timers of connections to a port, by the kernel's table (proc(5): 2 is keepalive, hundredths of a second). */
function timersTo(port: number, table: string) {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[2] === remote && fields[3] === '01')
    .map((fields) => (fields[5] ?? '').split(':'))
    .map(([kind, left = '']) => ({
      kind: kind === '02' ? 'keepalive' : kind,
      inSeconds: Number.parseInt(left, 16) / 100,
    }));
}

describe('credentials', () => {
  test('are asked for before every request: a rotated token or certificate is used at once', async () => {
    let round = 0;
    const credentials = {
      server: server.credentials.server,
      resolve: async () => {
        round += 1;
        return { tls: { servername: `certificate-${round}` }, headers: { authorization: `Bearer ${round}` } };
      },
    };
    const own = new Transport({ credentials, version: 'test', answerTimeoutMs: 1_000 });
    const lines = own.lines('/x', { query: { watch: true } });
    const first = lines.next();
    const stream = await eventually('the watch is open', () => [...server.openWatches][0]);
    await own.request('GET', '/y');
    await own.request('GET', '/y');
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer 1', 'Bearer 2', 'Bearer 3']);
    // The watch goes on over the connection it has.
    stream.raw('{}\n');
    expect(await first).toEqual({ done: false, value: '{}' });
    await lines.return();
    await own.close();
  });
});

describe('kubeconfig', () => {
  let folder: string;
  const kubeconfig = async (user: object, cluster: object = {}): Promise<string> => {
    const path = join(folder, 'kubeconfig');
    const server_ = `http://127.0.0.1:${server.port}/prefix`;
    const config = {
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server: server_, 'insecure-skip-tls-verify': true, ...cluster } }],
      users: [{ name: 'u', user }],
    };
    await writeFile(path, JSON.stringify(config));
    return path;
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'openos-kubeconfig-'));
  });

  afterEach(() => rm(folder, { recursive: true }));

  test.each([
    ['a token', { token: 'secret-token' }, 'Bearer secret-token'],
    ['a password', { username: 'me', password: 'pw' }, `Basic ${Buffer.from('me:pw').toString('base64')}`],
  ])('with %s, and a path before the API', async (_, user, authorization) => {
    const own = new Transport({ credentials: loadKubeConfig(await kubeconfig(user)), version: 'test' });
    await own.request('GET', '/version');
    await own.close();
    expect(server.requests[0]).toMatchObject({ path: '/prefix/version', headers: { authorization } });
  });

  test('that cannot be read or used is refused with a code', async () => {
    expect(() => loadKubeConfig(join(folder, 'nowhere'))).toThrow(expect.objectContaining({ code: 'ConfigInvalid' }));
    const proxied = await kubeconfig({}, { 'proxy-url': 'http://127.0.0.1:1' });
    expect(() => loadKubeConfig(proxied)).toThrow(expect.objectContaining({ code: 'ConfigInvalid' }));
  });
});

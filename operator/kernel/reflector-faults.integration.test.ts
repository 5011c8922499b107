import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiProxy, type Fault, type ProxiedRequest } from '../testkit/api-proxy.ts';
import { statusOf } from '../testkit/api-server.ts';
import { FakeClock } from '../testkit/clock.ts';
import { configMaps, type LightCluster, lightCluster } from '../testkit/cluster.ts';
import { eventually } from '../testkit/eventually.ts';
import { TcpProxy } from '../testkit/tcp-proxy.ts';
import { KubeClient } from './client.ts';
import { systemClock } from './clock.ts';
import type { Credentials } from './credentials.ts';
import { silentLogger } from './logger.ts';
import type { StoredObject } from './object.ts';
import { Reflector, type ReflectorOptions } from './reflector.ts';
import { Transport } from './transport.ts';

const recoveryMs = 5_000;

let cluster: LightCluster;
let namespace: string;
let proxy: ApiProxy;
let ends: (() => Promise<void>)[];
let serial = 0;

beforeAll(async () => {
  cluster = await lightCluster();
  namespace = await cluster.createNamespace();
});

afterAll(() => cluster.close());

beforeEach(async () => {
  proxy = await new ApiProxy(cluster.credentials).start();
  ends = [];
});

afterEach(async () => {
  for (const end of ends) await end();
  await proxy.close();
});

/** A reflector that has listed, its connections going through the proxy. */
async function aReflector(credentials: Credentials, options: Partial<ReflectorOptions<StoredObject>> = {}) {
  const errors: string[] = [];
  const transport = new Transport({ credentials, version: 'test' });
  const stop = new AbortController();
  const reflector = new Reflector<StoredObject>({
    client: new KubeClient(transport),
    resource: configMaps,
    selection: { namespace, labelSelector: 'test=faults' },
    clock: systemClock,
    log: silentLogger,
    hooks: { onError: (code) => void errors.push(code) },
    ...options,
  });
  const running = reflector.run(stop.signal);
  ends.push(async () => {
    stop.abort();
    await transport.close();
    await running;
  });
  await reflector.whenSynced;
  await eventually('the watch is open', () => reflector.disconnectedSince === undefined);
  return { reflector, errors };
}

/** Creates an object around the proxy. */
async function create(): Promise<string> {
  serial += 1;
  const name = `object-${serial}`;
  const metadata = { namespace, name, labels: { test: 'faults' } };
  await cluster.client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata });
  return name;
}

async function sees(reflector: Reflector<StoredObject>, name: string): Promise<void> {
  await eventually(`the reflector shows ${name}`, () => reflector.getByName(namespace, name), 2 * recoveryMs);
}

const ofConfigMaps = ({ path }: ProxiedRequest) => path.endsWith('/configmaps');
const lists = () => proxy.requests.filter((request) => ofConfigMaps(request) && !request.isWatch).length;
const answers = (code: number, reason: string, headers: Readonly<Record<string, string>> = {}): Fault => ({
  kind: 'answer',
  answer: statusOf(code, reason, headers),
});

/** Whatever is asked is answered like this. */
const always = (fault: Fault) => (request: ProxiedRequest) => (ofConfigMaps(request) ? fault : undefined);
/** Only the next `times` watches are. */
function nextWatches(times: number, fault: Fault) {
  let left = times;
  return (request: ProxiedRequest) => {
    if (!request.isWatch || left === 0) return undefined;
    left -= 1;
    return fault;
  };
}

type Case = {
  readonly name: string;
  readonly fault: () => ApiProxy['fault'];
  /** What the reflector meets, over and over or once. */
  readonly code: string;
  readonly lists: number;
};

const cases: readonly Case[] = [
  { name: '500', fault: () => always(answers(500, 'InternalError')), code: 'InternalError', lists: 0 },
  { name: '503', fault: () => always(answers(503, 'ServiceUnavailable')), code: 'ServiceUnavailable', lists: 0 },
  {
    name: '429 with Retry-After',
    fault: () => always(answers(429, 'TooManyRequests', { 'retry-after': '1' })),
    code: 'TooManyRequests',
    lists: 0,
  },
  { name: '410', fault: () => nextWatches(1, answers(410, 'Expired')), code: 'Expired', lists: 1 },
  {
    name: 'JSON that breaks off',
    fault: () => always({ kind: 'truncate', bytes: 40 }),
    code: 'MalformedAnswer',
    lists: 0,
  },
];

describe('a watch that is killed and then met by', () => {
  test.each(cases)('$name: events again within five seconds of the recovery', async ({ fault, code, lists: most }) => {
    const { reflector, errors } = await aReflector(proxy.credentials);
    const listsBefore = lists();
    proxy.fault = fault();
    proxy.cut();
    const during = await create();
    await eventually(`the reflector meets ${code}`, () => errors.includes(code), 2 * recoveryMs);
    proxy.fault = () => undefined;
    const recovered = performance.now();
    await sees(reflector, during);
    await sees(reflector, await create());
    expect(performance.now() - recovered).toBeLessThan(recoveryMs);
    expect(lists() - listsBefore).toBe(most);
  });
});

test('a list that breaks off after a 410 is made again, and only then the cache is believed', async () => {
  const { reflector, errors } = await aReflector(proxy.credentials);
  let broken = 0;
  proxy.fault = (request) => {
    if (request.isWatch && broken === 0) return answers(410, 'Expired');
    if (request.isWatch || broken === 2) return undefined;
    broken += 1;
    return { kind: 'truncate', bytes: 40 };
  };
  proxy.cut();
  await eventually('the first list broke off', () => broken > 0, recoveryMs);
  expect(reflector.synced).toBe(false);
  await sees(reflector, await create());
  expect(errors.filter((code) => code === 'MalformedAnswer')).toHaveLength(2);
  expect(reflector.synced).toBe(true);
});

test('many watches that end together do not come back together', async () => {
  const fleet = await Promise.all(Array.from({ length: 10 }, () => aReflector(proxy.credentials)));
  proxy.fault = always(answers(503, 'ServiceUnavailable'));
  proxy.cut();
  await eventually('each was refused three times', () => fleet.every(({ errors }) => errors.length >= 4), 20_000);
  const recovered = performance.now();
  proxy.fault = () => undefined;
  const name = await create();
  await Promise.all(fleet.map(({ reflector }) => sees(reflector, name)));
  const returns = proxy.requests.filter(({ at, isWatch }) => isWatch && at > recovered).map(({ at }) => at);
  expect(performance.now() - recovered).toBeLessThan(recoveryMs);
  // At random over a second and more: ten in one tenth of it would be the same moment for all.
  expect(Math.max(...returns) - Math.min(...returns)).toBeGreaterThan(100);
});

test('ten minutes idle behind something that forgets connections: noticed each time, no list, no leftovers', async () => {
  const { server, resolve } = cluster.credentials;
  const tcp = await new TcpProxy(Number(server.port), server.hostname).start();
  ends.push(() => tcp.close());
  const clock = new FakeClock();
  const listed: number[] = [];
  const credentials = { server: new URL(`https://127.0.0.1:${tcp.port}`), resolve };
  const errors: string[] = [];
  const hooks = { onError: (code: string) => void errors.push(code), onList: () => void listed.push(clock.now()) };
  const { reflector } = await aReflector(credentials, { clock, hooks });
  const began = clock.now();
  while (clock.now() - began < 600_000) {
    const before = errors.length;
    tcp.strand();
    await eventually('the silence is noticed', () => {
      clock.advanceSync(1_000);
      return errors.length > before;
    });
    await eventually('there is a watch again', () => {
      clock.advanceSync(100);
      return reflector.disconnectedSince === undefined;
    });
  }
  const recovered = performance.now();
  await sees(reflector, await create());
  expect(performance.now() - recovered).toBeLessThan(recoveryMs);
  expect(new Set(errors)).toEqual(new Set(['WatchStalled']));
  expect(listed).toHaveLength(1);
  // Its watch, and the connection its list was made on.
  expect(tcp.connections).toBeLessThanOrEqual(2);
});

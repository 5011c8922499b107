import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { configMaps, type LightCluster, lightCluster } from '../testkit/cluster.ts';
import { eventually } from '../testkit/eventually.ts';
import { TcpProxy } from '../testkit/tcp-proxy.ts';
import { KubeClient } from './client.ts';
import { systemClock } from './clock.ts';
import { silentLogger } from './logger.ts';
import type { StoredObject } from './object.ts';
import { Reflector } from './reflector.ts';
import { Transport } from './transport.ts';

let cluster: LightCluster;
let namespace: string;
let proxy: TcpProxy;
let proxied: KubeClient;
let lists = 0;
let reflector: Reflector<StoredObject>;
const stop = new AbortController();
let running: Promise<void>;

beforeAll(async () => {
  cluster = await lightCluster();
  namespace = await cluster.createNamespace();
  const { server, resolve } = cluster.credentials;
  proxy = await new TcpProxy(Number(server.port), server.hostname).start();
  const credentials = { server: new URL(`https://127.0.0.1:${proxy.port}`), resolve };
  proxied = new KubeClient(new Transport({ credentials, version: 'test', answerTimeoutMs: 2_000 }));
  reflector = new Reflector<StoredObject>({
    client: proxied,
    resource: configMaps,
    selection: { namespace, labelSelector: 'test=proxy' },
    clock: systemClock,
    log: silentLogger,
    hooks: {
      onList: () => {
        lists += 1;
      },
    },
    timings: { stallMs: 2_000 },
  });
  running = reflector.run(stop.signal);
  await reflector.whenSynced;
});

afterAll(async () => {
  stop.abort();
  await running;
  await proxied.close();
  await proxy.close();
  await cluster.close();
});

beforeEach(() => {
  lists = 0;
});

/** Creates one around the proxy and gives the milliseconds until the reflector shows it. */
async function createAndSee(name: string): Promise<number> {
  const metadata = { namespace, name, labels: { test: 'proxy' } };
  await cluster.client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata });
  const began = performance.now();
  await eventually(`the reflector shows ${name}`, () => reflector.getByName(namespace, name), 8_000);
  return performance.now() - began;
}

test('a change is seen at once', async () => {
  expect(await createAndSee('first')).toBeLessThan(1_000);
});

test('connections reset: the watch goes on by itself, without a list', async () => {
  proxy.reset();
  expect(await createAndSee('after-reset')).toBeLessThan(5_000);
  expect(lists).toBe(0);
});

test('a server away for a while: back within five seconds, what happened meanwhile included', async () => {
  proxy.refusing = true;
  await eventually('the reflector knows', () => reflector.disconnectedSince !== undefined);
  const metadata = { namespace, name: 'during-outage', labels: { test: 'proxy' } };
  await cluster.client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata });
  const since = reflector.disconnectedSince ?? 0;
  await eventually('it has been away for two seconds', () => Date.now() - since > 2_000);
  expect(reflector.getByName(namespace, 'during-outage')).toBeUndefined();
  proxy.refusing = false;
  expect(await createAndSee('after-outage')).toBeLessThan(5_000);
  expect(reflector.getByName(namespace, 'during-outage')).toBeDefined();
  expect(lists).toBe(0);
});

test('a cable pulled (no FIN): given up after the deadline, then as good as new', async () => {
  proxy.frozen = true;
  await eventually('the silence is noticed', () => reflector.disconnectedSince !== undefined);
  proxy.frozen = false;
  expect(await createAndSee('after-freeze')).toBeLessThan(5_000);
  expect(lists).toBeLessThanOrEqual(1);
});

test('a deletion is told with the last state', async () => {
  await createAndSee('short-lived');
  const seen: StoredObject[] = [];
  const off = reflector.onChange((type, object) => {
    if (type === 'deleted') seen.push(object);
  });
  const uid = reflector.getByName(namespace, 'short-lived')?.metadata.uid ?? '';
  await cluster.client.delete({ resource: configMaps, namespace, name: 'short-lived' }, { uid });
  await eventually('it is gone', () => seen.length === 1);
  off();
  expect(seen[0]?.metadata.uid).toBe(uid);
  expect(reflector.get(uid)).toBeUndefined();
});

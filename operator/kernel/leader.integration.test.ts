import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type LightCluster, lightCluster } from '../testkit/cluster.ts';
import { eventually } from '../testkit/eventually.ts';
import { TcpProxy } from '../testkit/tcp-proxy.ts';
import { KubeClient } from './client.ts';
import { systemClock } from './clock.ts';
import { LeaderElector, leases } from './leader.ts';
import { silentLogger } from './logger.ts';
import type { StoredObject } from './object.ts';
import { Transport } from './transport.ts';

const timings = { leaseMs: 3_000, renewDeadlineMs: 2_000, retryMs: 400 };

let cluster: LightCluster;
let namespace: string;
let name: string;
let serial = 0;

beforeAll(async () => {
  cluster = await lightCluster();
  namespace = await cluster.createNamespace();
});

afterAll(() => cluster.close());

beforeEach(() => {
  serial += 1;
  name = `lease-${serial}`;
});

type Lease = StoredObject & {
  readonly spec: { readonly holderIdentity: string; readonly leaseTransitions: number; readonly renewTime: string };
};

const stored = async () => cluster.client.get<Lease>({ resource: leases, namespace, name });

/** A candidate with a connection of its own that a test can cut. */
async function aCandidate(identity: string, log: string[]) {
  const { server, resolve } = cluster.credentials;
  const proxy = await new TcpProxy(Number(server.port), server.hostname).start();
  const credentials = { server: new URL(`https://127.0.0.1:${proxy.port}`), resolve };
  const client = new KubeClient(new Transport({ credentials, version: 'test' }));
  const stop = new AbortController();
  const work = Promise.withResolvers<void>();
  const elector = new LeaderElector({
    client,
    namespace,
    name,
    identity,
    clock: systemClock,
    log: silentLogger,
    timings,
    onStartedLeading: async ({ ending }) => {
      log.push(`${identity} leads`);
      await Promise.race([work.promise, new Promise((resolve) => ending.addEventListener('abort', resolve))]);
      log.push(`${identity} ends its work`);
    },
    onStoppedLeading: () => void log.push(`${identity} stopped`),
  });
  const running = elector.run(stop.signal);
  const end = async () => {
    stop.abort();
    await running;
    await client.close();
    await proxy.close();
  };
  return { elector, proxy, stop, work, running, end };
}

describe('two candidates', () => {
  test('one leads; when it goes in order the other follows within one look', async () => {
    const log: string[] = [];
    const one = await aCandidate('one', log);
    await eventually('one leads', () => one.elector.isLeading);
    const two = await aCandidate('two', log);
    await eventually('two knows', () => two.elector.holder === 'one');
    expect(two.elector.isLeading).toBe(false);
    const renewTime = (await stored())?.spec.renewTime;
    expect(renewTime).toMatch(/\.\d{6}Z$/);
    await eventually('the Lease is renewed', async () => (await stored())?.spec.renewTime !== renewTime);

    const began = performance.now();
    one.stop.abort();
    await eventually('two leads', () => two.elector.isLeading);
    // At its next look, not after the whole lease.
    expect(performance.now() - began).toBeLessThan(timings.leaseMs - 1_000);
    await one.running;
    expect(log).toEqual(['one leads', 'one ends its work', 'one stopped', 'two leads']);
    expect((await stored())?.spec).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 });
    await Promise.all([one.end(), two.end()]);
    expect((await stored())?.spec.holderIdentity).toBe('');
  });

  test('one is cut off: it stops before the other starts, and the other starts when the lease has run out', async () => {
    const log: string[] = [];
    const one = await aCandidate('one', log);
    await eventually('one leads', () => one.elector.isLeading);
    const two = await aCandidate('two', log);
    await eventually('two knows', () => two.elector.holder === 'one');
    const began = performance.now();
    one.proxy.frozen = true;
    await eventually('two leads', () => two.elector.isLeading);
    const took = performance.now() - began;
    expect(one.elector.isLeading).toBe(false);
    expect(log).toEqual(['one leads', 'one ends its work', 'one stopped', 'two leads']);
    expect(took).toBeGreaterThan(timings.leaseMs - timings.retryMs - 100);
    expect(took).toBeLessThan(timings.leaseMs + 4_000);
    await one.running;
    await Promise.all([one.end(), two.end()]);
  });

  test('an outage shorter than the renewal deadline changes nothing', async () => {
    const log: string[] = [];
    const one = await aCandidate('one', log);
    await eventually('one leads', () => one.elector.isLeading);
    const before = (await stored())?.spec.renewTime;
    one.proxy.refusing = true;
    const began = performance.now();
    await eventually('a second has passed', () => performance.now() - began > 1_000);
    one.proxy.refusing = false;
    await eventually('it renews again', async () => (await stored())?.spec.renewTime !== before);
    expect(one.elector.isLeading).toBe(true);
    expect(log).toEqual(['one leads']);
    await one.end();
  });

  test('three start at once: exactly one leads', async () => {
    const log: string[] = [];
    const all = await Promise.all(['one', 'two', 'three'].map((identity) => aCandidate(identity, log)));
    await eventually('somebody leads', () => all.some(({ elector }) => elector.isLeading));
    await eventually('all know who', () => all.every(({ elector }) => elector.holder !== ''));
    expect(all.filter(({ elector }) => elector.isLeading)).toHaveLength(1);
    expect(log).toHaveLength(1);
    await Promise.all(all.map(({ end }) => end()));
  });

  test('somebody takes the Lease by hand: the leader stops at its next renewal', async () => {
    const log: string[] = [];
    const one = await aCandidate('one', log);
    await eventually('one leads', () => one.elector.isLeading);
    const patch = JSON.stringify({ spec: { holderIdentity: 'somebody' } });
    await cluster.kubectl('patch', 'lease', name, '-n', namespace, '--type', 'merge', '-p', patch);
    await one.running;
    expect(log).toEqual(['one leads', 'one ends its work', 'one stopped']);
    expect((await stored())?.spec.holderIdentity).toBe('somebody');
    await one.end();
  });

  test('work that ends by itself gives the Lease back', async () => {
    const log: string[] = [];
    const one = await aCandidate('one', log);
    await eventually('one leads', () => one.elector.isLeading);
    one.work.resolve();
    await one.running;
    expect((await stored())?.spec.holderIdentity).toBe('');
    await one.end();
  });
});

import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { agentResource } from './resources/own.ts';
import { ApiProxy, type ProxiedRequest } from './testkit/api-proxy.ts';
import { eventually } from './testkit/eventually.ts';
import type { TestOperator } from './testkit/operator.ts';
import { TcpProxy } from './testkit/tcp-proxy.ts';
import { expectTold } from './testkit/told.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

const life = ['agent.created', 'agent.scheduled', 'agent.starting', 'agent.ready'];
const leading = 'started leading';

let world: World;

beforeAll(async () => {
  world = await startWorld();
  const operator = await world.startOperator();
  await world.tenant('lead');
  await operator.stop();
});
afterEach(() => world.killOperators());
afterAll(() => world?.stop());

async function uidOf(name: string): Promise<string> {
  return (await world.agent('lead', name))?.metadata.uid ?? '';
}

async function leads(operator: TestOperator, deadlineMs?: number): Promise<void> {
  await eventually(`${operator.identity} leads`, async () => (await world.leader()) === operator.identity, deadlineMs);
}

describe('two operators', () => {
  it('hand over within two seconds when the leader is told to stop', async () => {
    const first = await world.startOperator();
    await leads(first);
    const second = await world.startOperator();
    expect(await world.leader()).toBe(first.identity);
    expect(second.log()).not.toContain(leading);

    const stopped = first.stop();
    await eventually('nobody holds the Lease', async () => (await world.leader()) !== first.identity);
    const free = performance.now();
    await leads(second, 2_000);
    expect(performance.now() - free).toBeLessThan(2_000);
    expect(await stopped).toBe(0);

    await world.createAgent('lead', 'heir');
    await world.ready('lead', 'heir');
    await expectTold(world, await uidOf('heir'), 'Ready', life);
    expect(await second.stop()).toBe(0);
    expect(await world.leader()).toBe('');
  });

  it('do not disturb each other when the leader was frozen past its Lease', async () => {
    const frozen = await world.startOperator();
    await leads(frozen);
    const { uid } = (await world.createAgent('lead', 'caught')).metadata;
    await eventually('its life is being recorded', async () => (await world.rows(uid)).length > 0);
    frozen.signal('SIGSTOP');
    const heir = await world.startOperator();
    await leads(heir, 20_000);
    await world.ready('lead', 'caught');
    const { resourceVersion } = (await world.agent('lead', 'caught'))?.metadata ?? {};

    const woken = await world.createAgent('lead', 'other');
    frozen.signal('SIGCONT');
    await eventually('it notices', () => frozen.log().includes('stopped leading'));
    await world.ready('lead', 'other');
    await expectTold(world, uid, 'Ready', life);
    await expectTold(world, woken.metadata.uid, 'Ready', life);
    expect(await world.leader()).toBe(heir.identity);
    for (const agent of [uid, woken.metadata.uid]) expect(await world.podsOf(agent)).toHaveLength(1);
    const { epoch, holder } = await world.epoch();
    expect(holder).toBe(heir.identity);
    for (const row of await world.rows(woken.metadata.uid)) expect(row.epoch).toBe(epoch);
    const { metadata } = (await world.agent('lead', 'caught')) as StoredAgent;
    expect(metadata.resourceVersion).toBe(resourceVersion);
    expect(await heir.stop()).toBe(0);
  });

  it('write nothing once they were frozen past their Lease, not even the rest of the pass in hand', async () => {
    const proxy = await new ApiProxy(world.cluster.credentials).start();
    const kubeconfig = join(await mkdtemp(join(tmpdir(), 'openos-leadership-')), 'kubeconfig');
    await writeFile(kubeconfig, proxy.kubeconfig);
    // Its first pass over the Tenant applies one policy after the other: it waits for the answer to the first.
    const answered = Promise.withResolvers<void>();
    const isPolicy = ({ method, path }: ProxiedRequest) => method === 'PATCH' && path.includes('/networkpolicies/');
    proxy.fault = (request) => (isPolicy(request) ? { kind: 'hold', until: answered.promise } : undefined);
    const frozen = await world.startOperator({ KUBECONFIG: kubeconfig });
    await eventually('it is in the middle of a pass', () => proxy.held > 0, 20_000);
    expect(await world.leader()).toBe(frozen.identity);
    frozen.signal('SIGSTOP');
    const heir = await world.startOperator();
    await leads(heir, 20_000);
    const { uid } = (await world.createAgent('lead', 'meanwhile')).metadata;
    await world.ready('lead', 'meanwhile');

    // The answer lies before it when it wakes.
    answered.resolve();
    await eventually('the answer is there', () => proxy.held === 0);
    const woken = performance.now();
    frozen.signal('SIGCONT');
    await eventually('it notices', () => frozen.log().includes('stopped leading'));
    await eventually('it runs again for the Lease', () =>
      proxy.requests.some(({ at, path }) => at > woken && path.includes('/leases')),
    );
    expect(writesSince(proxy, woken)).toEqual([]);
    await expectTold(world, uid, 'Ready', life);
    expect((await world.epoch()).holder).toBe(heir.identity);
    await Promise.all([heir.stop(), frozen.kill()]);
    await proxy.close();
  });

  it('record nothing that was on its way to Postgres when they were frozen past their Lease', async () => {
    const { port, url } = world.postgres;
    const way = await new TcpProxy(port).start();
    const frozen = await world.startOperator({ OPENOS_DATABASE_URL: url.replace(`:${port}/`, `:${way.port}/`) });
    await leads(frozen);
    await world.createAgent('lead', 'before');
    await world.ready('lead', 'before');

    way.hold('toServer', 'record_');
    const { uid } = (await world.createAgent('lead', 'ghost')).metadata;
    await eventually('its creation is on its way', () => way.held('toServer').includes(uid));
    frozen.signal('SIGSTOP');
    // The heir never hears of it: nobody else takes the number that this recording would have.
    await world.delete({ resource: agentResource, namespace: 'lead', name: 'ghost' });
    const heir = await world.startOperator();
    await leads(heir, 20_000);
    await eventually('it has the record', async () => (await world.epoch()).holder === heir.identity);

    way.hold('toClient');
    way.release('toServer');
    await eventually('Postgres has answered it', () => way.held('toClient') !== '');
    expect(await world.rows(uid)).toEqual([]);
    frozen.signal('SIGCONT');
    way.release();
    await eventually('it notices', () => frozen.log().includes('stopped leading'));
    await world.createAgent('lead', 'after');
    await world.ready('lead', 'after');
    expect(await world.rows(uid)).toEqual([]);
    expect((await world.epoch()).holder).toBe(heir.identity);
    await Promise.all([heir.stop(), frozen.kill()]);
    await way.close();
  });

  it('take over with caches that are warm: nothing is listed again', async () => {
    const first = await world.startOperator();
    await leads(first);
    const second = await world.startOperator();
    const listed = await second.metric('openos_watch_lists_total');
    expect(listed).toBeGreaterThan(0);
    await first.kill();
    await leads(second, 20_000);
    await world.createAgent('lead', 'warm');
    await world.ready('lead', 'warm');
    expect(await second.metric('openos_watch_lists_total')).toBe(listed);
    expect(await second.stop()).toBe(0);
  });
});

/** Leases apart: who runs for leadership writes them. */
function writesSince(proxy: ApiProxy, moment: number): readonly string[] {
  return proxy.requests
    .filter(({ at, method, path }) => at >= moment && method !== 'GET' && !path.includes('/leases'))
    .map(({ method, path }) => `${method} ${path}`);
}

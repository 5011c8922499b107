import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentPool } from './api/v1alpha1/agentpool.ts';
import type { TenantStatus } from './api/v1alpha1/tenant.ts';
import { findCondition, isTrue } from './kernel/conditions.ts';
import type { KubernetesObject, StoredObject } from './kernel/object.ts';
import { agentPoolResource, agentResource } from './resources/own.ts';
import { placeRules } from './resources/places.ts';
import { recountPlaces } from './store/repositories/ledger.ts';
import { unitOfWork } from './store/unit-of-work.ts';
import { eventually } from './testkit/eventually.ts';
import { kindsAreCounted } from './testkit/quotas.ts';
import { openTestDatabase } from './testkit/store.ts';
import { startWorld, type World } from './testkit/world.ts';

const image = 'registry.test/agent:1';

let world: World;
const kubectl = (...args: readonly string[]) => world.cluster.kubectl(...args);
const patch = (tenant: string, spec: object) =>
  kubectl('patch', 'tenant', tenant, '--type=merge', '-p', JSON.stringify({ spec }));
const ready = ({ conditions = [] }: TenantStatus) => isTrue(conditions, 'Ready');

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
  await kindsAreCounted(world);
});
afterAll(() => world?.stop());

async function tenantOf(name: string, quota: object, suffixes = ['a', 'b']): Promise<readonly string[]> {
  const namespaces = suffixes.map((suffix) => `${name}-${suffix}`);
  await world.createTenant(name, { namespaces: namespaces.map((each) => ({ name: each })), quota });
  await world.tenantStatus(name, 'Ready', ready);
  return namespaces;
}

/** Until its controller has counted a new or changed ResourceQuota, the API server refuses whatever it bounds. */
const create = (...args: Parameters<World['createAgent']>) =>
  eventually(`${args[0]}/${args[1]} is accepted`, () => world.createAgent(...args), 20_000);

const waiting = (namespace: string, name: string) =>
  world.status(namespace, name, 'waits for a place', ({ reason }) => reason === 'WaitingForQuota');
const remove = (namespace: string, name: string) => world.delete({ resource: agentResource, namespace, name });

/** What the ledger would have to be corrected by, were the transitions asked. */
async function drift(): Promise<unknown> {
  const database = openTestDatabase(world.postgres, 1);
  try {
    const { epoch } = await world.epoch();
    return await unitOfWork(database.db, epoch, (trx) => recountPlaces(trx, Object.values(placeRules), 'test'));
  } finally {
    await database.close();
  }
}

describe('a quota over several namespaces', () => {
  it('lets as many run as there are places, whoever is first, and the next as soon as one is free', async () => {
    const [a = '', b = ''] = await tenantOf('racers', { agents: 4 });
    const names = Array.from({ length: 6 }, (_, index) => `r${index}`);
    await Promise.all(names.flatMap((name, index) => create(index % 2 === 0 ? a : b, name)));
    const all = async () => {
      const statuses = await Promise.all(
        names.map(async (name, index) => (await world.agent(index % 2 === 0 ? a : b, name))?.status),
      );
      return statuses.map((status) => status?.reason ?? '');
    };
    await eventually(
      'four are Ready and two wait',
      async () => {
        const reasons = await all();
        if (reasons.filter((one) => one === 'AgentReady').length !== 4) throw new Error(reasons.join());
        return reasons.filter((one) => one === 'WaitingForQuota').length === 2;
      },
      30_000,
    );
    const reasons = await all();
    const first = reasons.indexOf('AgentReady');
    const freedAt = Date.now();
    await remove(first % 2 === 0 ? a : b, names[first] ?? '');
    await eventually(
      'one of those who waited is Ready',
      async () => {
        return (await all()).filter((one) => one === 'AgentReady').length === 4;
      },
      20_000,
    );
    // The net below would be 30 s; a pod stops and another starts meanwhile.
    expect(Date.now() - freedAt).toBeLessThan(15_000);
    expect((await all()).filter((one) => one === 'WaitingForQuota')).toHaveLength(1);
  });

  it('serves who has waited longest first, and is not gone around by who comes later', async () => {
    // Each namespace may have as many as the Tenant in all: it is the ledger that holds them to one together.
    const [a = '', ...others] = await tenantOf('line', { agents: 1 }, ['a', 'b', 'c', 'd']);
    const [first = '', second = '', third = ''] = others;
    await create(a, 'holder');
    await world.ready(a, 'holder');
    for (const namespace of others) {
      await create(namespace, 'next');
      await waiting(namespace, 'next');
      // Times of conditions are whole seconds: the order of those who came in one second is arbitrary.
      const now = Math.floor(Date.now() / 1000);
      await eventually('another second has begun', () => Math.floor(Date.now() / 1000) > now);
    }
    await kubectl('patch', 'agent', 'holder', '-n', a, '--type=merge', '-p', '{"spec":{"operatingMode":"Suspended"}}');
    await world.ready(first, 'next');
    await remove(first, 'next');
    await world.ready(second, 'next');
    await kubectl('patch', 'agent', 'holder', '-n', a, '--type=merge', '-p', '{"spec":{"operatingMode":"Running"}}');
    expect((await waiting(a, 'holder')).phase).toBe('Suspended');
    await remove(second, 'next');
    await world.ready(third, 'next');
    expect((await waiting(a, 'holder')).phase).toBe('Suspended');
    await remove(third, 'next');
    await world.ready(a, 'holder');
  });

  it('that shrinks ends nobody and says so; one that grows lets in who waits', async () => {
    const [a = '', b = ''] = await tenantOf('shrink', { agents: 2 });
    await create(a, 'one');
    await create(b, 'two');
    await Promise.all([world.ready(a, 'one'), world.ready(b, 'two')]);
    await patch('shrink', { quota: { agents: 1 } });
    const over = await world.tenantStatus('shrink', 'over its quota', ({ conditions = [] }) =>
      isTrue(conditions, 'QuotaExceeded'),
    );
    expect([over.quota?.hard?.agents, over.quota?.used?.agents]).toEqual(['1', '2']);
    expect((await world.agent(b, 'two'))?.status?.reason).toBe('AgentReady');
    await patch('shrink', { quota: { agents: 3 } });
    await create(b, 'three');
    await world.ready(b, 'three');
    await world.tenantStatus(
      'shrink',
      'within its quota',
      ({ conditions = [] }) => findCondition(conditions, 'QuotaExceeded') === undefined,
    );
  });

  it('holds amounts, too: what does not fit waits with its own words and starts when others have let go', async () => {
    const [a = '', b = ''] = await tenantOf('amounts', { hard: { 'requests.cpu': '1' } });
    const asking = (cpu: string) => ({ image, resources: { requests: { cpu } } });
    await create(a, 'large', asking('800m'));
    await world.ready(a, 'large');
    await eventually('its ResourceQuota counts it', async () =>
      (await kubectl('get', 'resourcequota', 'openos-quota', '-n', a, '-o', 'jsonpath={.status.used}')).includes(
        '800m',
      ),
    );
    await create(b, 'next', asking('500m'));
    expect((await waiting(b, 'next')).message).toContain('requests.cpu');
    await create(b, 'huge', asking('2'));
    await world.status(b, 'huge', 'asks for too much', ({ reason }) => reason === 'QuotaExceeded');
    await remove(a, 'large');
    await world.ready(b, 'next');
  });
});

describe('pools', () => {
  const createPool = (namespace: string, name: string) => {
    const metadata = { name, namespace };
    const spec = { replicas: 1, template: { spec: { image } } };
    const pool = { apiVersion: 'openos.dev/v1alpha1', kind: 'AgentPool', metadata, spec } as KubernetesObject;
    return eventually(
      `${namespace}/${name} is accepted`,
      () => world.cluster.client.create<StoredObject>(agentPoolResource, pool),
      20_000,
    );
  };
  const reasonOf = async (namespace: string, name: string) => {
    const pool = await world.cluster.client.get<StoredObject & Pick<AgentPool, 'status'>>({
      resource: agentPoolResource,
      namespace,
      name,
    });
    return findCondition(pool?.status?.conditions ?? [], 'Ready')?.reason;
  };

  it('wait for a place of their own', async () => {
    const [a = '', b = ''] = await tenantOf('pools', { pools: 1 });
    await createPool(a, 'one');
    await eventually('the first is Ready', async () => (await reasonOf(a, 'one')) === 'PoolReady', 30_000);
    await createPool(b, 'two');
    await eventually('the second waits', async () => (await reasonOf(b, 'two')) === 'WaitingForQuota');
    await world.delete({ resource: agentPoolResource, namespace: a, name: 'one' });
    await eventually('the second is Ready', async () => (await reasonOf(b, 'two')) === 'PoolReady', 30_000);
  });
});

describe('the ledger', () => {
  it('is what the transitions say after all of this', async () => {
    await eventually('nothing is left to correct', async () => {
      const recount = await drift();
      expect(recount).toEqual({ added: 0, removed: 0, corrected: 0 });
      return true;
    });
  });
});

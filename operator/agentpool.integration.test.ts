import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AgentPoolStatus } from './api/v1alpha1/agentpool.ts';
import { labels } from './api/v1alpha1/names.ts';
import { findCondition, isTrue } from './kernel/conditions.ts';
import type { KubernetesObject, StoredObject } from './kernel/object.ts';
import { poolUidOf } from './resources/agentpool/member.ts';
import { agentResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import type { TestOperator } from './testkit/operator.ts';
import { poolImage as image, poolsOf } from './testkit/pools.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

const namespace = 'flock';
const deadlineMs = 60_000;

let world: World;
let pools: ReturnType<typeof poolsOf>;

beforeAll(async () => {
  world = await startWorld();
  const operator = await world.startOperator();
  await world.tenant(namespace);
  pools = poolsOf(world, namespace);
  await operator.stop();
});
afterAll(() => world?.stop());

/** The events of a pool as a consumer reads them: each once and without a gap. */
async function told(uid: string): Promise<readonly string[]> {
  const events = (await world.events(uid)).map(({ event }) => event);
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
  return events.map(({ event_type, data }) => {
    const { replicas } = data as { readonly replicas?: number };
    return `${event_type} ${replicas}`;
  });
}

/** The greatest number of members seen at once, and the least that were Ready, from now until `stop`. */
async function watchCounts(uid: string): Promise<() => { readonly most: number; readonly leastReady: number }> {
  const controller = new AbortController();
  const seen = new Map<string, boolean>();
  const { items, resourceVersion } = await world.cluster.client.list<StoredAgent>(agentResource, { namespace });
  const note = (agent: StoredAgent) => {
    if (poolUidOf(agent) === uid) seen.set(agent.metadata.uid, isTrue(agent.status?.conditions ?? [], 'Ready'));
  };
  items.forEach(note);
  let most = seen.size;
  let leastReady = [...seen.values()].filter(Boolean).length;
  const watching = (async () => {
    const options = { resourceVersion, timeoutSeconds: 300, signal: controller.signal };
    for await (const event of world.cluster.client.watch<StoredAgent>(agentResource, { namespace }, options)) {
      if (event.type === 'BOOKMARK') continue;
      if (event.type === 'DELETED') seen.delete(event.object.metadata.uid);
      else note(event.object);
      most = Math.max(most, seen.size);
      leastReady = Math.min(leastReady, [...seen.values()].filter(Boolean).length);
    }
  })().catch(() => {});
  return () => {
    controller.abort();
    void watching;
    return { most, leastReady };
  };
}

describe('an AgentPool', () => {
  let operator: TestOperator;
  beforeAll(async () => {
    operator = await world.startOperator();
  });
  afterAll(() => operator.stop());

  it('makes its Agents, follows /scale up and down, and takes everything with it when it is deleted', async () => {
    const uid = await pools.create('herd', { replicas: 3 });
    const shown = await pools.ready('herd', 3);
    expect(shown).toMatchObject({ readyReplicas: 3, availableReplicas: 3, updatedReplicas: 3, terminatingReplicas: 0 });
    expect(shown.selector).toBe(`${labels.pool}=herd`);
    const [one] = await pools.members(uid);
    expect(one?.metadata.labels).toMatchObject({ [labels.pool]: 'herd', [labels.revision]: shown.updateRevision });
    expect(one?.metadata.name).toMatch(/^herd-[0-9a-f]{10}$/);

    await pools.scale('herd', 12);
    await pools.ready('herd', 12);
    const before = new Set((await pools.members(uid)).map(({ metadata }) => metadata.uid));
    await pools.scale('herd', 2);
    await pools.ready('herd', 2);
    expect((await pools.members(uid)).every(({ metadata }) => before.has(metadata.uid))).toBe(true);
    const query = [`/apis/openos.dev/v1alpha1/namespaces/${namespace}/agentpools/herd/scale`];
    const subresource = JSON.parse(await world.cluster.kubectl('get', '--raw', ...query));
    expect(subresource).toMatchObject({ spec: { replicas: 2 }, status: { replicas: 2, selector: shown.selector } });

    await pools.remove('herd');
    await world.recorded(uid, 'Deleted');
    expect(await pools.members(uid)).toEqual([]);
    await eventually('its pods are gone', async () => (await world.podsOf(one?.metadata.uid ?? '')).length === 0);
    expect(await told(uid)).toEqual([
      'agentpool.created 3',
      'agentpool.scaled 12',
      'agentpool.scaled 2',
      'agentpool.deleted 2',
    ]);
  });

  it('that leaves replicas out keeps what it was scaled to', async () => {
    const uid = await pools.create('quiet');
    await pools.ready('quiet', 1);
    await pools.patch('quiet', { replicas: 2 });
    await pools.ready('quiet', 2);
    await pools.patch('quiet', { replicas: null });
    await pools.ready('quiet', 2);
    expect(await pools.members(uid)).toHaveLength(2);
    await pools.remove('quiet');
    await world.recorded(uid, 'Deleted');
  });

  it('rolls a new template out within its limits', async () => {
    const rollingUpdate = { maxSurge: 2, maxUnavailable: 1 };
    const uid = await pools.create('rolling', { replicas: 6, updateStrategy: { rollingUpdate } });
    const { updateRevision } = await pools.ready('rolling', 6);
    const stop = await watchCounts(uid);
    await pools.patch('rolling', { template: { spec: { image: 'registry.test/agent:2' } } });
    const after = await pools.ready('rolling', 6);
    const { most, leastReady } = stop();
    expect(after.updateRevision).not.toBe(updateRevision);
    expect(after).toMatchObject({ updatedReplicas: 6, currentRevision: after.updateRevision });
    expect((await pools.members(uid)).map(({ spec }) => spec.image)).toEqual(Array(6).fill('registry.test/agent:2'));
    expect(most).toBeLessThanOrEqual(8);
    expect(leastReady).toBeGreaterThanOrEqual(5);
    expect(await told(uid)).toEqual(['agentpool.created 6', 'agentpool.updated 6']);
    await pools.remove('rolling');
    await world.recorded(uid, 'Deleted');
  });

  it('that is paused keeps its template, even for new Agents, until it goes on', async () => {
    const uid = await pools.create('paused', { replicas: 2 });
    const { updateRevision } = await pools.ready('paused', 2);
    await pools.patch('paused', { paused: true, template: { spec: { image: 'registry.test/agent:2' } } });
    await pools.scale('paused', 3);
    const shown = await pools.ready('paused', 3);
    expect(shown.updateRevision).toBe(updateRevision);
    expect(findCondition(shown.conditions ?? [], 'Progressing')).toMatchObject({ status: 'Unknown', reason: 'Paused' });
    expect((await pools.members(uid)).map(({ spec }) => spec.image)).toEqual(Array(3).fill(image));
    await pools.patch('paused', { paused: false });
    const after = await pools.status(
      'paused',
      'rolled out',
      (s) => s.updateRevision !== updateRevision && s.updatedReplicas === 3,
    );
    expect(after.updateRevision).not.toBe(updateRevision);
    await pools.remove('paused');
    await world.recorded(uid, 'Deleted');
  });

  it('OnDelete replaces only what somebody deletes', async () => {
    const uid = await pools.create('lazy', { replicas: 2, updateStrategy: { type: 'OnDelete' } });
    await pools.ready('lazy', 2);
    await pools.patch('lazy', { template: { spec: { image: 'registry.test/agent:2' } } });
    await pools.status('lazy', 'none updated', ({ updatedReplicas }) => updatedReplicas === 0);
    const [victim] = await pools.members(uid);
    await world.delete({ resource: agentResource, namespace, name: victim?.metadata.name ?? '' });
    await pools.status('lazy', 'one updated', ({ updatedReplicas, availableReplicas }) => {
      return updatedReplicas === 1 && availableReplicas === 2;
    });
    const images = (await pools.members(uid)).map(({ spec }) => spec.image);
    expect(images.toSorted()).toEqual([image, 'registry.test/agent:2']);
    await pools.remove('lazy');
    await world.recorded(uid, 'Deleted');
  });

  it('makes no more while no node is found, and goes on with another template', async () => {
    const nowhere = { image, nodeSelector: { place: 'nowhere' } };
    const uid = await pools.create('stuck', { replicas: 8, template: { spec: nowhere } });
    const shown = await pools.reasonIs('stuck', 'Unschedulable');
    expect(shown.replicas).toBeLessThan(8);
    expect(shown.unschedulableReplicas).toBeGreaterThan(0);
    await pools.patch('stuck', { template: { spec: { nodeSelector: null } } });
    await pools.ready('stuck', 8);
    await pools.remove('stuck');
    await world.recorded(uid, 'Deleted');
  });

  it('is scaled by a HorizontalPodAutoscaler, and a manifest applied again changes nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'openos-pool-'));
    const file = join(folder, 'pool.yaml');
    const autoscaler = {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'auto', namespace },
      spec: {
        scaleTargetRef: { apiVersion: 'openos.dev/v1alpha1', kind: 'AgentPool', name: 'auto' },
        minReplicas: 3,
        maxReplicas: 5,
        metrics: [
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
        ],
      },
    };
    await writeFile(file, JSON.stringify(autoscaler));
    const uid = await pools.create('auto', { replicas: 1 });
    await pools.ready('auto', 1);
    await world.cluster.kubectl('apply', '-f', file);
    await pools.ready('auto', 3);
    await world.cluster.kubectl('delete', '-f', file);

    const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'AgentPool', metadata: { name: 'auto', namespace } };
    await writeFile(file, JSON.stringify({ ...manifest, spec: { template: { spec: { image } } } }));
    await world.cluster.kubectl('apply', '-f', file);
    const { generation } = (await pools.pool('auto'))?.metadata ?? {};
    await pools.ready('auto', 3);
    await world.cluster.kubectl('apply', '-f', file);
    expect((await pools.pool('auto'))?.metadata.generation).toBe(generation);
    expect((await pools.pool('auto'))?.spec.replicas).toBe(3);
    await pools.remove('auto');
    await world.recorded(uid, 'Deleted');
    await rm(folder, { recursive: true });
  }, 120_000);

  it('counts an Agent that has gone until its pod has', async () => {
    const uid = await pools.create('slow', { replicas: 1 });
    await pools.ready('slow', 1);
    const [agent] = await pools.members(uid);
    const [pod] = await world.podsOf(agent?.metadata.uid ?? '');
    const finalizers = (list: readonly string[] | null) => {
      const body = JSON.stringify({ metadata: { finalizers: list } });
      return world.cluster.kubectl(
        'patch',
        'pod',
        pod?.metadata.name ?? '',
        '-n',
        namespace,
        '--type=merge',
        '-p',
        body,
      );
    };
    await finalizers(['openos.test/hold']);
    await world.delete({ resource: agentResource, namespace, name: agent?.metadata.name ?? '' });
    const leaves = ({ replicas, terminatingReplicas }: AgentPoolStatus) => replicas === 0 && terminatingReplicas === 1;
    await pools.status('slow', 'one on its way out', leaves);
    expect(await pools.members(uid)).toEqual([]);
    await finalizers(null);
    expect(await pools.ready('slow', 1)).toMatchObject({ terminatingReplicas: 0 });
    await pools.remove('slow');
    await world.recorded(uid, 'Deleted');
  });

  it('leaves a stranger under its names alone, and an Agent that was taken from it', async () => {
    const uid = await pools.create('guest', { replicas: 1 });
    await pools.ready('guest', 1);
    const [lost] = await pools.members(uid);
    const name = lost?.metadata.name ?? '';
    const released = JSON.stringify({ metadata: { ownerReferences: null } });
    await world.cluster.kubectl('patch', 'agent', name, '-n', namespace, '--type=merge', '-p', released);
    const shown = await pools.status(
      'guest',
      'another name',
      (s) => s.collisionCount === 1 && s.availableReplicas === 1,
    );
    expect(shown.replicas).toBe(1);
    expect((await world.agent(namespace, name))?.metadata.uid).toBe(lost?.metadata.uid);
    await pools.remove('guest');
    await world.recorded(uid, 'Deleted');
    expect((await world.agent(namespace, name))?.metadata.uid).toBe(lost?.metadata.uid);
    await world.delete({ resource: agentResource, namespace, name });
  });

  it('lets its Agents live when it is deleted with --cascade=orphan', async () => {
    const uid = await pools.create('parent', { replicas: 2 });
    await pools.ready('parent', 2);
    const before = (await pools.members(uid)).map(({ metadata }) => metadata.uid);
    await world.cluster.kubectl('delete', 'agentpool', 'parent', '-n', namespace, '--cascade=orphan');
    await world.recorded(uid, 'Deleted');
    const { items } = await world.cluster.client.list<StoredAgent>(agentResource, { namespace });
    expect(items.map(({ metadata }) => metadata.uid).toSorted()).toEqual(before.toSorted());
    for (const { metadata } of items) await world.delete({ resource: agentResource, namespace, name: metadata.name });
  });

  it('shows what the API server refuses, and asks again when it is cured', async () => {
    const quota = { kind: 'ResourceQuota', apiVersion: 'v1', metadata: { name: 'few', namespace } };
    const resource = { group: '', version: 'v1', kind: 'ResourceQuota', plural: 'resourcequotas', namespaced: true };
    const hard = { spec: { hard: { 'count/agents.openos.dev': '2' } } };
    await world.cluster.client.create(resource, { ...quota, ...hard } as KubernetesObject);
    const used = async () => {
      const standing = await world.cluster.client.get<StoredObject & { readonly status?: { readonly used?: object } }>({
        resource,
        namespace,
        name: 'few',
      });
      return standing?.status?.used !== undefined;
    };
    await eventually('the quota is in force', used);
    const uid = await pools.create('many', { replicas: 4 });
    const shown = await pools.reasonIs('many', 'AgentRejected');
    expect(shown.replicas).toBe(2);
    expect(findCondition(shown.conditions ?? [], 'ReplicaFailure')).toMatchObject({ status: 'True' });
    await world.delete({ resource, namespace, name: 'few' });
    await pools.ready('many', 4);
    await pools.remove('many');
    await world.recorded(uid, 'Deleted');
  });
});

describe('an operator that is killed', () => {
  afterEach(() => world.killOperators());

  it('in the middle of a scale-up and of a roll-out: the pool comes out as asked, with not one Agent too many', async () => {
    const env = { OPENOS_POD_NAME: 'openos-mortal' };
    const first = await world.startOperator(env);
    const uid = await pools.create('mortal', { replicas: 20 });
    const stop = await watchCounts(uid);
    await eventually('some Agents are made', async () => (await pools.members(uid)).length > 3, deadlineMs);
    await first.kill();
    const second = await world.startOperator(env);
    await pools.ready('mortal', 20);
    expect(stop().most).toBe(20);

    const stopAgain = await watchCounts(uid);
    await pools.patch('mortal', { template: { spec: { image: 'registry.test/agent:2' } } });
    const replaced = async () => (await pools.members(uid)).some(({ spec }) => spec.image !== image);
    await eventually('the roll-out has begun', replaced, deadlineMs);
    await second.kill();
    await world.startOperator(env);
    const shown = await pools.ready('mortal', 20);
    expect(shown.updatedReplicas).toBe(20);
    const { most, leastReady } = stopAgain();
    expect(most).toBeLessThanOrEqual(25);
    expect(leastReady).toBeGreaterThanOrEqual(15);
    expect(await told(uid)).toEqual(['agentpool.created 20', 'agentpool.updated 20']);
    await pools.remove('mortal');
    await world.recorded(uid, 'Deleted');
  }, 180_000);

  it('and a pool that goes meanwhile is told of afterwards; its Agents are gone', async () => {
    const first = await world.startOperator();
    const uid = await pools.create('unseen', { replicas: 2 });
    await pools.ready('unseen', 2);
    await first.kill();
    await pools.remove('unseen');
    await eventually('the pool is gone', async () => (await pools.pool('unseen')) === undefined);
    await world.startOperator();
    await world.recorded(uid, 'Deleted');
    expect(await pools.members(uid)).toEqual([]);
    expect(await told(uid)).toEqual(['agentpool.created 2', 'agentpool.deleted 2']);
  });
});

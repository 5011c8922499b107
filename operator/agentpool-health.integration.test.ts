import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentPoolSpec, AgentPoolStatus } from './api/v1alpha1/agentpool.ts';
import { findCondition, isTrue } from './kernel/conditions.ts';
import type { StoredObject } from './kernel/object.ts';
import { podResource } from './resources/builtin.ts';
import { agentPoolResource } from './resources/own.ts';
import { watchChanges } from './testkit/changes.ts';
import { poolImage, poolsOf, type StoredPool } from './testkit/pools.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

const namespace = 'flock';

let world: World;
let pools: ReturnType<typeof poolsOf>;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
  await world.tenant(namespace);
  pools = poolsOf(world, namespace);
});
afterAll(() => world?.stop());

/** Agents that give up at their first failure and do not try again. */
const brittle: AgentPoolSpec['template'] = {
  spec: { image: poolImage, restartPolicy: 'Never', recovery: { backoffLimit: 0 } },
};

async function podOf(agent: StoredAgent | undefined): Promise<string> {
  const [pod] = await world.podsOf(agent?.metadata.uid ?? '');
  return pod?.metadata.name ?? '';
}

async function setPodStatus(agent: StoredAgent | undefined, status: object): Promise<void> {
  const patch = ['--subresource=status', '--type=strategic', '-p', JSON.stringify({ status })];
  await world.cluster.kubectl('patch', 'pod', await podOf(agent), '-n', namespace, ...patch);
}

async function fail(agent: StoredAgent | undefined): Promise<void> {
  await setPodStatus(agent, { phase: 'Failed' });
  await phaseIs(agent, 'Failed');
}

async function phaseIs(agent: StoredAgent | undefined, phase: string): Promise<void> {
  await world.status(namespace, agent?.metadata.name ?? '', phase, (status) => status.phase === phase);
}

async function end(name: string, uid: string): Promise<void> {
  await pools.remove(name);
  await world.recorded(uid, 'Deleted');
}

const names = (agents: readonly StoredAgent[]) => agents.map(({ metadata }) => metadata.name).toSorted();

describe('an AgentPool whose Agents do not do well', () => {
  it('holds after maxConsecutiveFailures, and goes on with another template', async () => {
    const uid = await pools.create('broken', { replicas: 2, template: brittle, maxConsecutiveFailures: 2 });
    await pools.ready('broken', 2);
    const [first, second] = await pools.members(uid);
    await fail(first);
    await fail(second);
    const shown = await pools.reasonIs('broken', 'TooManyFailures');
    expect(shown).toMatchObject({ replicas: 2, failedReplicas: 2, consecutiveFailures: 2, availableReplicas: 0 });
    expect(findCondition(shown.conditions ?? [], 'ReplicaFailure')).toMatchObject({ status: 'True' });
    expect(isTrue(shown.conditions ?? [], 'Stalled')).toBe(true);

    await pools.scale('broken', 4);
    const held = await pools.reasonIs('broken', 'TooManyFailures');
    expect(held.replicas).toBe(2);
    await pools.patch('broken', { template: { spec: { image: 'registry.test/agent:2' } } });
    expect(await pools.ready('broken', 4)).toMatchObject({ failedReplicas: 0, consecutiveFailures: 0 });
    await end('broken', uid);
  });

  it('goes on, too, when the failed ones are deleted', async () => {
    const uid = await pools.create('retried', { replicas: 1, template: brittle, maxConsecutiveFailures: 1 });
    await pools.ready('retried', 1);
    const [failed] = await pools.members(uid);
    await fail(failed);
    await pools.reasonIs('retried', 'TooManyFailures');
    await world.cluster.kubectl('delete', 'agent', failed?.metadata.name ?? '', '-n', namespace);
    expect(await pools.ready('retried', 1)).toMatchObject({ failedReplicas: 0 });
    await end('retried', uid);
  });

  it('says after progressDeadlineSeconds that it does not get on, and that it does when it does', async () => {
    const nowhere = { spec: { image: poolImage, nodeSelector: { place: 'nowhere' } } };
    const uid = await pools.create('late', { replicas: 2, template: nowhere, progressDeadlineSeconds: 3 });
    const early = await pools.reasonIs('late', 'Unschedulable');
    expect(findCondition(early.conditions ?? [], 'Progressing')).toMatchObject({ status: 'True' });
    const shown = await pools.reasonIs('late', 'ProgressDeadlineExceeded');
    expect(findCondition(shown.conditions ?? [], 'Progressing')).toMatchObject({
      status: 'False',
      reason: 'ProgressDeadlineExceeded',
    });
    expect(isTrue(shown.conditions ?? [], 'Stalled')).toBe(true);
    await pools.patch('late', { template: { spec: { nodeSelector: null } } });
    const after = await pools.ready('late', 2);
    expect(findCondition(after.conditions ?? [], 'Progressing')).toMatchObject({ reason: 'RolloutComplete' });
    await end('late', uid);
  });

  it('counts an Agent as available when it has been Ready for minReadySeconds, not before', async () => {
    const uid = await pools.create('patient', { replicas: 1, minReadySeconds: 3 });
    const early = await pools.status('patient', 'one is Ready', ({ readyReplicas }) => readyReplicas === 1);
    expect(early).toMatchObject({ availableReplicas: 0 });
    expect(isTrue(early.conditions ?? [], 'Ready')).toBe(false);
    const available = await pools.ready('patient', 1);
    const [agent] = await pools.members(uid);
    const since = (conditions: AgentPoolStatus['conditions']) =>
      new Date(findCondition(conditions ?? [], 'Ready')?.lastTransitionTime ?? '').getTime();
    // Both are whole seconds.
    expect(since(available.conditions) - since(agent?.status?.conditions)).toBeGreaterThanOrEqual(3_000 - 1_000);
    await end('patient', uid);
  });

  it('deletes those first that do worst', async () => {
    const uid = await pools.create('order', { replicas: 4, template: brittle });
    await pools.ready('order', 4);
    const [failed, unready, ...well] = await pools.members(uid);
    await setPodStatus(unready, { conditions: [{ type: 'Ready', status: 'False' }] });
    await phaseIs(unready, 'NotReady');
    await fail(failed);
    const left = async (count: number) => {
      await pools.scale('order', count);
      await pools.status('order', `${count} left`, (s) => s.replicas === count && s.terminatingReplicas === 0);
      return names(await pools.members(uid));
    };
    expect(await left(3)).toEqual(names([unready, ...well].flatMap((agent) => agent ?? [])));
    expect(await left(2)).toEqual(names(well));
    await end('order', uid);
  });
});

describe('what an AgentPool counts', () => {
  it('adds up at every moment of a scale-up, a roll-out, a failure and a scale-down', async () => {
    const changes = await watchChanges<StoredPool>(world.cluster.client, agentPoolResource, namespace, 'sums');
    const rollingUpdate = { maxSurge: 2, maxUnavailable: 1 };
    const spec = { replicas: 3, template: brittle, updateStrategy: { rollingUpdate } };
    const uid = await pools.create('sums', spec);
    await pools.ready('sums', 3);
    await pools.scale('sums', 8);
    await pools.ready('sums', 8);
    await pools.patch('sums', { template: { spec: { image: 'registry.test/agent:2' } } });
    await pools.status(
      'sums',
      'rolled out',
      ({ updatedReplicas, replicas }) => updatedReplicas === 8 && replicas === 8,
    );
    await pools.ready('sums', 8);
    await fail((await pools.members(uid))[0]);
    await pools.status('sums', 'one failed', ({ failedReplicas }) => failedReplicas === 1);
    await pools.scale('sums', 2);
    await pools.ready('sums', 2);
    await changes.caughtUp();
    changes.stop();
    const shown = changes.all().flatMap(({ object }) => (object.status?.replicas === undefined ? [] : [object.status]));
    expect(shown.length).toBeGreaterThan(10);
    for (const status of shown) expect(status, JSON.stringify(status)).toSatisfy(addsUp);
    await end('sums', uid);
  }, 120_000);
});

/** Parts are parts, and there are never more than replicas + maxSurge, those on their way out included. */
function addsUp(status: AgentPoolStatus): boolean {
  const { replicas = 0, readyReplicas = 0, availableReplicas = 0, updatedReplicas = 0 } = status;
  const { failedReplicas = 0, unschedulableReplicas = 0, terminatingReplicas = 0, consecutiveFailures = 0 } = status;
  const parts = [readyReplicas + failedReplicas + unschedulableReplicas, updatedReplicas, readyReplicas];
  return (
    parts.every((part) => part <= replicas) &&
    availableReplicas <= readyReplicas &&
    consecutiveFailures <= failedReplicas &&
    replicas + terminatingReplicas <= 10
  );
}

describe('scheduling', () => {
  async function nodesOf(uid: string): Promise<readonly string[]> {
    const members = new Set((await pools.members(uid)).map(({ metadata }) => metadata.uid));
    type Pod = StoredObject & { readonly spec: { readonly nodeName?: string } };
    const { items } = await world.cluster.client.list<Pod>(podResource, { namespace });
    const mine = items.filter(({ metadata }) => members.has(metadata.ownerReferences?.[0]?.uid ?? ''));
    return mine.map(({ spec }) => spec.nodeName ?? '');
  }

  it('Distributed spreads the Agents over the nodes, Packed keeps them together', async () => {
    const spread = await pools.create('spread', { replicas: 4, scheduling: 'Distributed' });
    const packed = await pools.create('packed', { replicas: 4, scheduling: 'Packed' });
    await Promise.all([pools.ready('spread', 4), pools.ready('packed', 4)]);
    expect((await nodesOf(spread)).toSorted()).toEqual(['fake-0', 'fake-0', 'fake-1', 'fake-1']);
    expect(new Set(await nodesOf(packed)).size).toBe(1);
    await end('spread', spread);
    await end('packed', packed);
  });

  it('that changes replaces nothing', async () => {
    const uid = await pools.create('moved', { replicas: 2, scheduling: 'Packed' });
    await pools.ready('moved', 2);
    const before = names(await pools.members(uid));
    await pools.patch('moved', { scheduling: 'Distributed' });
    await pools.scale('moved', 3);
    await pools.ready('moved', 3);
    const after = await pools.members(uid);
    expect(names(after)).toEqual(expect.arrayContaining(before));
    const made = after.find(({ metadata }) => !before.includes(metadata.name));
    expect(made?.spec).toMatchObject({ topologySpreadConstraints: [{ maxSkew: 1 }] });
    await end('moved', uid);
  });
});

describe('config/samples/agentpool-full.yaml', () => {
  it('does what its comment says', async () => {
    const { kubectl } = world.cluster;
    const sample = (name: string) => join(import.meta.dirname, '../config/samples', name);
    await kubectl('apply', '-f', sample('tenant.yaml'));
    await kubectl('wait', '--for=condition=Ready', 'tenant/acme', '--timeout=30s');
    const crew = poolsOf(world, 'acme-agents');
    await kubectl('apply', '-f', sample('agentpool-full.yaml'));
    const { updateRevision } = await crew.ready('crew', 4);
    await crew.scale('crew', 6);
    await crew.ready('crew', 6);
    await crew.patch('crew', { template: { spec: { env: [{ name: 'GREETING', value: 'good day' }] } } });
    await crew.status('crew', 'rolls out', (s) => s.updateRevision !== updateRevision && s.updatedReplicas === 6);
    await crew.ready('crew', 6);
    await kubectl('apply', '-f', sample('agentpool-full.yaml'));
    await crew.status('crew', 'is as at first', (s) => s.updateRevision === updateRevision && s.updatedReplicas === 4);
    await crew.ready('crew', 4);
    const uid = (await crew.pool('crew'))?.metadata.uid ?? '';
    await kubectl('delete', 'agentpool/crew', '-n', 'acme-agents');
    await world.recorded(uid, 'Deleted');
  }, 180_000);
});

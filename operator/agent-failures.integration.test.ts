import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentSpec, AgentStatus } from './api/v1alpha1/agent.ts';
import type { KubernetesObject, StoredObject } from './kernel/object.ts';
import { nodeResource } from './resources/builtin.ts';
import { eventually } from './testkit/eventually.ts';
import { startWorld, type World } from './testkit/world.ts';

/**
 * Ways to fail that no simulated kubelet plays: on nodes that nobody looks after, this test is the kubelet. The API
 * server, the scheduler, the taints and the evictions are real.
 */

const namespace = 'fail';
const image = 'registry.test/agent:1';

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
  await world.tenant(namespace);
});
afterAll(() => world?.stop());

const kubectl = (...args: readonly string[]) => world.cluster.kubectl(...args);
const patchStatus = (kind: string, name: string, status: object, ...where: readonly string[]) =>
  kubectl('patch', kind, name, ...where, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status }));

const nodeIs = (name: string, ready: 'True' | 'Unknown') =>
  patchStatus('node', name, {
    capacity: { cpu: '4', memory: '4Gi', pods: '10' },
    allocatable: { cpu: '4', memory: '4Gi', pods: '10' },
    conditions: [{ type: 'Ready', status: ready, reason: 'Test', message: 'said by the test' }],
  });

/** A node without a kubelet, Ready. */
async function haveNode(name: string): Promise<void> {
  await world.cluster.client.create(nodeResource, {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { whose: name } },
  } as KubernetesObject);
  await nodeIs(name, 'True');
}

/** Evicted two seconds after its node stopped to answer, instead of five minutes. */
const tolerations = ['not-ready', 'unreachable'].map((what) => ({
  key: `node.kubernetes.io/${what}`,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 2,
}));
const on = (node: string, spec: AgentSpec = {}): AgentSpec => ({
  image,
  tolerations,
  nodeSelector: { whose: node },
  ...spec,
});

/** The pod of the Agent once it has its node. */
const bound = (name: string) =>
  eventually(`${name} has a pod with a node`, async () => {
    const { uid } = (await world.agent(namespace, name))?.metadata ?? { uid: '' };
    return (await world.podsOf(uid)).find(
      (pod) => (pod as StoredObject & { readonly spec?: { readonly nodeName?: string } }).spec?.nodeName !== undefined,
    );
  });
const podIs = (pod: StoredObject, status: object) => patchStatus('pod', pod.metadata.name, status, '-n', namespace);

const container = (state: object, more: object = {}) => ({
  phase: 'Running',
  containerStatuses: [
    { name: 'agent', image, imageID: '', ready: false, restartCount: 0, started: true, state, ...more },
  ],
});
const readyPod = {
  ...container({ running: { startedAt: '2026-01-01T00:00:00Z' } }, { ready: true }),
  conditions: [
    { type: 'PodScheduled', status: 'True' },
    { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' },
  ],
};
const killed = { terminated: { exitCode: 137, reason: 'OOMKilled' } };
const looping = { waiting: { reason: 'CrashLoopBackOff', message: 'back-off' } };

const shows = (name: string, reason: string): Promise<AgentStatus> =>
  world.status(namespace, name, reason, (status) => status.reason === reason || status.lastFailureReason === reason);

describe('what a kubelet says of a pod', () => {
  beforeAll(() => haveNode('handmade'));

  it.each<[string, string, object]>([
    ['an image that cannot be pulled', 'ImagePullFailed', container({ waiting: { reason: 'ImagePullBackOff' } })],
    [
      'a Secret that is missing',
      'ContainerNotCreated',
      container({ waiting: { reason: 'CreateContainerConfigError', message: 'secret "key" not found' } }),
    ],
    ['a container that ends again and again', 'CrashLoop', container(looping, { restartCount: 3 })],
    ['one that takes too much memory', 'OutOfMemory', container(looping, { restartCount: 3, lastState: killed })],
    ['an end by the kernel', 'OutOfMemory', { ...container(killed), phase: 'Failed' }],
    ['an end with an error', 'PodFailed', { ...container({ terminated: { exitCode: 3 } }), phase: 'Failed' }],
    ['an eviction', 'Evicted', { phase: 'Failed', reason: 'Evicted', message: 'The node was low on memory' }],
  ])('is told: %s', async (what, reason, status) => {
    const name = `kubelet-${what.replaceAll(/[^a-z]+/gi, '-').toLowerCase()}`.slice(0, 40).replace(/-$/, '');
    await world.createAgent(namespace, name, on('handmade', { recovery: { backoffSeconds: { base: 60 } } }));
    await podIs(await bound(name), status);
    expect((await shows(name, reason)).conditions?.find(({ type }) => type === 'Ready')?.status).toBe('False');
    await kubectl('delete', 'agent', name, '-n', namespace, '--wait=false');
    await kubectl('delete', 'pods', '-n', namespace, '-l', `openos.dev/agent=${name}`, '--force', '--grace-period=0');
  });
});

describe('a node', () => {
  it('that does not answer: its agent recovers; its pod is not given up before the node is gone', async () => {
    await haveNode('silent');
    await world.createAgent(namespace, 'stranded', on('silent'));
    const pod = await bound('stranded');
    await podIs(pod, readyPod);
    await world.ready(namespace, 'stranded');

    await nodeIs('silent', 'Unknown');
    await world.status(namespace, 'stranded', 'given up by the cluster', ({ phase }) => phase === 'Recovering');
    const waiting = await shows('stranded', 'NodeLost');
    expect(waiting).toMatchObject({ lastFailureReason: 'NodeLost', attempts: 1 });
    const { uid } = (await world.agent(namespace, 'stranded'))?.metadata ?? { uid: '' };
    expect((await world.podsOf(uid)).map(({ metadata }) => metadata.uid)).toEqual([pod.metadata.uid]);

    await kubectl('delete', 'node', 'silent');
    await eventually('another pod is there, and the old one is not', async () => {
      const uids = (await world.podsOf(uid)).map(({ metadata }) => metadata.uid);
      return uids.length === 1 && uids[0] !== pod.metadata.uid;
    });
    expect((await world.rows(uid)).map(({ phase }) => phase)).toEqual(expect.arrayContaining(['Ready', 'Recovering']));
  });

  it('that is said to be off: its pod is given up at once', async () => {
    await haveNode('off');
    await world.createAgent(namespace, 'unplugged', on('off'));
    const pod = await bound('unplugged');
    await podIs(pod, readyPod);
    await world.ready(namespace, 'unplugged');
    await kubectl('taint', 'node', 'off', 'node.kubernetes.io/out-of-service=nodeshutdown:NoExecute');
    await world.status(namespace, 'unplugged', 'lost', ({ lastFailureReason }) => lastFailureReason === 'NodeLost');
    const { uid } = (await world.agent(namespace, 'unplugged'))?.metadata ?? { uid: '' };
    await eventually('the old pod is gone', async () => {
      return !(await world.podsOf(uid)).some(({ metadata }) => metadata.uid === pod.metadata.uid);
    });
  });
});

describe('a pod that somebody deletes', () => {
  it('is lost, told as such and replaced', async () => {
    await world.createAgent(namespace, 'bereft');
    const { podRef } = await world.ready(namespace, 'bereft');
    await kubectl('delete', 'pod', podRef?.name ?? '', '-n', namespace, '--wait=false');
    const status = await world.status(namespace, 'bereft', 'replaced', ({ phase, podRef: now }) => {
      return phase === 'Ready' && now?.uid !== podRef?.uid;
    });
    expect(status).toMatchObject({ lastFailureReason: 'PodLost', attempts: 2 });
  });

  it('by way of an eviction, costs no attempt', async () => {
    await world.createAgent(namespace, 'drained');
    const { podRef } = await world.ready(namespace, 'drained');
    const eviction = {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name: podRef?.name ?? '', namespace },
    } as KubernetesObject;
    const evictions = {
      group: '',
      version: 'v1',
      kind: 'Eviction',
      plural: `pods/${podRef?.name}/eviction`,
      namespaced: true,
    };
    await world.cluster.client.create(evictions, eviction);
    const status = await world.status(namespace, 'drained', 'replaced', ({ phase, podRef: now }) => {
      return phase === 'Ready' && now?.uid !== podRef?.uid;
    });
    expect(status).toMatchObject({ lastFailureReason: 'Evicted', attempts: 1 });
  });
});

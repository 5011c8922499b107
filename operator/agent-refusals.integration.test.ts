import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentStatus } from './api/v1alpha1/agent.ts';
import { findCondition, isTrue } from './kernel/conditions.ts';
import type { KubernetesObject, ObjectRef, ResourceType } from './kernel/object.ts';
import { podName } from './resources/agent/pod.ts';
import { namespaceResource, podResource, runtimeClassResource } from './resources/builtin.ts';
import { agentResource } from './resources/own.ts';
import { watchChanges } from './testkit/changes.ts';
import { eventually } from './testkit/eventually.ts';
import type { TestOperator } from './testkit/operator.ts';
import { startWorld, type World } from './testkit/world.ts';

const image = 'registry.test/agent:1';

let world: World;
let operator: TestOperator;

beforeAll(async () => {
  world = await startWorld();
  operator = await world.startOperator();
  await world.createTenant('refuse', {
    namespaces: [{ name: 'refuse' }],
    runtimeClasses: { default: 'gvisor', allowed: ['gvisor', 'kata'] },
  });
  await world.tenantStatus('refuse', 'Ready', ({ conditions = [] }) => isTrue(conditions, 'Ready'));
});
afterAll(() => world?.stop());

/** Waits until the Agent is held back for this reason, and asserts that nothing was begun for it. */
async function heldBack(namespace: string, name: string, reason: string): Promise<AgentStatus> {
  const status = await world.status(namespace, name, reason, (shown) => shown.reason === reason);
  const { uid } = (await world.agent(namespace, name))?.metadata ?? { uid: '' };
  expect(status.phase).toBe('Pending');
  expect(findCondition(status.conditions ?? [], 'Ready')).toMatchObject({ status: 'False', reason });
  expect(await world.podsOf(uid)).toEqual([]);
  expect(await world.rows(uid)).toEqual([]);
  return status;
}

const isReconciling = { Reconciling: 'True', Stalled: undefined };

function progress({ conditions = [] }: AgentStatus) {
  const statusOf = (type: string) => findCondition(conditions, type)?.status;
  return { Reconciling: statusOf('Reconciling'), Stalled: statusOf('Stalled') };
}

async function become(namespace: string, name: string): Promise<void> {
  await world.ready(namespace, name);
  const { uid } = (await world.agent(namespace, name))?.metadata ?? { uid: '' };
  const rows = await world.recorded(uid, 'Ready');
  expect(rows.map(({ eventType }) => eventType)).toEqual([
    'agent.created',
    'agent.scheduled',
    'agent.starting',
    'agent.ready',
  ]);
}

const create = (resource: ResourceType, object: object) =>
  world.cluster.client.create(resource, object as KubernetesObject);

describe('an Agent outside of a Tenant', () => {
  it('waits, tells of the Tenant it lacks, and starts as soon as there is one', async () => {
    await create(namespaceResource, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'homeless' } });
    await world.createAgent('homeless', 'waif');
    const status = await heldBack('homeless', 'waif', 'TenantNotFound');
    expect(findCondition(status.conditions ?? [], 'TenantReady')).toMatchObject({ status: 'False' });
    expect(progress(status)).toEqual(isReconciling);

    await world.cluster.kubectl('annotate', 'namespace', 'homeless', 'openos.dev/allow-tenant=home');
    await world.createTenant('home', { namespaces: [{ name: 'homeless' }] });
    await become('homeless', 'waif');
  });
});

describe('an Agent whose RuntimeClass is missing', () => {
  it('gets no pod and tells nothing, and starts as soon as the class is there', async () => {
    await world.createAgent('refuse', 'classless', { image, runtimeClassName: 'kata' });
    const status = await heldBack('refuse', 'classless', 'RuntimeClassNotFound');
    expect(findCondition(status.conditions ?? [], 'IsolationReady')).toMatchObject({ status: 'False' });
    expect(progress(status)).toEqual(isReconciling);

    await create(runtimeClassResource, {
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name: 'kata' },
      handler: 'kata',
    });
    await become('refuse', 'classless');
    expect((await world.agent('refuse', 'classless'))?.status?.runtimeClassName).toBe('kata');
  });
});

describe('an Agent that asks for more traffic than its Tenant allows', () => {
  it('is held back, and starts when it no longer asks', async () => {
    await world.createAgent('refuse', 'ahead', { image, networkPolicy: { egress: [{}] } });
    const status = await heldBack('refuse', 'ahead', 'NotAllowed');
    expect(progress(status)).toEqual(isReconciling);

    const patch = '[{"op":"remove","path":"/spec/networkPolicy"}]';
    await world.cluster.kubectl('patch', 'agent', 'ahead', '-n', 'refuse', '--type=json', '-p', patch);
    await become('refuse', 'ahead');
  });
});

describe('a stranger under the name our pod would take', () => {
  it('is left alone, is told of, and the Agent starts when it has gone', async () => {
    await operator.stop();
    const { metadata } = await world.createAgent('refuse', 'evicted');
    const name = podName('evicted', metadata.uid, 1);
    const stranger = await create(podResource, restrictedPod(name));
    operator = await world.startOperator();

    const status = await world.status('refuse', 'evicted', 'NameConflict', ({ reason }) => reason === 'NameConflict');
    expect(status.phase).toBe('Created');
    expect(progress(status)).toEqual(isReconciling);
    const ref: ObjectRef = { resource: podResource, namespace: 'refuse', name };
    const standing = await world.cluster.client.get(ref);
    expect(standing?.metadata).toMatchObject({ uid: stranger.metadata.uid, labels: { whose: 'mine' } });
    expect(standing?.metadata.deletionTimestamp).toBeUndefined();
    expect(standing?.metadata.ownerReferences).toBeUndefined();

    await world.delete(ref);
    await become('refuse', 'evicted');
    const { podRef } = await world.ready('refuse', 'evicted');
    expect(podRef?.name).toBe(name);
    expect(podRef?.uid).not.toBe(stranger.metadata.uid);
  });

  function restrictedPod(name: string): object {
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'refuse', labels: { whose: 'mine' } },
      spec: {
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'main',
            image,
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          },
        ],
      },
    };
  }
});

describe('a pod that Pod Security refuses', () => {
  it('is shown as rejected in the words of the API server, and heals with the spec', async () => {
    const template = { spec: { hostNetwork: true, containers: [{ name: 'main', image }] } };
    const { metadata } = await world.createAgent('refuse', 'greedy', { template });
    const status = await world.status('refuse', 'greedy', 'PodRejected', ({ reason }) => reason === 'PodRejected');
    expect(status.phase).toBe('Created');
    expect(progress(status)).toEqual(isReconciling);
    expect(status.message).toContain('hostNetwork');
    expect(await world.podsOf(metadata.uid)).toEqual([]);

    const patch = '[{"op":"remove","path":"/spec/template/spec/hostNetwork"}]';
    await world.cluster.kubectl('patch', 'agent', 'greedy', '-n', 'refuse', '--type=json', '-p', patch);
    await world.ready('refuse', 'greedy');
    const rows = await world.recorded(metadata.uid, 'Ready');
    expect(rows.map(({ phase }) => phase)).toEqual(['Created', 'Replacing', 'Scheduled', 'Starting', 'Ready']);
  });
});

describe('the writes of the operator', () => {
  const written = async () => ({
    pods: await operator.metric('openos_api_requests_total', { verb: 'create', resource: 'pods' }),
    statuses: await operator.metric('openos_api_requests_total', { verb: 'update', resource: 'agents' }),
    events: await operator.metric('openos_api_requests_total', { verb: 'create', resource: 'events' }),
  });

  it('are one pod, one Event and at most two statuses for a cold start', async () => {
    const before = await written();
    const changes = await watchChanges(world.cluster.client, agentResource, 'refuse', 'thrifty');
    const { metadata } = await world.createAgent('refuse', 'thrifty');
    await world.ready('refuse', 'thrifty');
    await world.recorded(metadata.uid, 'Ready');
    await eventually('the Event is written', async () => (await written()).events > before.events);
    const after = await written();
    await changes.caughtUp();
    changes.stop();

    // The second one is of a start that takes more than a second.
    const statuses = changes.types().filter((type) => type === 'MODIFIED').length;
    expect(statuses).toBeLessThanOrEqual(2);
    expect({
      pods: after.pods - before.pods,
      statuses: after.statuses - before.statuses,
      events: after.events - before.events,
    }).toEqual({ pods: 1, statuses, events: 1 });
  });

  it('are none for Agents that are as they should be, not even after a restart', async () => {
    await operator.stop();
    const { items: before } = await world.cluster.client.list(agentResource);
    operator = await world.startOperator();
    await eventually('every Agent was looked at', async () => {
      const passes = await operator.metric('openos_reconcile_total', { controller: 'agent' });
      const waiting = await operator.metric('openos_queue_depth_keys', { controller: 'agent' });
      return passes >= before.length && waiting === 0;
    });
    const { items: after } = await world.cluster.client.list(agentResource);
    const versions = (items: typeof before) => items.map(({ metadata }) => metadata.resourceVersion);
    expect(versions(after)).toEqual(versions(before));
    expect(await written()).toEqual({ pods: 0, statuses: 0, events: 0 });
  });
});

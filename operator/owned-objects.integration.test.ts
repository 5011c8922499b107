import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { controllerUid, type KubernetesObject, type StoredObject } from './kernel/object.ts';
import { networkPolicyResource, podResource } from './resources/builtin.ts';
import { eventually } from './testkit/eventually.ts';
import { startWorld, type World } from './testkit/world.ts';

/** What somebody with every right does to what Agents own, without the admission policies that forbid it: put right in seconds. */

const namespace = 'owned';
const image = 'registry.test/agent:1';
/** Deleted, relabelled or disowned, all is in order again within this. */
const restoredMs = 5_000;

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
  await world.tenant(namespace);
});
afterAll(() => world?.stop());

const patch = (kind: string, name: string, metadata: object) =>
  world.cluster.kubectl('patch', kind, name, '-n', namespace, '--type=merge', '-p', JSON.stringify({ metadata }));
const pod = (name: string) => world.cluster.client.get<StoredObject>({ resource: podResource, namespace, name });
const allPods = async () => (await world.cluster.client.list<StoredObject>(podResource, { namespace })).items;

/** Every way to take a pod from its Agent. */
const ways: readonly (readonly [string, (name: string) => Promise<unknown>])[] = [
  ['deleted', (name) => world.delete({ resource: podResource, namespace, name })],
  ['stripped of its owner', (name) => patch('pod', name, { ownerReferences: null })],
  ['stripped of its labels', (name) => patch('pod', name, { labels: null })],
  ['given the label of another Agent', (name) => patch('pod', name, { labels: { 'openos.dev/agent-uid': 'other' } })],
  ['stripped of both', (name) => patch('pod', name, { ownerReferences: null, labels: null })],
];

describe('a pod of an Agent that was', () => {
  it.each(ways)('%s is gone within seconds, and one of another attempt stands in its place', async (what, tamper) => {
    const agent = `agent-${ways.findIndex(([way]) => way === what)}`;
    const { uid } = (await world.createAgent(namespace, agent)).metadata;
    const { podRef } = await world.ready(namespace, agent);
    const name = podRef?.name ?? '';
    await tamper(name);
    const others = await eventually(
      `the pod ${name} is gone, and there is another`,
      async () => {
        const pods = await allPods();
        const theirs = pods.filter(({ metadata }) => metadata.name.startsWith(`${agent}-`));
        const [only, more] = theirs;
        if (only === undefined || more !== undefined || only.metadata.name === name) {
          throw new Error(theirs.map(({ metadata }) => metadata.name).join(', '));
        }
        return theirs;
      },
      restoredMs,
    );
    expect(others.map((other) => controllerUid(other))).toEqual([uid]);
    await world.status(namespace, agent, 'Ready with that pod', (status) => {
      return status.phase === 'Ready' && status.podRef?.uid === others[0]?.metadata.uid;
    });
    const rows = await world.recorded(uid, 'Ready');
    expect(rows.map(({ phase }) => phase).slice(0, 5)).toEqual([
      'Created',
      'Scheduled',
      'Starting',
      'Ready',
      'Recovering',
    ]);
    expect(await pod(name)).toBeUndefined();
  });
});

describe("a stranger's pod that bears an Agent's label", () => {
  it('is left alone, and the Agent too', async () => {
    const { uid } = (await world.createAgent(namespace, 'courted')).metadata;
    const { podRef } = await world.ready(namespace, 'courted');
    const stranger = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'suitor', namespace, labels: { 'openos.dev/agent-uid': uid } },
      spec: { runtimeClassName: 'gvisor', containers: [{ name: 'main', image }] },
    };
    await world.cluster.client.create(podResource, withRestrictions(stranger) as KubernetesObject);
    // A pass over the Agent that came after the stranger did.
    await patch('agent', 'courted', { annotations: { look: 'again' } });
    await world.createAgent(namespace, 'after');
    await world.ready(namespace, 'after');
    expect((await pod('suitor'))?.metadata.deletionTimestamp).toBeUndefined();
    expect(await world.ready(namespace, 'courted')).toMatchObject({ reason: 'AgentReady', podRef });
    await world.delete({ resource: podResource, namespace, name: 'suitor' });
  });
});

describe("an Agent's own NetworkPolicy", () => {
  it('has its owner back', async () => {
    await world.createAgent(namespace, 'closed', { image, networkPolicy: { egress: [] } });
    await world.ready(namespace, 'closed');
    const name = 'openos-agent-closed';
    const owner = async () => {
      const policy = await world.cluster.client.get<StoredObject>({ resource: networkPolicyResource, namespace, name });
      return policy === undefined ? undefined : controllerUid(policy);
    };
    const before = await owner();
    expect(before).toBeDefined();
    await patch('networkpolicy', name, { ownerReferences: null });
    await eventually('it is owned again', async () => (await owner()) === before, restoredMs);
  });
});

/** As Pod Security demands of every pod in the namespace of a Tenant. */
function withRestrictions<T extends { readonly spec: { readonly containers: readonly object[] } }>(object: T): T {
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  const containers = object.spec.containers.map((container) => ({ ...container, securityContext }));
  const podContext = { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } };
  return { ...object, spec: { ...object.spec, containers, securityContext: podContext } };
}

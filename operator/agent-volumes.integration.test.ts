import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentSpec } from './api/v1alpha1/agent.ts';
import { isTrue } from './kernel/conditions.ts';
import type { KubernetesObject, StoredObject } from './kernel/object.ts';
import { claimResource } from './resources/builtin.ts';
import { agentResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import { startWorld, type World } from './testkit/world.ts';

/** Claims of Agents on a real API server with its volume binder: whose they are, and who outlives whom. */

type Claim = StoredObject & { readonly status?: { readonly phase?: string } };

const namespace = 'store';
const image = 'registry.test/agent:1';

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
  await world.tenant(namespace);
  for (let n = 0; n < 8; n += 1) await makeVolume(`volume-${n}`);
});
afterAll(() => world?.stop());

async function makeVolume(name: string, storageClassName = 'manual'): Promise<void> {
  await world.cluster.client.create(
    { group: '', version: 'v1', kind: 'PersistentVolume', plural: 'persistentvolumes', namespaced: false },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        storageClassName,
        hostPath: { path: `/nowhere/${name}` },
      },
    } as KubernetesObject,
  );
}

type Template = NonNullable<AgentSpec['volumeClaimTemplates']>[number];

function template(name: string, storageClassName = 'manual'): Template {
  return {
    metadata: { name, labels: { tier: 'data' } },
    spec: { storageClassName, accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  };
}

const withData: AgentSpec = {
  image,
  volumeMounts: [{ name: 'data', mountPath: '/data' }],
  volumeClaimTemplates: [template('data')],
};

const claim = (name: string) => world.cluster.client.get<Claim>({ resource: claimResource, namespace, name });
const claimGone = (name: string) =>
  eventually(`the claim ${name} is gone`, async () => (await claim(name)) === undefined, 30_000);
const uidOf = async (name: string) => (await world.agent(namespace, name))?.metadata.uid ?? '';

/** Deletes the Agent and waits until its story is told to the end. */
async function remove(name: string): Promise<void> {
  const uid = await uidOf(name);
  await world.delete({ resource: agentResource, namespace, name });
  await world.recorded(uid, 'Deleted');
}

describe('a claim of an Agent', () => {
  it('is made before its pod, bound and mounted under the name of its template', async () => {
    await world.createAgent(namespace, 'keeper', withData);
    const { podRef } = await world.ready(namespace, 'keeper');
    const pod = (await world.podsOf(await uidOf('keeper'))).find(({ metadata }) => metadata.name === podRef?.name);
    const volumes = (pod as unknown as { readonly spec: { readonly volumes: readonly object[] } }).spec.volumes;
    expect(volumes).toContainEqual({ name: 'data', persistentVolumeClaim: { claimName: 'data-keeper' } });
    const made = await claim('data-keeper');
    expect(made?.status?.phase).toBe('Bound');
    expect(made?.metadata.labels).toMatchObject({ tier: 'data', 'openos.dev/agent': 'keeper' });
    expect(made?.metadata.ownerReferences).toBeUndefined();
  });

  it('outlives it, and an Agent of the same name has it again', async () => {
    const before = await claim('data-keeper');
    await remove('keeper');
    expect((await claim('data-keeper'))?.metadata).toMatchObject({ uid: before?.metadata.uid });
    await world.createAgent(namespace, 'keeper', withData);
    await world.ready(namespace, 'keeper');
    expect((await claim('data-keeper'))?.metadata.uid).toBe(before?.metadata.uid);
  });

  it('goes with it where the policy says Delete, and the next of that name has a new one', async () => {
    const spec: AgentSpec = { ...withData, persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete' } };
    await world.createAgent(namespace, 'passing', spec);
    await world.ready(namespace, 'passing');
    const before = (await claim('data-passing'))?.metadata;
    expect(before?.ownerReferences).toMatchObject([{ uid: await uidOf('passing'), controller: true }]);
    await remove('passing');
    // At once, while the collector may still be at the first claim.
    await world.createAgent(namespace, 'passing', spec);
    await world.ready(namespace, 'passing');
    expect((await claim('data-passing'))?.metadata.uid).not.toBe(before?.uid);
  });

  it('stays while it is suspended, and goes where whenScaled says Delete', async () => {
    const scaled: AgentSpec = { ...withData, persistentVolumeClaimRetentionPolicy: { whenScaled: 'Delete' } };
    await world.createAgent(namespace, 'sleeper', scaled);
    await world.ready(namespace, 'sleeper');
    const mode = (value: string) => JSON.stringify({ spec: { operatingMode: value } });
    const set = (name: string, value: string) =>
      world.cluster.kubectl('patch', 'agent', name, '-n', namespace, '--type=merge', '-p', mode(value));
    for (const name of ['sleeper', 'keeper']) {
      await set(name, 'Suspended');
      await world.status(namespace, name, 'Suspended', ({ phase }) => phase === 'Suspended');
    }
    await claimGone('data-sleeper');
    expect((await claim('data-keeper'))?.metadata.deletionTimestamp).toBeUndefined();
    await set('sleeper', 'Running');
    await world.ready(namespace, 'sleeper');
    expect((await claim('data-sleeper'))?.status?.phase).toBe('Bound');
  });
});

describe("a stranger's claim under the name ours would take", () => {
  it('is not taken, is told of, and the Agent starts when it has gone', async () => {
    const { spec } = template('data');
    const metadata = { name: 'data-rival', namespace };
    const object = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec };
    const stranger = await world.cluster.client.create(claimResource, object as KubernetesObject);
    await world.createAgent(namespace, 'rival', withData);
    const status = await world.status(namespace, 'rival', 'NameConflict', ({ reason }) => reason === 'NameConflict');
    expect(status.message).toContain('data-rival');
    expect(await world.podsOf(await uidOf('rival'))).toEqual([]);
    const standing = await claim('data-rival');
    expect(standing?.metadata).toMatchObject({ uid: stranger.metadata.uid });
    expect(standing?.metadata.labels).toBeUndefined();

    await world.delete({ resource: claimResource, namespace, name: 'data-rival' });
    await world.ready(namespace, 'rival');
    expect((await claim('data-rival'))?.metadata.uid).not.toBe(stranger.metadata.uid);
  });
});

describe('a claim that the API server refuses', () => {
  it('is told in its words, and nothing half made outlives the Agent', async () => {
    const refused: Template = { metadata: { name: 'logs' }, spec: { accessModes: ['ReadWriteOnce'] } };
    await world.createAgent(namespace, 'halfway', { image, volumeClaimTemplates: [template('data', 'none'), refused] });
    const status = await world.status(
      namespace,
      'halfway',
      'ClaimRejected',
      ({ reason }) => reason === 'ClaimRejected',
    );
    expect(status).toMatchObject({ phase: 'Created' });
    expect(status.message).toContain('logs-halfway');
    expect((await claim('data-halfway'))?.status?.phase).toBe('Pending');
    expect(await world.podsOf(await uidOf('halfway'))).toEqual([]);

    await remove('halfway');
    await claimGone('data-halfway');
  });
});

describe('the full sample', () => {
  it('becomes Ready in the Tenant of the full sample, with its claim and its policy', async () => {
    const samples = join(import.meta.dirname, '../config/samples');
    await makeVolume('sample', '');
    await world.cluster.kubectl('apply', '-f', join(samples, 'tenant-full.yaml'));
    await world.tenantStatus('initech', 'Ready', ({ conditions = [] }) => isTrue(conditions, 'Ready'));
    await world.cluster.kubectl('apply', '-f', join(samples, 'agent-full.yaml'));
    const { conditions = [] } = await world.ready('initech-agents', 'librarian');
    expect(conditions.map(({ type, status }) => [type, status])).toEqual([
      ['Ready', 'True'],
      ['EventsPublished', 'True'],
    ]);
    const found = await world.cluster.kubectl('get', 'pvc,networkpolicy', '-n', 'initech-agents', '-o', 'name');
    expect(found).toContain('persistentvolumeclaim/data-librarian');
    expect(found).toContain('networkpolicy.networking.k8s.io/openos-agent-librarian');
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KubeClient } from './kernel/client.ts';
import { isTrue } from './kernel/conditions.ts';
import { loadKubeConfig } from './kernel/credentials.ts';
import type { ResourceType, StoredObject } from './kernel/object.ts';
import { Transport } from './kernel/transport.ts';
import { permissions } from './permissions.ts';
import {
  claimResource,
  limitRangeResource,
  namespaceResource,
  networkPolicyResource,
  podResource,
  resourceQuotaResource,
  roleBindingResource,
} from './resources/builtin.ts';
import { agentPoolResource, agentResource, tenantResource } from './resources/own.ts';
import { replayAudit, rightsIn } from './testkit/audit.ts';
import { operatorKubeconfig } from './testkit/chart.ts';
import { eventually } from './testkit/eventually.ts';
import { startWorld, type World } from './testkit/world.ts';

/**
 * One life of everything the operator has a right to touch, by an operator with its own account. What it asked for is
 * then read from the API server's audit log and held against what it was given.
 */
const image = 'registry.test/agent:1';
let world: World;
const kubectl = (...args: readonly string[]) => world.cluster.kubectl(...args);
const patch = (kind: string, name: string, spec: object, ...where: readonly string[]) =>
  kubectl('patch', kind, name, ...where, '--type=merge', '-p', JSON.stringify({ spec }));

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
});
afterAll(() => world?.stop());

const settled = (name: string, generation: number) =>
  world.tenantStatus(
    name,
    `Ready in generation ${generation}`,
    ({ conditions = [], observedGeneration }) => isTrue(conditions, 'Ready') && observedGeneration === generation,
  );

const gone = (resource: ResourceType, name: string, namespace?: string) =>
  eventually(
    `${resource.kind} ${name} is gone`,
    async () => {
      const ref = namespace === undefined ? { resource, name } : { resource, namespace, name };
      return (await world.cluster.client.get(ref)) === undefined;
    },
    30_000,
  );

async function liveTenant(): Promise<void> {
  await world.createTenant('life', {
    namespaces: [{ name: 'life' }],
    owners: [{ kind: 'User', name: 'mia', role: 'Owner' }],
    quota: { hard: { pods: 50 } },
    limitRange: { limits: [{ type: 'Container', defaultRequest: { cpu: '10m' } }] },
    network: { allowEgress: [{ ports: [{ port: 443 }] }] },
    deletionPolicy: 'Delete',
  });
  await settled('life', 1);
}

/** A node goes for good, and the pod on it with it. */
async function loseNode(): Promise<void> {
  await world.createAgent('life', 'drifter', { image });
  const { nodeName = '' } = await world.ready('life', 'drifter');
  await kubectl('delete', 'node', nodeName);
  await world.status('life', 'drifter', 'lost its node', ({ lastFailureReason }) => lastFailureReason === 'NodeLost');
  await kubectl('delete', 'agent', 'drifter', '-n', 'life');
}

async function liveAgents(): Promise<void> {
  const claim = {
    metadata: { name: 'data' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  };
  await world.createAgent('life', 'scout', { image, networkPolicy: { egress: [{ ports: [{ port: 443 }] }] } });
  const keeper = await world.createAgent('life', 'keeper', {
    image,
    volumeClaimTemplates: [claim] as never,
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete' },
  });
  await world.ready('life', 'scout');
  await eventually(
    'the claim is made',
    async () => (await kubectl('get', 'pvc', '-n', 'life', '-o', 'name')).trim() !== '' || undefined,
  );
  const pool = { apiVersion: 'openos.dev/v1alpha1', kind: 'AgentPool', metadata: { name: 'fleet', namespace: 'life' } };
  const spec = { replicas: 2, template: { spec: { image } } };
  await world.cluster.client.create(agentPoolResource, { ...pool, spec } as never);
  const ready = () => kubectl('get', 'agentpool', 'fleet', '-n', 'life', '-o', 'jsonpath={.status.readyReplicas}');
  await eventually('both are Ready', async () => (await ready()) === '2', 30_000);
  await kubectl('scale', 'agentpool', 'fleet', '-n', 'life', '--replicas=1');
  await eventually('one is left', async () => (await ready()) === '1', 30_000);
  for (const name of ['fleet']) await kubectl('delete', 'agentpool', name, '-n', 'life');
  for (const name of ['scout', 'keeper']) await kubectl('delete', 'agent', name, '-n', 'life');
  await world.recorded(keeper.metadata.uid, 'Deleted');
}

/** What the Tenant no longer asks for goes; then all of it. */
async function dieTenant(): Promise<void> {
  await kubectl('delete', 'rolebinding', 'openos-tenant-owner', '-n', 'life', '--wait=false');
  await kubectl('create', 'rolebinding', 'openos-tenant-owner', '-n', 'life', '--clusterrole=view', '--user=mia').catch(
    () => '',
  );
  await patch('tenant', 'life', {
    owners: null,
    quota: null,
    limitRange: null,
    network: { isolation: 'Unmanaged', allowEgress: null },
  });
  await settled('life', 2);
  for (const [resource, name] of [
    [resourceQuotaResource, 'openos-quota'],
    [limitRangeResource, 'openos-limits'],
    [networkPolicyResource, 'openos-default-deny'],
    [roleBindingResource, 'openos-tenant-owner'],
  ] as const)
    await gone(resource, name, 'life');
  await kubectl('delete', 'tenant', 'life', '--wait=false');
  await gone(tenantResource, 'life');
}

/**
 * Something else stands under the name of what was to be deleted: the client is told so by the server and looks. With
 * caches that are abreast this never happens, so it is brought about here, through the same client and account.
 */
async function meetNamesakes(): Promise<void> {
  const credentials = loadKubeConfig(await operatorKubeconfig(world.cluster, 'default'));
  const client = new KubeClient(new Transport({ credentials, version: 'test' }));
  const admin = world.cluster.client;
  await kubectl('create', 'namespace', 'namesakes');
  const spec = { spec: { image } };
  const namesakes: readonly (readonly [ResourceType, object])[] = [
    [agentResource, spec],
    [podResource, { spec: { containers: [{ name: 'c', image }] } }],
    [claimResource, { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } }],
    [resourceQuotaResource, { spec: { hard: { pods: '9' } } }],
    [limitRangeResource, { spec: { limits: [] } }],
    [networkPolicyResource, { spec: { podSelector: {} } }],
    [roleBindingResource, { roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' } }],
  ];
  for (const [resource, body] of namesakes) {
    const metadata = { name: 'namesake', namespace: 'namesakes' };
    const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
    const made = () => admin.create<StoredObject>(resource, { apiVersion, kind: resource.kind, metadata, ...body });
    const { metadata: standing } = await eventually(`a ${resource.kind} of that name`, made);
    const ref = { resource, ...metadata };
    expect(await client.delete(ref, { uid: 'of-another' })).toBe('gone');
    expect((await admin.get(ref))?.metadata.uid).toBe(standing.uid);
  }
  const ref = { resource: namespaceResource, name: 'namesakes' };
  expect(await client.delete(ref, { uid: 'of-another' })).toBe('gone');
  await client.close();
}

describe('the rights of the operator', () => {
  it('are all used, and are all it needs', async () => {
    await liveTenant();
    await liveAgents();
    await loseNode();
    await dieTenant();
    await meetNamesakes();
    const { used, refused } = await replayAudit(world.cluster.auditLog);
    const given = rightsIn(permissions);
    const rows = given.map((right) => [right, used.get(right) ?? 0] as const);
    console.table(Object.fromEntries(rows));
    expect(refused).toEqual([]);
    expect(rows.filter(([, times]) => times === 0).map(([right]) => right)).toEqual([]);
    const lease = ['create', 'get', 'update'].map((verb) => `${verb} coordination.k8s.io/leases`);
    expect([...used.keys()].filter((right) => !given.includes(right) && !lease.includes(right))).toEqual([]);
  }, 120_000);
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import { labels } from './api/v1alpha1/names.ts';
import { findCondition } from './kernel/conditions.ts';
import type { KubernetesObject, ObjectRef, ResourceType, StoredObject } from './kernel/object.ts';
import {
  namespaceResource,
  networkPolicyResource,
  resourceQuotaResource,
  roleBindingResource,
} from './resources/builtin.ts';
import { tenantResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import { type StoredTenant, startWorld, type World } from './testkit/world.ts';

/** What a Tenant that is deleted waits for, how long, and what it leaves when that time is over (ADR 7). */

const protectionMs = 5_000;
const configMaps: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
};

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator({ OPENOS_TENANT_PROTECTION: `${protectionMs}ms` });
});
afterAll(() => world?.stop());

const find = (ref: ObjectRef) => world.cluster.client.get<StoredObject>(ref);
const namespace = (name: string) => find({ resource: namespaceResource, name });
const tenantNamed = (name: string) => world.cluster.client.get<StoredTenant>({ resource: tenantResource, name });

async function deleted(name: string): Promise<void> {
  await world.delete({ resource: tenantResource, name });
  const status = await world.tenantStatus(name, 'Terminating', ({ phase }) => phase === 'Terminating');
  expect(findCondition(status.conditions ?? [], 'Ready')).toMatchObject({ status: 'False', reason: 'Terminating' });
}

/** Waits until the Tenant is gone; answers how long after its deletion, in milliseconds. */
async function untilGone(name: string): Promise<number> {
  const since = Date.parse((await tenantNamed(name))?.metadata.deletionTimestamp ?? '');
  await eventually(`the Tenant ${name} is gone`, async () => (await tenantNamed(name)) === undefined, 20_000);
  return Date.now() - since;
}

it('while its Agents live it protects them for its time, then goes, and they run on where nothing new begins', async () => {
  const spec = { namespaces: [{ name: 'kept' }], owners: [{ kind: 'User', name: 'mia', role: 'Owner' }] } as const;
  const { uid } = (await world.createTenant('kept', { ...spec, quota: { hard: { pods: 5 } } })).metadata;
  await world.tenantStatus('kept', 'Ready', ({ phase }) => phase === 'Active');
  await world.createAgent('kept', 'old');
  const { podRef } = await world.ready('kept', 'old');

  await deleted('kept');
  await world.createAgent('kept', 'late');
  await world.status('kept', 'late', 'held', ({ reason }) => reason === 'TenantNotFound');
  expect((await namespace('kept'))?.metadata.labels).toHaveProperty([labels.tenant], 'kept');
  // The API server writes the time of deletion in whole seconds, rounded down.
  expect(await untilGone('kept')).toBeGreaterThanOrEqual(protectionMs);

  await eventually('its end is told', async () => (await world.rows(uid)).at(-1)?.phase === 'Deleted');
  const {
    conditions = [],
    phase,
    ...old
  } = await world.status('kept', 'old', 'TenantReady=False', (status) => {
    return findCondition(status.conditions ?? [], 'TenantReady')?.status === 'False';
  });
  expect([phase, old.podRef, findCondition(conditions, 'Ready')?.status]).toEqual(['Ready', podRef, 'True']);
  const late = await world.status('kept', 'late', 'still held', ({ reason }) => reason === 'TenantNotFound');
  expect([late.phase, late.podRef]).toEqual(['Pending', undefined]);

  const left = (await namespace('kept'))?.metadata;
  expect(left?.labels).not.toHaveProperty([labels.tenant]);
  expect(left?.labels).toHaveProperty(['pod-security.kubernetes.io/enforce'], 'restricted');
  expect(await find({ resource: networkPolicyResource, namespace: 'kept', name: 'openos-default-deny' })).toBeDefined();
  expect(await find({ resource: resourceQuotaResource, namespace: 'kept', name: 'openos-quota' })).toBeDefined();
  expect(await find({ resource: roleBindingResource, namespace: 'kept', name: 'openos-tenant-owner' })).toBeUndefined();
});

it('with deletionPolicy Delete it does not wait longer for a namespace that cannot go', async () => {
  await world.createTenant('stuck', { namespaces: [{ name: 'stuck' }], deletionPolicy: 'Delete' });
  await world.tenantStatus('stuck', 'Ready', ({ phase }) => phase === 'Active');
  const metadata = { namespace: 'stuck', name: 'anchor', finalizers: ['test.openos.dev/anchor'] };
  await world.cluster.client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata } as KubernetesObject);

  await deleted('stuck');
  expect(await untilGone('stuck')).toBeGreaterThanOrEqual(protectionMs);
  expect((await namespace('stuck'))?.metadata.deletionTimestamp).toBeDefined();

  await world.cluster.kubectl(
    'patch',
    'configmap',
    'anchor',
    '-n',
    'stuck',
    '--type=merge',
    '-p',
    '{"metadata":{"finalizers":null}}',
  );
  await eventually('the namespace is gone', async () => (await namespace('stuck')) === undefined, 20_000);
});

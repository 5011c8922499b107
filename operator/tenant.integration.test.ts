import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findHelm, render } from '../hack/chart/helm.ts';
import type { TenantSpec, TenantStatus } from './api/v1alpha1/tenant.ts';
import { findCondition, isTrue } from './kernel/conditions.ts';
import type { ObjectRef, StoredObject } from './kernel/object.ts';
import {
  limitRangeResource,
  namespaceResource,
  networkPolicyResource,
  resourceQuotaResource,
  roleBindingResource,
} from './resources/builtin.ts';
import { tenantResource } from './resources/own.ts';
import { installRights, kubeconfigOf, releaseNamespace } from './testkit/chart.ts';
import { eventually } from './testkit/eventually.ts';
import { startWorld, type World } from './testkit/world.ts';

/** What is deleted or edited by hand is back within this time (target R14). */
const restoredMs = 5_000;

const spec = {
  namespaces: [{ name: 'acme' }],
  owners: [
    { kind: 'User', name: 'mia', role: 'Owner' },
    { kind: 'ServiceAccount', name: 'system:serviceaccount:acme:bot', role: 'Member' },
  ],
  quota: { agents: 10, pools: 2, hard: { pods: 12, 'requests.cpu': '4000m' } },
  limitRange: { limits: [{ type: 'Container', default: { cpu: '0.5' }, defaultRequest: { cpu: '0.1' } }] },
  network: { allowIngress: [{ ports: [{ port: 8080 }] }] },
} satisfies TenantSpec;

let world: World;
const kubectl = (...args: readonly string[]) => world.cluster.kubectl(...args);
const ready = ({ conditions = [], observedGeneration }: TenantStatus, generation = 1) =>
  isTrue(conditions, 'Ready') && observedGeneration === generation;

beforeAll(async () => {
  world = await startWorld();
  await installRights(world.cluster, await render(await findHelm()));
  const kubeconfig = await kubeconfigOf(world.cluster, releaseNamespace, 'openos-controller');
  await world.startOperator({ KUBECONFIG: kubeconfig, OPENOS_NAMESPACE: releaseNamespace });
  await world.createTenant('acme', spec);
  await world.tenantStatus('acme', 'Ready', ready);
});
afterAll(() => world?.stop());

const children: readonly (readonly [string, ObjectRef])[] = [
  ['NetworkPolicy', networkPolicyResource, 'openos-default-deny'] as const,
  ['NetworkPolicy', networkPolicyResource, 'openos-allow'] as const,
  ['LimitRange', limitRangeResource, 'openos-limits'] as const,
  ['ResourceQuota', resourceQuotaResource, 'openos-quota'] as const,
  ['RoleBinding', roleBindingResource, 'openos-tenant-owner'] as const,
  ['RoleBinding', roleBindingResource, 'openos-tenant-member'] as const,
].map(([kind, resource, name]) => [`${kind} ${name}`, { resource, name, namespace: 'acme' }]);

const find = (ref: ObjectRef) => world.cluster.client.get<StoredObject & Record<string, unknown>>(ref);

async function standing(ref: ObjectRef): Promise<StoredObject & Record<string, unknown>> {
  const object = await find(ref);
  if (object === undefined) throw new Error(`${ref.name} is not there`);
  return object;
}

const content = ({ metadata: { labels }, spec, roleRef, subjects }: StoredObject & Record<string, unknown>) => ({
  labels,
  spec,
  roleRef,
  subjects,
});

describe('a Tenant in full, by an operator with the rights of the chart and no others', () => {
  it('has everything it asks for in its namespace, and says so', async () => {
    for (const [, ref] of children) expect((await standing(ref)).metadata.labels?.['openos.dev/tenant']).toBe('acme');
    const { metadata } = await standing({ resource: namespaceResource, name: 'acme' });
    expect(metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    expect(metadata.annotations).toMatchObject({ 'openos.dev/allowed-runtime-classes': 'gvisor' });
    const status = await world.tenantStatus('acme', 'quota', ({ quota }) => quota?.used !== undefined);
    expect(status.quota?.hard).toEqual({ agents: '10', pools: '2', pods: '12', 'requests.cpu': '4000m' });
    expect(findCondition(status.conditions ?? [], 'NetworkIsolated')).toMatchObject({ status: 'True' });
  });

  it('lets its people in, and its pods reach DNS and what is allowed, no further', async () => {
    const can = (...args: readonly string[]) => kubectl('auth', 'can-i', '--as=mia', ...args).catch(() => 'no\n');
    expect(await can('create', 'agents.openos.dev', '-n', 'acme')).toBe('yes\n');
    for (const [verb, what] of [
      ['create', 'networkpolicies'],
      ['delete', 'resourcequotas'],
      ['patch', 'namespaces'],
    ] as const)
      expect([what, await can(verb, what, '-n', 'acme')]).toEqual([what, 'no\n']);
    expect(await can('patch', 'agents.openos.dev', '--subresource=status', '-n', 'acme')).toBe('no\n');
    const allow = await standing({ resource: networkPolicyResource, namespace: 'acme', name: 'openos-allow' });
    expect(allow.spec).toMatchObject({ ingress: [{ ports: [{ port: 8080 }] }], egress: [{ ports: [{}, {}] }] });
  });

  it('lets nobody of it give more than they have', async () => {
    const give = (role: string) =>
      kubectl('create', 'rolebinding', `give-${role}`, '-n', 'acme', `--clusterrole=${role}`, '--user=tom', '--as=mia');
    for (const role of ['cluster-admin', 'admin', 'edit', 'openos-controller'])
      await expect(give(role), role).rejects.toThrow(/forbidden/i);
    await give('openos-tenant-member');
    await kubectl('delete', 'rolebinding', 'give-openos-tenant-member', '-n', 'acme', '--as=mia');
  });

  it('comes to rest: nothing is written while nothing changes', async () => {
    const versions = async () =>
      Promise.all(children.map(async ([, ref]) => (await standing(ref)).metadata.resourceVersion));
    const before = await versions();
    await kubectl('annotate', 'tenant', 'acme', 'note=look-again', '--overwrite');
    await kubectl('annotate', 'namespace', 'acme', 'note=look-again', '--overwrite');
    const { metadata } =
      (await world.cluster.client.get<StoredObject>({ resource: tenantResource, name: 'acme' })) ?? {};
    expect(metadata?.annotations?.note).toBe('look-again');
    expect(await versions()).toEqual(before);
  });
});

/** Runs `tamper`, then waits until the object says what it said before. */
async function restored(ref: ObjectRef, tamper: () => Promise<unknown>): Promise<void> {
  const before = await standing(ref);
  await tamper();
  await eventually(
    `${ref.name} is as it was`,
    async () => {
      const now = await standing(ref);
      const same = JSON.stringify(content(now)) === JSON.stringify(content(before));
      return same && (now.metadata.resourceVersion !== before.metadata.resourceVersion || undefined);
    },
    restoredMs,
  );
}

describe.each(children)('%s is put back', (_title, ref) => {
  const kind = () => ref.resource.plural;

  it('when it was deleted', () => restored(ref, () => kubectl('delete', kind(), ref.name, '-n', 'acme')));

  it('when its label was taken off', () =>
    restored(ref, () => kubectl('label', kind(), ref.name, '-n', 'acme', 'openos.dev/tenant-')));

  it('when it was edited', () => {
    const edits: Readonly<Record<string, string>> = {
      networkpolicies: '{"spec":{"ingress":[{}],"egress":[{}],"policyTypes":["Egress"]}}',
      limitranges: '{"spec":{"limits":[{"type":"Container","default":{"cpu":"64"}}]}}',
      resourcequotas: '{"spec":{"hard":{"count/agents.openos.dev":"1000"}}}',
      rolebindings: '{"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"mallory"}]}',
    };
    const patch = edits[kind()] ?? '';
    return restored(ref, () => kubectl('patch', kind(), ref.name, '-n', 'acme', '--type=merge', '-p', patch));
  });
});

describe('the NetworkPolicies', () => {
  it.each(children.slice(0, 2))('%s is put back when it was aimed at other pods', (_title, ref) => {
    const patch = '{"spec":{"podSelector":{"matchLabels":{"no":"pod"}}}}';
    return restored(ref, () => kubectl('patch', 'networkpolicy', ref.name, '-n', 'acme', '--type=merge', '-p', patch));
  });
});

describe('what stands in the way', () => {
  it('a binding under our name that grants another role is replaced', async () => {
    const ref: ObjectRef = { resource: roleBindingResource, namespace: 'acme', name: 'openos-tenant-owner' };
    await restored(ref, async () => {
      await kubectl('delete', 'rolebinding', ref.name, '-n', 'acme', '--wait=false');
      await kubectl('create', 'rolebinding', ref.name, '-n', 'acme', '--clusterrole=view', '--user=mallory').catch(
        () => 'the operator was faster',
      );
    });
  });

  it('labels and allow-lists of the namespace are put back', async () => {
    const ref: ObjectRef = { resource: namespaceResource, name: 'acme' };
    const marks = async () => {
      const { labels, annotations } = (await standing(ref)).metadata;
      return JSON.stringify([
        labels?.['openos.dev/tenant'],
        labels?.['pod-security.kubernetes.io/enforce'],
        annotations?.['openos.dev/allowed-runtime-classes'],
      ]);
    };
    const before = await marks();
    await kubectl(
      'label',
      'namespace',
      'acme',
      'openos.dev/tenant=other',
      'pod-security.kubernetes.io/enforce=privileged',
      '--overwrite',
    );
    await eventually('labels are back', async () => (await marks()) === before, restoredMs);
    await kubectl('annotate', 'namespace', 'acme', 'openos.dev/allowed-runtime-classes=runc', '--overwrite');
    await eventually('the allow-list is back', async () => (await marks()) === before, restoredMs);
  });

  it('a spec the API server refuses is told in its words, the namespace stays closed, and a better one heals it', async () => {
    await world.createTenant('typo', {
      namespaces: [{ name: 'typo' }],
      network: { allowEgress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/99' } }] }] },
    });
    const status = await world.tenantStatus('typo', 'Stalled', ({ conditions = [] }) => isTrue(conditions, 'Stalled'));
    expect(findCondition(status.conditions ?? [], 'Ready')).toMatchObject({ status: 'False', reason: 'InvalidSpec' });
    expect(status.namespaces?.some((entry) => entry.ready)).not.toBe(true);
    await standing({ resource: networkPolicyResource, namespace: 'typo', name: 'openos-default-deny' });
    await kubectl('patch', 'tenant', 'typo', '--type=merge', '-p', '{"spec":{"network":null}}');
    await world.tenantStatus('typo', 'Ready', (shown) => ready(shown, 2));
  });
});

describe('what a Tenant says about the pods of its agents', () => {
  const image = 'registry.test/agent:1';
  const patch = (spec: object) => kubectl('patch', 'tenant', 'rules', '--type=merge', '-p', JSON.stringify({ spec }));
  const reasonOf = (name: string, reason: string) =>
    world.status('rules', name, reason, (status) => status.reason === reason);

  beforeAll(async () => {
    await world.createTenant('rules', {
      namespaces: [{ name: 'rules' }],
      nodeSelector: { type: 'kwok' },
      tolerations: [{ key: 'agents-only', operator: 'Exists' }],
      allowedRegistries: ['registry.test'],
      priorityClasses: { allowed: [] },
    });
    await world.tenantStatus('rules', 'Ready', ready);
  });

  it('decides where they run', async () => {
    const { metadata } = await world.createAgent('rules', 'placed', {
      image,
      nodeSelector: { 'kubernetes.io/os': 'linux' },
    });
    await eventually('the pod is there', async () => (await world.podsOf(metadata.uid)).length === 1);
    const [pod] = (await world.podsOf(metadata.uid)) as readonly (StoredObject & Record<string, unknown>)[];
    expect(pod?.spec).toMatchObject({ nodeSelector: { type: 'kwok', 'kubernetes.io/os': 'linux' } });
    const { tolerations } = (pod?.spec ?? {}) as { readonly tolerations?: readonly object[] };
    expect(tolerations).toContainEqual({ key: 'agents-only', operator: 'Exists' });
  });

  it('keeps an Agent that asks for more from starting, and says why, until it is allowed', async () => {
    await world.createAgent('rules', 'foreign', { image: 'elsewhere.test/agent:1' });
    await world.createAgent('rules', 'classy', { image, runtimeClassName: 'kata' });
    for (const name of ['foreign', 'classy']) {
      const { phase, message } = await reasonOf(name, 'NotAllowed');
      expect([name, phase]).toEqual([name, 'Pending']);
      expect(message).toContain(name === 'foreign' ? 'elsewhere.test' : 'kata');
    }
    await patch({ allowedRegistries: null });
    await world.ready('rules', 'foreign');
  });

  it('holds what would start, leaves alone what runs, and lets go on', async () => {
    await patch({ suspend: 'Hold', suspendReason: 'an audit' });
    const status = await world.tenantStatus('rules', 'Suspended', ({ phase }) => phase === 'Suspended');
    expect(findCondition(status.conditions ?? [], 'Suspended')).toMatchObject({ status: 'True', message: 'an audit' });
    expect(isTrue(status.conditions ?? [], 'Ready')).toBe(true);
    await world.createAgent('rules', 'late', { image });
    const held = await reasonOf('late', 'TenantSuspended');
    expect([held.phase, held.message?.includes('an audit')]).toEqual(['Pending', true]);
    expect((await world.ready('rules', 'foreign')).reason).toBe('AgentReady');
    await patch({ suspend: null, suspendReason: null });
    await world.ready('rules', 'late');
  });

  it('stops what runs under HoldAndDrain, without a failure, and starts it again afterwards', async () => {
    const { uid } = (await world.agent('rules', 'late'))?.metadata ?? { uid: '' };
    await patch({ suspend: 'HoldAndDrain', suspendReason: 'a move' });
    const drained = await world.status('rules', 'late', 'Suspended', ({ phase }) => phase === 'Suspended');
    expect([drained.reason, drained.message?.includes('a move')]).toEqual(['TenantSuspended', true]);
    expect(await world.podsOf(uid)).toEqual([]);
    await world.createAgent('rules', 'newer', { image });
    expect((await reasonOf('newer', 'TenantSuspended')).phase).toBe('Pending');
    await patch({ suspend: 'None', suspendReason: null });
    await world.ready('rules', 'newer');
    await world.ready('rules', 'late');
    const phases = (await world.recorded(uid, 'Ready')).map(({ phase }) => phase);
    expect(phases).toContain('Suspended');
    expect(phases.filter((phase) => phase === 'Failed' || phase === 'Recovering')).toEqual([]);
  });
});

describe('the sample with everything', () => {
  it('is Ready, with everything it asks for', async () => {
    await kubectl('apply', '-f', join(import.meta.dirname, '../config/samples/tenant-full.yaml'));
    const status = await world.tenantStatus('initech', 'Ready', ready);
    expect(status.phase).toBe('Active');
    for (const [, ref] of children) await standing({ ...ref, namespace: 'initech-agents' });
  });
});

describe('what a Tenant no longer asks for', () => {
  it('goes', async () => {
    const patch =
      '{"spec":{"owners":null,"quota":null,"limitRange":null,"network":{"isolation":"Unmanaged","allowIngress":null}}}';
    await kubectl('patch', 'tenant', 'acme', '--type=merge', '-p', patch);
    await eventually('nothing of it is left', async () => {
      const found = await Promise.all(children.map(([, ref]) => find(ref)));
      return found.every((object) => object === undefined);
    });
    const status = await world.tenantStatus('acme', 'Ready', (shown) => ready(shown, 2));
    expect(findCondition(status.conditions ?? [], 'NetworkIsolated')).toMatchObject({
      status: 'False',
      reason: 'Unmanaged',
    });
    expect(status.quota).toBeUndefined();
  });
});

describe('a Tenant that is deleted', () => {
  it('leaves its namespace closed and bounded, and ends the access it gave', async () => {
    await world.createTenant('leaver', { ...spec, namespaces: [{ name: 'leaver' }] });
    await world.tenantStatus('leaver', 'Ready', ready);
    await kubectl('delete', 'tenant', 'leaver', '--timeout=30s');
    const { metadata } = await standing({ resource: namespaceResource, name: 'leaver' });
    expect(metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    expect(metadata.labels).not.toHaveProperty(['openos.dev/tenant']);
    const left = await Promise.all(
      children.map(async ([, ref]) => ((await find({ ...ref, namespace: 'leaver' })) === undefined ? '' : ref.name)),
    );
    expect(left.filter(Boolean)).toEqual(['openos-default-deny', 'openos-allow', 'openos-limits', 'openos-quota']);
  });

  it('takes the namespace it made with it under deletionPolicy Delete, and not the one it adopted', async () => {
    await kubectl('create', 'namespace', 'guest');
    await kubectl('annotate', 'namespace', 'guest', 'openos.dev/allow-tenant=mover');
    await world.createTenant('mover', { namespaces: [{ name: 'mover' }, { name: 'guest' }], deletionPolicy: 'Delete' });
    await world.tenantStatus('mover', 'Ready', ready);
    await kubectl('delete', 'tenant', 'mover', '--timeout=50s');
    await eventually(
      'the namespace is gone',
      async () => (await find({ resource: namespaceResource, name: 'mover' })) === undefined,
      30_000,
    );
    expect((await standing({ resource: namespaceResource, name: 'guest' })).metadata.deletionTimestamp).toBeUndefined();
  });
});

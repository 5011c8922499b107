import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { annotations, finalizers, labels } from './api/v1alpha1/names.ts';
import type { TenantStatus } from './api/v1alpha1/tenant.ts';
import { findCondition } from './kernel/conditions.ts';
import type { KubernetesObject } from './kernel/object.ts';
import { namespaceResource } from './resources/builtin.ts';
import { agentResource, tenantResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import { type StoredTenant, startWorld, type World } from './testkit/world.ts';

const podSecurity = 'pod-security.kubernetes.io/enforce';

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
});
afterAll(() => world?.stop());

const namespace = (name: string) => world.cluster.client.get({ resource: namespaceResource, name });
const isReady = ({ conditions = [] }: TenantStatus) => findCondition(conditions, 'Ready')?.status === 'True';

async function labelled(name: string, tenant: string): Promise<void> {
  await eventually(
    `${name} carries its labels`,
    async () => {
      const { metadata } = (await namespace(name)) ?? {};
      return metadata?.labels?.[labels.tenant] === tenant && metadata.labels[podSecurity] === 'restricted';
    },
    5_000,
  );
}

describe('a namespace that exists', () => {
  it('is not taken without permission, and is with it', async () => {
    const metadata = { name: 'theirs', labels: { keep: 'me' } };
    await world.cluster.client.create(namespaceResource, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata,
    } as KubernetesObject);
    await world.createTenant('taker', { namespaces: [{ name: 'theirs' }] });
    const refused = await world.tenantStatus('taker', 'refused', ({ conditions = [] }) => {
      return findCondition(conditions, 'Ready')?.reason === 'NamespaceNotAllowed';
    });
    expect(refused.namespaces ?? []).toEqual([]);
    expect(findCondition(refused.conditions ?? [], 'Reconciling')).toMatchObject({ status: 'True' });
    expect((await namespace('theirs'))?.metadata.labels).not.toHaveProperty([labels.tenant]);

    await world.cluster.kubectl('annotate', 'namespace', 'theirs', `${annotations.allowTenant}=taker`);
    const status = await world.tenantStatus('taker', 'Ready', isReady);
    expect(status.namespaces).toEqual([
      { name: 'theirs', uid: (await namespace('theirs'))?.metadata.uid, ready: true },
    ]);
    await labelled('theirs', 'taker');
    expect((await namespace('theirs'))?.metadata.labels).toHaveProperty('keep', 'me');
  });

  it('of another Tenant stays with that one', async () => {
    await world.tenant('owner');
    await world.createTenant('robber', { namespaces: [{ name: 'owner' }] });
    await world.tenantStatus('robber', 'refused', ({ conditions = [] }) => {
      return findCondition(conditions, 'Ready')?.reason === 'NamespaceTaken';
    });
    await labelled('owner', 'owner');
    await world.delete({ resource: tenantResource, name: 'robber' });
    await eventually('the robber is gone', async () => {
      return (await world.cluster.client.get({ resource: tenantResource, name: 'robber' })) === undefined;
    });
    await labelled('owner', 'owner');
  });
});

describe('a namespace of a Tenant', () => {
  it('that is deleted by hand is made again, and Agents start in it', async () => {
    await world.tenant('phoenix');
    const { uid } = (await world.createAgent('phoenix', 'old')).metadata;
    await world.ready('phoenix', 'old');
    const before = (await namespace('phoenix'))?.metadata.uid;
    await world.cluster.kubectl('delete', 'namespace', 'phoenix', '--wait=false');
    const made = await eventually(
      'another namespace of this name',
      async () => {
        const now = (await namespace('phoenix'))?.metadata;
        return now !== undefined && now.uid !== before ? now.uid : undefined;
      },
      30_000,
    );
    await world.tenantStatus('phoenix', 'Ready in the new one', (status) => {
      return isReady(status) && status.namespaces?.[0]?.uid === made;
    });
    await world.recorded(uid, 'Deleted');
    await world.createAgent('phoenix', 'new');
    await world.ready('phoenix', 'new');
  });

  it('whose labels are stripped or changed has them back within five seconds', async () => {
    await world.tenant('stripped');
    await world.createAgent('stripped', 'calm');
    const { podRef } = await world.ready('stripped', 'calm');
    await world.cluster.kubectl(
      'label',
      'namespace',
      'stripped',
      `${labels.tenant}-`,
      `${podSecurity}=privileged`,
      '--overwrite',
    );
    await labelled('stripped', 'stripped');
    await world.tenantStatus('stripped', 'Ready', isReady);
    expect(await world.ready('stripped', 'calm')).toMatchObject({ reason: 'AgentReady', podRef });
  });

  it('that is no longer listed is let go', async () => {
    await world.createTenant('shrinking', { namespaces: [{ name: 'keeps' }, { name: 'drops' }] });
    await world.tenantStatus('shrinking', 'Ready', isReady);
    const patch = '[{"op":"remove","path":"/spec/namespaces/1"}]';
    await world.cluster.kubectl('patch', 'tenant', 'shrinking', '--type=json', '-p', patch);
    await world.tenantStatus('shrinking', 'holds one', ({ namespaces = [] }) => namespaces.length === 1);
    await eventually('the labels are gone', async () => {
      const found = (await namespace('drops'))?.metadata;
      return found !== undefined && found.labels?.[labels.tenant] === undefined;
    });
    await labelled('keeps', 'shrinking');
  });
});

describe('a Tenant that is deleted', () => {
  it('leaves its namespaces standing, without its label', async () => {
    await world.tenant('leaving');
    const { uid } = (await namespace('leaving'))?.metadata ?? {};
    await world.delete({ resource: tenantResource, name: 'leaving' });
    await eventually('it is gone', async () => {
      return (await world.cluster.client.get({ resource: tenantResource, name: 'leaving' })) === undefined;
    });
    const left = (await namespace('leaving'))?.metadata;
    expect(left?.uid).toBe(uid);
    expect(left?.deletionTimestamp).toBeUndefined();
    expect(left?.labels).not.toHaveProperty([labels.tenant]);
    // What runs there stays, so what guards it stays too.
    expect(left?.labels).toHaveProperty([podSecurity], 'restricted');
  });

  it('waits for its Agents, which run on, and goes after the last of them', async () => {
    await world.tenant('waiting');
    await world.createAgent('waiting', 'last');
    const { podRef } = await world.ready('waiting', 'last');
    const tenant = () => world.cluster.client.get<StoredTenant>({ resource: tenantResource, name: 'waiting' });
    await world.tenantStatus('waiting', 'protected', () => true);
    expect((await tenant())?.metadata.finalizers).toContain(finalizers.tenantProtection);
    await world.delete({ resource: tenantResource, name: 'waiting' });
    await world.tenantStatus('waiting', 'Terminating', ({ phase }) => phase === 'Terminating');
    expect(await world.ready('waiting', 'last')).toMatchObject({ podRef });

    await world.delete({ resource: agentResource, namespace: 'waiting', name: 'last' });
    await eventually('the Tenant is gone', async () => (await tenant()) === undefined, 20_000);
  });
});

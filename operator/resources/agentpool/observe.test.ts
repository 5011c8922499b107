import { describe, expect, test } from 'vitest';
import type { StoredObject } from '../../kernel/object.ts';
import { aNamespace, aTenant, at, t0, traceparent } from '../../testkit/builders.ts';
import type { PoolRow } from './history.ts';
import type { MemberObject } from './member.ts';
import { observePool, type PoolSources } from './observe.ts';

const apiVersion = 'openos.dev/v1alpha1';

function aPool(
  over: { readonly deletionTimestamp?: string; readonly finalizers?: readonly string[]; readonly spec?: unknown } = {},
) {
  const { spec = { template: { spec: { image: 'a' } } }, ...metadata } = over;
  return {
    apiVersion,
    kind: 'AgentPool',
    metadata: {
      name: 'herd',
      namespace: 'research',
      uid: 'pool-uid',
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: at(t0),
      ...metadata,
    },
    spec,
  } as StoredObject;
}

const member: MemberObject = {
  apiVersion,
  kind: 'Agent',
  metadata: {
    name: 'herd-1',
    namespace: 'research',
    uid: 'agent-uid',
    resourceVersion: '1',
    ownerReferences: [{ apiVersion, kind: 'AgentPool', name: 'herd', uid: 'pool-uid', controller: true }],
  },
  spec: { image: 'a' },
};

const row: PoolRow = {
  seq: 1,
  to: 'Created',
  observedAt: t0,
  tenantId: 'acme',
  traceparent,
  detail: { namespace: 'research', name: 'herd', replicas: 1, revision: 'r' },
};

function sources(over: Partial<PoolSources> = {}): PoolSources {
  const namespaces = [{ name: 'research', uid: 'ns-uid', ready: true }];
  return {
    tenantsOfNamespace: () => [aTenant({ status: { observedGeneration: 1, namespaces } })],
    namespace: () => aNamespace(),
    synced: () => true,
    pool: () => aPool(),
    membersOf: () => [member],
    isStanding: async () => false,
    isReleased: async () => false,
    outstanding: () => false,
    room: async () => undefined,
    refusal: () => undefined,
    history: async () => ({ kind: 'known', last: row }),
    newTraceparent: () => 'new',
    ...over,
  };
}

const look = (over: Partial<PoolSources> = {}) => observePool('pool-uid', sources(over));

describe('a look at a pool', () => {
  test('holds the object, its Agents, its tenant and its trace', async () => {
    expect(await look()).toMatchObject({
      kind: 'observed',
      value: {
        namespace: 'research',
        name: 'herd',
        pool: { kind: 'AgentPool' },
        orphaning: false,
        tenancy: { kind: 'member', tenant: 'acme' },
        members: [{ name: 'herd-1' }],
        traceparent,
      },
    });
  });

  test('says what is wrong with a spec', async () => {
    expect(await look({ pool: () => aPool({ spec: {} }) })).toMatchObject({
      value: { invalid: expect.stringContaining('template') },
    });
  });

  test('takes one that is going for gone, and knows whether its Agents are to stay', async () => {
    const going = aPool({ deletionTimestamp: at(t0), finalizers: ['foregroundDeletion'] });
    expect(await look({ pool: () => going })).toMatchObject({ value: { pool: undefined, orphaning: false } });
    const orphaning = aPool({ deletionTimestamp: at(t0), finalizers: ['orphan'] });
    expect(await look({ pool: () => orphaning })).toMatchObject({ value: { pool: undefined, orphaning: true } });
  });

  test('finds out where a pool was that is gone', async () => {
    expect(await look({ pool: () => undefined })).toMatchObject({
      value: { pool: undefined, namespace: 'research', name: 'herd' },
    });
    const unrecorded = { pool: () => undefined, history: async () => ({ kind: 'known', last: undefined }) as const };
    expect(await look(unrecorded)).toMatchObject({ value: { namespace: 'research', name: 'herd' } });
  });

  const waits: readonly (readonly [string, Partial<PoolSources>])[] = [
    ['while a cache is behind', { synced: () => false }],
    ['while a create or delete of ours is not seen', { outstanding: () => true }],
    ['when the cache alone says that the pool is gone', { pool: () => undefined, isStanding: async () => true }],
    ['when the cache still shows Agents that were let go', { pool: () => undefined, isReleased: async () => true }],
  ];
  test.each(waits)('waits %s', async (_, over) => {
    expect(await look(over)).toMatchObject({ kind: 'requeue' });
  });

  const ends: readonly (readonly [string, Partial<PoolSources>])[] = [
    ['was never recorded', { history: async () => ({ kind: 'known', last: undefined }) }],
    ['is recorded as deleted', { history: async () => ({ kind: 'known', last: { ...row, to: 'Deleted' } }) }],
  ];
  test.each(ends)('ends when nothing is left of one that %s', async (_, over) => {
    expect(await look({ pool: () => undefined, membersOf: () => [], ...over })).toEqual({ kind: 'settled' });
  });
});

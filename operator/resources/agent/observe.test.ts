import { describe, expect, test } from 'vitest';
import type { StoredObject } from '../../kernel/object.ts';
import {
  aHistory,
  aNamespace,
  anAgent,
  aPath,
  aPod,
  aReadyPath,
  aTenant,
  at,
  databaseAway,
  t0,
  traceparent,
} from '../../testkit/builders.ts';
import { type AgentSources, observeAgent } from './observe.ts';

const fresh = '00-11111111111111111111111111111111-2222222222222222-01';
const holder = aTenant({
  status: { observedGeneration: 1, namespaces: [{ name: 'research', uid: 'ns-uid', ready: true }] },
});

function sources(overrides: Partial<AgentSources> = {}): AgentSources {
  return {
    synced: () => true,
    tenantsOfNamespace: () => [holder],
    namespace: () => aNamespace(),
    agent: () => anAgent() as unknown as StoredObject,
    isStanding: async () => false,
    podsOf: () => [],
    podNamed: async () => undefined,
    runtimeClassExists: () => true,
    missingHandler: () => undefined,
    nodeTrouble: () => undefined,
    isNodeGone: async () => false,
    claimsOf: () => [],
    policyOf: () => undefined,
    evictedPod: () => undefined,
    ackObstacle: () => undefined,
    unshown: () => 0,
    quota: async () => undefined,
    podOnItsWay: () => false,
    history: async () => aHistory(),
    brokerAvailable: () => true,
    newTraceparent: () => fresh,
    defaultRuntimeClass: 'gvisor',
    ...overrides,
  };
}

async function look(overrides: Partial<AgentSources> = {}) {
  const observation = await observeAgent('agent-uid', sources(overrides));
  if (observation.kind !== 'observed') throw new Error(`nothing was observed: ${observation.kind}`);
  return observation.value;
}

const kindOf = async (overrides: Partial<AgentSources>) => (await observeAgent('agent-uid', sources(overrides))).kind;
const raw = (overrides: object) => () => ({ ...anAgent(), ...overrides }) as unknown as StoredObject;

describe('nothing is observed', () => {
  test('while a cache is behind: what is not in it may only be unknown', async () => {
    expect(await kindOf({ synced: () => false })).toBe('requeue');
  });

  test('of an agent of which no object, no pod and no record is left', async () => {
    expect(await kindOf({ agent: () => undefined })).toBe('settled');
  });

  test('of an agent whose story is over', async () => {
    const history = async () => aPath(['Created'], ['Terminating'], ['Deleted']);
    expect(await kindOf({ agent: () => undefined, history })).toBe('settled');
  });
});

describe('an agent the cache does not know', () => {
  const unknown = { agent: () => undefined, history: async () => aReadyPath() };

  test('is not taken for gone while the API server still has it', async () => {
    const asked: string[] = [];
    const isStanding = async (...identity: readonly string[]) => {
      asked.push(identity.join(' '));
      return true;
    };
    expect(await kindOf({ ...unknown, isStanding })).toBe('requeue');
    expect(asked).toEqual(['agent-uid research scout']);
  });

  test('is asked for by the name its pod knows when the record cannot be read', async () => {
    const isStanding = async (_uid: string, _namespace: string, name: string) => name === 'scout';
    const observation = { ...unknown, isStanding, podsOf: () => [aPod()], history: async () => databaseAway };
    expect(await kindOf(observation)).toBe('requeue');
  });

  test('is gone when the API server has none, or a namesake', async () => {
    expect((await look(unknown)).agent).toBeUndefined();
  });

  test('is not asked for again once its end is recorded', async () => {
    const isStanding = async () => {
      throw new Error('asked');
    };
    const history = async () => aPath(['Created'], ['Terminating']);
    expect((await look({ agent: () => undefined, history, isStanding })).agent).toBeUndefined();
  });
});

describe('an agent whose pod has vanished', () => {
  const vanished = { history: async () => aReadyPath() };

  test('is not taken for one that lost its pod when it is gone itself', async () => {
    expect(await kindOf({ ...vanished, isStanding: async () => false })).toBe('requeue');
  });

  test('has lost it when the API server still has the Agent', async () => {
    expect((await look({ ...vanished, isStanding: async () => true })).pods).toEqual([]);
  });

  test('has not when the API server has the pod as we made it: the cache is behind', async () => {
    expect(await kindOf({ ...vanished, isStanding: async () => true, podNamed: async () => aPod() })).toBe('requeue');
  });

  test.each<[string, object]>([
    ['its owner', { ownerReferences: [] }],
    ['its label', { labels: {} }],
  ])('is shown the one that lost %s', async (_what, change) => {
    const pod = aPod();
    const disowned = { ...pod, metadata: { ...pod.metadata, ...change } };
    const asked: string[] = [];
    const podNamed = async (namespace: string, name: string) => {
      asked.push(`${namespace}/${name}`);
      return disowned;
    };
    expect((await look({ ...vanished, isStanding: async () => true, podNamed })).pods).toEqual([disowned]);
    expect(asked).toEqual([`research/${pod.metadata?.name}`]);
  });
});

describe('an agent that is gone is still ours', () => {
  test('while its record is not finished: it keeps its name and place', async () => {
    const observed = await look({ agent: () => undefined, history: async () => aReadyPath() });
    expect(observed).toMatchObject({ agent: undefined, namespace: 'research', name: 'scout' });
  });

  test('while a pod of it is there, also with the database away', async () => {
    const observed = await look({ agent: () => undefined, podsOf: () => [aPod()], history: async () => databaseAway });
    expect(observed).toMatchObject({ agent: undefined, namespace: 'research' });
  });

  test('when it is only on its way out', async () => {
    const going = { metadata: { ...anAgent().metadata, deletionTimestamp: at(t0) } };
    expect((await look({ agent: raw(going) })).agent).toBeUndefined();
  });
});

describe('the runtime class', () => {
  const tenant = aTenant({
    ...holder,
    spec: { runtimeClasses: { default: 'kata' } },
    ...(holder.status && { status: holder.status }),
  });

  test("is the agent's own, else the Tenant's, else the operator's", async () => {
    const own = raw({ spec: { image: 'x', runtimeClassName: 'own' } });
    const name = async (overrides: Partial<AgentSources>) => (await look(overrides)).runtimeClass.name;
    expect(await name({ agent: own, tenantsOfNamespace: () => [tenant] })).toBe('own');
    expect(await name({ tenantsOfNamespace: () => [tenant] })).toBe('kata');
    expect(await name({})).toBe('gvisor');
  });

  test('comes with those the Tenant allows, when it is none of them', async () => {
    const own = raw({ spec: { image: 'x', runtimeClassName: 'own' } });
    const allowed = async (overrides: Partial<AgentSources>) => (await look(overrides)).runtimeClass.allowedInstead;
    expect(await allowed({ agent: own })).toEqual(['gvisor']);
    expect(await allowed({ agent: own, tenantsOfNamespace: () => [tenant] })).toEqual(['kata']);
    expect(await allowed({ tenantsOfNamespace: () => [tenant] })).toBeUndefined();
    expect(await allowed({ agent: own, tenantsOfNamespace: () => [] })).toBeUndefined();
  });

  test('is looked up by that name', async () => {
    expect((await look({ runtimeClassExists: (name) => name !== 'gvisor' })).runtimeClass).toEqual({
      name: 'gvisor',
      exists: false,
    });
  });
});

test('a spec that does not fit the contract is named as such, and the object is still there', async () => {
  const observed = await look({ agent: raw({ spec: { image: 7 } }) });
  expect(observed.invalid).toContain('spec.image');
  expect(observed.agent?.metadata.uid).toBe('agent-uid');
});

test('a trace lives as long as its agent: the recorded one, or a new one for the first pass', async () => {
  expect((await look()).traceparent).toBe(fresh);
  expect((await look({ history: async () => aReadyPath(), podsOf: () => [aPod()] })).traceparent).toBe(traceparent);
});

test('the record is read before the caches, which are then at least as new', async () => {
  const order: string[] = [];
  await look({
    history: async () => {
      order.push('record');
      return aHistory();
    },
    agent: () => {
      order.push('agent');
      return anAgent() as unknown as StoredObject;
    },
    podsOf: () => {
      order.push('pods');
      return [];
    },
  });
  expect(order).toEqual(['record', 'agent', 'pods']);
});

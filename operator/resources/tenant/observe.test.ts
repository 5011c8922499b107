import { describe, expect, test } from 'vitest';
import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import type { StoredObject } from '../../kernel/object.ts';
import { aNamespace, aTenant, aTenantHistory, type TenantOverrides } from '../../testkit/builders.ts';
import { observeTenant, type TenantSources } from './observe.ts';

const research = aNamespace();

function sources(overrides: Partial<TenantSources> & { readonly of?: TenantOverrides } = {}): TenantSources {
  const { of, ...rest } = overrides;
  return {
    synced: () => true,
    tenant: () => aTenant(of) as StoredObject,
    namespace: (name) => (name === 'research' ? research : undefined),
    tenantsOfNamespace: () => [],
    childrenOf: () => [],
    defaultRuntimeClass: 'gvisor',
    protectionMs: 60_000,
    agentsIn: () => [],
    poolsIn: () => [],
    history: async () => aTenantHistory(of?.uid === undefined ? [{}] : []),
    standing: async () => 'tenant-uid',
    newTraceparent: () => 'new',
    ...rest,
  };
}

async function look(overrides: Parameters<typeof sources>[0] = {}) {
  const observation = await observeTenant('acme', sources(overrides));
  if (observation.kind !== 'observed') throw new Error('nothing was observed');
  return observation.value;
}

const status = (...names: readonly string[]) => ({
  observedGeneration: 1,
  namespaces: names.map((name) => ({ name, uid: name === 'research' ? 'ns-uid' : `${name}-uid`, ready: true })),
});

test('nothing is said of a Tenant while a cache is behind', async () => {
  expect((await observeTenant('acme', sources({ synced: () => false }))).kind).toBe('requeue');
});

test('a Tenant that is not there needs nothing', async () => {
  const history = async () => aTenantHistory([]);
  expect(await observeTenant('acme', sources({ tenant: () => undefined, history }))).toEqual({ kind: 'settled' });
});

describe('a Tenant that is gone and has rows', () => {
  const gone = { tenant: () => undefined, standing: async () => undefined };

  test('is observed, that its end may be told', async () => {
    expect((await look(gone)).history).toEqual(aTenantHistory());
    expect(
      (await look({ ...gone, history: async () => aTenantHistory([{ traceparent: 'its own' }]) })).traceparent,
    ).toBe('its own');
  });

  test('is not believed to be when the API server still has it', async () => {
    const behind = sources({ ...gone, standing: async () => 'tenant-uid' });
    expect((await observeTenant('acme', behind)).kind).toBe('requeue');
  });

  test('is observed beside another of its name that stands', async () => {
    const { tenant } = await look({
      of: { uid: 'second-uid' },
      history: async () => aTenantHistory(),
      standing: async () => 'second-uid',
    });
    expect(tenant?.metadata.uid).toBe('second-uid');
  });

  test('needs nothing while the database is away', async () => {
    const history = async () => ({ kind: 'unavailable', message: 'away' }) as const;
    expect(await observeTenant('acme', sources({ ...gone, history }))).toEqual({ kind: 'settled' });
  });
});

test('every namespace the spec names is looked up', async () => {
  const spec = { namespaces: [{ name: 'research' }, { name: 'lab' }] };
  expect((await look({ of: { spec } })).namespaces).toEqual([
    { name: 'research', object: research, takenBy: undefined, children: [] },
    { name: 'lab', object: undefined, takenBy: undefined, children: [] },
  ]);
});

test('another Tenant that holds a namespace is named; the Tenant itself is none', async () => {
  const holders: readonly Tenant[] = [aTenant(), aTenant({ name: 'other', uid: 'other-uid' })];
  expect((await look({ tenantsOfNamespace: () => holders })).namespaces[0]?.takenBy).toBe('other');
  expect((await look({ tenantsOfNamespace: () => [aTenant()] })).namespaces[0]?.takenBy).toBeUndefined();
});

describe('a namespace is released', () => {
  const spec = { namespaces: [] };

  test('when it is held, no longer named, and still the same one', async () => {
    expect((await look({ of: { spec, status: status('research') } })).released).toEqual([
      { object: research, children: [] },
    ]);
  });

  test('but not when it is gone, or another has its name, or it is still named', async () => {
    expect((await look({ of: { spec, status: status('lab') } })).released).toEqual([]);
    const again = aNamespace({ uid: 'second-uid' });
    expect((await look({ of: { spec, status: status('research') }, namespace: () => again })).released).toEqual([]);
    expect((await look({ of: { status: status('research') } })).released).toEqual([]);
  });
});

test('agents are counted over all namespaces that are held', async () => {
  const phases: Readonly<Record<string, readonly (string | undefined)[]>> = {
    research: ['Ready', 'Failed', undefined],
    lab: ['Ready', 'Suspended'],
  };
  const { agents, pools, waiting } = await look({
    of: { status: status('research', 'lab') },
    agentsIn: (name) => (phases[name] ?? []).map((phase) => ({ phase, waits: phase === undefined })),
    poolsIn: (name) => (name === 'lab' ? [{ waits: true }, { waits: false }] : []),
  });
  expect(agents).toEqual({ total: 5, ready: 2, failed: 1, suspended: 1 });
  expect([pools, waiting]).toEqual([2, { agents: 1, pools: 1 }]);
});

test('a spec that does not fit the contract is named as such, and the object is still there', async () => {
  const broken = { ...aTenant(), spec: { namespaces: [{ name: 7 }] } };
  const observed = await look({ tenant: () => broken as unknown as StoredObject });
  expect(observed.invalid).toContain('spec.namespaces.0.name');
  expect(observed.tenant?.metadata.uid).toBe('tenant-uid');
});

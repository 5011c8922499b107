import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import { agentSpecSchema } from '../../api/v1alpha1/agent.ts';
import { aClaim, anAgent, at, t0 } from '../../testkit/builders.ts';
import { createClaims, emptyClaims, leavingClaim, surplusClaims } from './claims.ts';

const image = 'registry.test/scout:1';
const template = (name: string) => ({ metadata: { name }, spec: { storageClassName: 'fast' } });
const spec: AgentSpec = { image, volumeClaimTemplates: [template('data'), template('logs')] };
const agent = anAgent({ spec });
const retained = (name: string) => ({ 'openos.dev/retained-for': name });
const ownedBy = (uid: string, name = 'scout') => ({
  annotations: {},
  ownerReferences: [{ apiVersion: 'openos.dev/v1alpha1', kind: 'Agent', name, uid, controller: true }],
});

const created = (...args: Parameters<typeof createClaims>) =>
  createClaims(...args).map((action) => (action.kind === 'create' ? action.object : undefined));

describe('claims that are made', () => {
  test('are named after template and Agent, and kept for that name unless the policy says otherwise', () => {
    expect(created(agent, 'acme', [])).toMatchObject([
      {
        kind: 'PersistentVolumeClaim',
        metadata: {
          name: 'data-scout',
          namespace: 'research',
          labels: { 'openos.dev/agent': 'scout', 'openos.dev/tenant': 'acme' },
          annotations: retained('scout'),
        },
        spec: { storageClassName: 'fast' },
      },
      { metadata: { name: 'logs-scout' } },
    ]);
    expect(created(agent, 'acme', [])[0]?.metadata.ownerReferences).toBeUndefined();
  });

  test('belong to the Agent where they go with it', () => {
    const policy = { whenDeleted: 'Delete' } as const;
    const going = anAgent({ spec: { ...spec, persistentVolumeClaimRetentionPolicy: policy } });
    const [data] = created(going, 'acme', []);
    expect(data?.metadata.ownerReferences).toMatchObject([{ uid: 'agent-uid', controller: true }]);
    expect(data?.metadata.annotations).toEqual({});
  });

  test("carry the template's labels and annotations, and none under the operator's prefix", () => {
    const metadata = {
      name: 'data',
      labels: { a: 'b', 'openos.dev/tenant': 'forged' },
      annotations: { c: 'd', ...retained('x') },
    };
    const [data] = created(anAgent({ spec: { image, volumeClaimTemplates: [{ metadata, spec: {} }] } }), 'acme', []);
    expect(data?.metadata.labels).toMatchObject({ a: 'b', 'openos.dev/tenant': 'acme' });
    expect(data?.metadata.annotations).toEqual({ c: 'd', ...retained('scout') });
  });

  test('are those that are missing; one that is not ours is missing, and the server says that its name is taken', () => {
    const names = (...claims: Parameters<typeof aClaim>[0][]) =>
      created(agent, 'acme', claims.map(aClaim)).map((claim) => claim?.metadata.name);
    expect(names({})).toEqual(['logs-scout']);
    expect(names(ownedBy('agent-uid'))).toEqual(['logs-scout']);
    expect(names({ annotations: {} })).toEqual(['data-scout', 'logs-scout']);
    expect(names({ annotations: retained('other') })).toEqual(['data-scout', 'logs-scout']);
    expect(names({ ...ownedBy('another-uid'), annotations: retained('scout') })).toEqual(['data-scout', 'logs-scout']);
  });
});

describe('a claim is on its way out', () => {
  test.each<[string, Parameters<typeof aClaim>[0], string | undefined]>([
    ['when it is being deleted', { deletionTimestamp: at(t0) }, 'data-scout'],
    ['when it goes with an Agent of the same name before this one', ownedBy('earlier-uid'), 'data-scout'],
    ['not when it stays', {}, undefined],
    ["not when it is another Agent's of which the name only ends alike", ownedBy('other-uid', 'a-scout'), undefined],
    ['not when the Agent has no use for it', { name: 'old-scout', deletionTimestamp: at(t0) }, undefined],
  ])('%s', (_name, claim, expected) => {
    expect(leavingClaim(agent, [aClaim(claim)])).toBe(expected);
  });
});

test('a claim without a volume is not retained, whose Agent is gone; a stranger is left alone', () => {
  const owner = { name: 'scout', uid: 'agent-uid' };
  const uids = (...claims: Parameters<typeof aClaim>[0][]) => emptyClaims(owner, claims.map(aClaim)).length;
  expect(uids({ phase: 'Pending' })).toBe(1);
  expect(uids({ phase: 'Bound' }, { phase: 'Lost' })).toBe(0);
  expect(uids({ phase: 'Pending', annotations: {} }, { phase: 'Pending', annotations: retained('b-scout') })).toBe(0);
});

describe('while the Agent is suspended', () => {
  const surplus = (changes: AgentSpec) => surplusClaims(anAgent({ spec: { ...spec, ...changes } }), [aClaim()]).length;
  const policy = { persistentVolumeClaimRetentionPolicy: { whenScaled: 'Delete' } } as const;

  test('its claims stay, unless whenScaled says Delete', () => {
    expect(surplus({ operatingMode: 'Suspended' })).toBe(0);
    expect(surplus({ operatingMode: 'Suspended', ...policy })).toBe(1);
  });

  test('by its Tenant and not by its own wish, its claims stay', () => {
    expect(surplus(policy)).toBe(0);
  });
});

test('a claim template is what the contract says', () => {
  expect(agentSpecSchema.safeParse(spec).success).toBe(true);
});

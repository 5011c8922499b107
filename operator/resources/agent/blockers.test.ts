import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import { aClaim, anAgent, anObservedAgent, aPod, at, t0 } from '../../testkit/builders.ts';
import type { TenantRules } from '../tenancy.ts';
import { blockerOf } from './blockers.ts';

const image = 'registry.test/scout:1';
const noTenant = { tenancy: { kind: 'none' } } as const;
const noRuntime = { runtimeClass: { name: 'gvisor', exists: false } } as const;

test('nothing stands in the way in a healthy world', () => {
  expect(blockerOf(anObservedAgent())).toBeUndefined();
});

test('nothing stands in the way of an agent that is gone', () => {
  expect(blockerOf(anObservedAgent({ agent: undefined }))).toBeUndefined();
});

describe('an agent is kept from starting by', () => {
  test('a spec that cannot be used: only its author helps', () => {
    expect(blockerOf(anObservedAgent({ invalid: 'spec.image: too long' }))).toMatchObject({
      reason: 'InvalidSpec',
      onlyByUser: true,
    });
  });

  test('a namespace without a Tenant: told by TenantReady, others can cure it', () => {
    expect(blockerOf(anObservedAgent(noTenant))).toMatchObject({
      reason: 'TenantNotFound',
      condition: 'TenantReady',
      onlyByUser: false,
    });
  });

  test('a RuntimeClass that does not exist: told by IsolationReady, others can cure it', () => {
    expect(blockerOf(anObservedAgent(noRuntime))).toMatchObject({
      reason: 'RuntimeClassNotFound',
      condition: 'IsolationReady',
      onlyByUser: false,
    });
  });

  test('a RuntimeClass whose handler no node offers: told by IsolationReady, others can cure it', () => {
    const runtimeClass = { name: 'gvisor', exists: true, missingHandler: 'runsc' };
    const blocker = blockerOf(anObservedAgent({ runtimeClass }));
    expect(blocker).toMatchObject({ reason: 'RuntimeHandlerMissing', condition: 'IsolationReady', onlyByUser: false });
    expect(blocker?.message).toContain('"runsc"');
  });

  test('traffic that the Tenant does not allow, told by the rule', () => {
    const spec: AgentSpec = { image, networkPolicy: { ingress: [], egress: [{ ports: [{ port: 53 }] }] } };
    const blocker = blockerOf(anObservedAgent({ agent: anAgent({ spec }) }));
    expect(blocker).toMatchObject({ reason: 'NotAllowed', condition: 'TenantReady', onlyByUser: false });
    expect(blocker?.message).toContain('spec.networkPolicy.egress[0]');
  });

  test('a claim on its way out, unless a pod of ours is what keeps it', () => {
    const agent = anAgent({
      spec: { image, volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: {} }] },
    });
    const claims = [aClaim({ deletionTimestamp: at(t0) })];
    expect(blockerOf(anObservedAgent({ agent, claims }))).toMatchObject({ reason: 'ClaimTerminating' });
    expect(blockerOf(anObservedAgent({ agent, claims, pods: [aPod({ agent })] }))).toBeUndefined();
    expect(blockerOf(anObservedAgent({ agent, claims: [aClaim()] }))).toBeUndefined();
  });
});

describe('a Tenant keeps its agents from starting', () => {
  const under = (rules: TenantRules, spec: AgentSpec = { image }) =>
    blockerOf(anObservedAgent({ agent: anAgent({ spec }), tenancy: { kind: 'member', tenant: 'acme', rules } }));

  test('on hold: nobody is stalled by that, and its reason is told', () => {
    const blocker = under({ suspend: 'Hold', suspendReason: 'unpaid' });
    expect(blocker).toMatchObject({ reason: 'TenantSuspended', onlyByUser: false });
    expect(blocker).not.toHaveProperty('condition');
    expect(blocker?.message).toContain('unpaid');
    expect(under({ suspend: 'None' })).toBeUndefined();
  });

  test('of a runtime class it does not allow', () => {
    const runtimeClass = { name: 'runc', exists: true, allowedInstead: ['gvisor'] };
    expect(blockerOf(anObservedAgent({ runtimeClass }))).toMatchObject({
      reason: 'NotAllowed',
      condition: 'IsolationReady',
      onlyByUser: false,
    });
  });

  test.each<[string, AgentSpec, boolean]>([
    ['none', { image }, false],
    ['an allowed one', { image, priorityClassName: 'low' }, false],
    ['another', { image, priorityClassName: 'high' }, true],
    ['another in a template', { template: { spec: { priorityClassName: 'high', containers: [] } } }, true],
  ])('of a priority it does not allow: one that names %s', (_name, spec, expected) => {
    const blocker = under({ priorityClasses: { allowed: ['low'] } }, spec);
    expect(blocker?.reason).toBe(expected ? 'NotAllowed' : undefined);
  });

  test.each<[string, AgentSpec, boolean]>([
    ['the short form', { image: 'ghcr.io/acme/a' }, false],
    ['the short form from elsewhere', { image: 'evil.test/a' }, true],
    ['an init container', podOf({ initContainers: [{ name: 'i', image: 'evil.test/a' }] }), true],
    ['a volume', podOf({ volumes: [{ name: 'v', image: { reference: 'evil.test/a' } }] }), true],
    ['a template', podOf({}), false],
  ])('of an image from a registry it does not allow: %s', (_name, spec, expected) => {
    const blocker = under({ allowedRegistries: ['ghcr.io/acme'] }, spec);
    expect(blocker?.reason).toBe(expected ? 'NotAllowed' : undefined);
  });
});

function podOf(more: object): AgentSpec {
  return { template: { spec: { containers: [{ name: 'a', image: 'ghcr.io/acme/a' }], ...more } } };
}

test('values that ask for what happens anyway keep nothing from starting', () => {
  const agent = anAgent({
    spec: { image, operatingMode: 'Suspended', restartPolicy: 'Never', recovery: {}, lifecycle: {} },
  });
  expect(blockerOf(anObservedAgent({ agent }))).toBeUndefined();
});

test('of several the one its author must cure is shown first, then the tenant, then the runtime class', () => {
  expect(blockerOf(anObservedAgent({ ...noTenant, ...noRuntime, invalid: 'x' }))?.reason).toBe('InvalidSpec');
  expect(blockerOf(anObservedAgent({ ...noTenant, ...noRuntime }))?.reason).toBe('TenantNotFound');
});

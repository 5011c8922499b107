import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import { anAgent, anObservedAgent } from '../../testkit/builders.ts';
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

  const unsupported: readonly AgentSpec[] = [{ image, networkPolicy: {} }];
  test.each(unsupported)('a field this version does not act on: %j', (spec) => {
    const field = Object.keys(spec)[1] ?? '';
    const blocker = blockerOf(anObservedAgent({ agent: anAgent({ spec }) }));
    expect(blocker).toMatchObject({ reason: 'FieldNotSupported', onlyByUser: true });
    expect(blocker?.message).toContain(`spec.${field}`);
  });
});

test('values that ask for nothing new are no unsupported fields', () => {
  const agent = anAgent({
    spec: { image, operatingMode: 'Suspended', restartPolicy: 'Never', recovery: {}, lifecycle: {} },
  });
  expect(blockerOf(anObservedAgent({ agent }))).toBeUndefined();
});

test('of several the one its author must cure is shown first, then the tenant, then the runtime class', () => {
  const agent = anAgent({ spec: { image, networkPolicy: {} } });
  const all = { ...noTenant, ...noRuntime, agent };
  expect(blockerOf(anObservedAgent({ ...all, invalid: 'x' }))?.reason).toBe('InvalidSpec');
  expect(blockerOf(anObservedAgent(all))?.reason).toBe('FieldNotSupported');
  expect(blockerOf(anObservedAgent({ ...noTenant, ...noRuntime }))?.reason).toBe('TenantNotFound');
});

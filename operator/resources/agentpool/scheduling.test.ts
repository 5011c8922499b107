import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import type { AgentPool, AgentPoolSpec } from '../../api/v1alpha1/agentpool.ts';
import { at, t0 } from '../../testkit/builders.ts';
import { scheduled } from './scheduling.ts';

const short: AgentSpec = { image: 'a' };
const full: AgentSpec = { template: { spec: { containers: [{ name: 'agent', image: 'a' }] } } };

function pool(scheduling?: AgentPoolSpec['scheduling']): AgentPool {
  const times = { uid: 'u', resourceVersion: '1', generation: 1, creationTimestamp: at(t0) };
  return {
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'AgentPool',
    metadata: { name: 'herd', namespace: 'research', ...times },
    spec: { template: { spec: short }, ...(scheduling === undefined ? {} : { scheduling }) },
  };
}

const labelSelector = { matchLabels: { 'openos.dev/pool': 'herd' } };
const topologyKey = 'kubernetes.io/hostname';
const near = {
  preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: { topologyKey, labelSelector } }],
};
const apart = [{ topologyKey, labelSelector, maxSkew: 1, whenUnsatisfiable: 'ScheduleAnyway' }];

describe('scheduling', () => {
  test('without it an Agent is as the template says', () => {
    expect(scheduled(short, pool())).toBe(short);
  });

  test('Packed: where others of the pool are, in the short form and in the full one', () => {
    expect(scheduled(short, pool('Packed'))).toEqual({ ...short, affinity: { podAffinity: near } });
    expect(scheduled(full, pool('Packed')).template?.spec).toMatchObject({ affinity: { podAffinity: near } });
    expect(scheduled(full, pool('Packed')).affinity).toBeUndefined();
  });

  test('Distributed: where few others of the pool are, in the short form and in the full one', () => {
    expect(scheduled(short, pool('Distributed'))).toEqual({ ...short, topologySpreadConstraints: apart });
    expect(scheduled(full, pool('Distributed')).template?.spec).toMatchObject({ topologySpreadConstraints: apart });
  });

  test('what the template says itself about the same stands', () => {
    const affinity = { podAffinity: {} };
    expect(scheduled({ ...short, affinity }, pool('Packed'))).toEqual({ ...short, affinity });
    const topologySpreadConstraints = [{ ...apart[0], topologyKey: 'zone' }] as NonNullable<
      AgentSpec['topologySpreadConstraints']
    >;
    expect(scheduled({ ...short, topologySpreadConstraints }, pool('Distributed'))).toEqual({
      ...short,
      topologySpreadConstraints,
    });
  });

  test('what it says about nodes, or about keeping away from other pods, stands beside it', () => {
    const affinity = { podAntiAffinity: {}, nodeAffinity: {} };
    expect(scheduled({ ...short, affinity }, pool('Packed')).affinity).toEqual({ ...affinity, podAffinity: near });
    expect(scheduled({ ...short, affinity }, pool('Distributed'))).toMatchObject({
      affinity,
      topologySpreadConstraints: apart,
    });
  });

  test('an Agent that was made so is made so again', () => {
    for (const kind of ['Packed', 'Distributed'] as const) {
      const once = scheduled(short, pool(kind));
      expect(scheduled(once, pool(kind))).toEqual(once);
    }
  });
});

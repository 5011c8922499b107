import { describe, expect, test } from 'vitest';
import type { AgentPool } from '../../api/v1alpha1/agentpool.ts';
import { at, t0, traceparent } from '../../testkit/builders.ts';
import type { PlaceRoom } from '../quota.ts';
import { decide, type PoolObserved } from './decide.ts';

const pool: AgentPool = {
  apiVersion: 'openos.dev/v1alpha1',
  kind: 'AgentPool',
  metadata: {
    name: 'herd',
    namespace: 'research',
    uid: 'pool-uid',
    resourceVersion: '1',
    generation: 1,
    creationTimestamp: at(t0),
  },
  spec: { replicas: 1, template: { spec: { image: 'registry.test/scout:1' } } },
};

const look = (room?: PlaceRoom): PoolObserved => ({
  uid: 'pool-uid',
  namespace: 'research',
  name: 'herd',
  pool,
  orphaning: false,
  tenancy: { kind: 'member', tenant: 'acme' },
  ...(room === undefined ? {} : { room }),
  members: [],
  refusal: undefined,
  history: { kind: 'known', last: undefined },
  traceparent,
});

describe("a pool and its tenant's quota", () => {
  test('goes on while there is a place', () => {
    expect(decide(look({ limit: 2, used: 1, ahead: 0 }), t0).transitions.map(({ to }) => to)).toEqual(['Created']);
    expect(decide(look(), t0).transitions.map(({ to }) => to)).toEqual(['Created']);
  });

  test.each([
    ['all are taken', { limit: 2, used: 2, ahead: 0 }, 'WaitingForQuota'],
    ['somebody has waited longer', { limit: 2, used: 1, ahead: 1 }, 'WaitingForQuota'],
    ['there are none', { limit: 0, used: 0, ahead: 0 }, 'QuotaExceeded'],
  ])('makes nothing while %s, says so, and is never Stalled by it', (_title, room, reason) => {
    const decision = decide(look(room), t0);
    expect(decision.transitions).toEqual([]);
    expect(decision.events).toMatchObject([{ kind: 'event', type: 'Warning', reason }]);
    expect(decision.status?.replicas).toBe(0);
    const shown = { ...look(room), pool: { ...pool, status: { ...decision.status, observedGeneration: 0 } } };
    const conditions = decide(shown, t0 + 3_600_000).status?.conditions ?? [];
    expect(conditions.map(({ type, status }) => `${type}=${status}`)).toEqual([
      'Ready=False',
      'Reconciling=True',
      'Progressing=True',
      'QuotaReserved=False',
    ]);
    expect(conditions[0]).toMatchObject({ reason });
  });
});

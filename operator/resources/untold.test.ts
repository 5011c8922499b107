import { expect, test } from 'vitest';
import { EventErrorCode, eventError } from '../events/errors.ts';
import { findCondition } from '../kernel/conditions.ts';
import { OperatorError } from '../kernel/errors.ts';
import { settled } from '../kernel/outcome.ts';
import { anAgent, anObservedAgent, aTenant, t0 } from '../testkit/builders.ts';
import { type AgentPorts, agentPass } from './agent/controller.ts';
import { type PoolPorts, poolPass } from './agentpool/controller.ts';
import type { PoolObserved } from './agentpool/decide.ts';
import { type TenantPorts, tenantPass } from './tenant/controller.ts';
import type { TenantObserved } from './tenant/decide.ts';
import { explainUntold } from './untold.ts';

const invalid = eventError(EventErrorCode.EventInvalid, 'agent.ready: data.reason: expected string');

test('an Agent of which something fits no schema says so, at once and to whoever waits for it', () => {
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'AgentReady',
    message: '',
    lastTransitionTime: 'then',
  } as const;
  const moving = { ...ready, type: 'Reconciling', reason: 'Starting' };
  const agent = anAgent({ status: { observedGeneration: 1, phase: 'Ready', conditions: [ready, moving] } });
  const { events, status, outcome } = explainUntold(agent, invalid, t0) ?? {};
  expect(outcome).toEqual(settled);
  expect(status?.phase).toBe('Ready');
  const conditions = status?.conditions ?? [];
  expect(conditions.map(({ type, status: is, reason }) => [type, is, reason])).toEqual(
    expect.arrayContaining([
      ['Ready', 'True', 'AgentReady'],
      ['EventsPublished', 'False', 'EventInvalid'],
      ['Stalled', 'True', 'EventInvalid'],
    ]),
  );
  expect(conditions).toHaveLength(3);
  expect(findCondition(conditions, 'EventsPublished')?.message).toContain('data.reason');
  const { kind, metadata } = agent;
  const regarding = { kind, namespace: metadata.namespace, name: metadata.name, uid: metadata.uid };
  expect(events).toMatchObject([{ kind: 'event', type: 'Warning', reason: 'EventInvalid', regarding }]);

  const told = { ...agent, ...(status && { status }) };
  expect(explainUntold(told, invalid, t0 + 60_000)).toEqual({ outcome: settled });
});

test('so does an object without a status and without a namespace', () => {
  const { status: _, ...tenant } = aTenant();
  const { events, status } = explainUntold(tenant, invalid, t0) ?? {};
  expect(status?.observedGeneration).toBe(tenant.metadata.generation);
  expect(status?.conditions).toHaveLength(2);
  expect(events?.[0]?.regarding).not.toHaveProperty('namespace');
});

test.each([
  ['agents', agentPass({} as AgentPorts).explainUnrecorded?.(anObservedAgent(), invalid, t0)],
  [
    'pools',
    poolPass({} as PoolPorts).explainUnrecorded?.(
      { pool: { ...anAgent(), kind: 'AgentPool' } } as unknown as PoolObserved,
      invalid,
      t0,
    ),
  ],
  ['tenants', tenantPass({} as TenantPorts).explainUnrecorded?.({ tenant: aTenant() } as TenantObserved, invalid, t0)],
])('the controller of %s shows it', (_, explanation) => {
  expect(explanation).toMatchObject({ events: [{ reason: 'EventInvalid' }], outcome: settled });
});

test('what is gone shows nothing, and other errors are not explained', () => {
  expect(explainUntold(undefined, invalid, t0)).toBeUndefined();
  expect(explainUntold(anAgent(), new OperatorError('SequenceConflict', 'conflict', ''), t0)).toBeUndefined();
});

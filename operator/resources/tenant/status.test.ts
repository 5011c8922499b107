import { describe, expect, test } from 'vitest';
import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import { aNamespace, aTenant, aTenantHistory, at, t0, traceparent } from '../../testkit/builders.ts';
import { wantedChildren } from './children.ts';
import type { TenantObserved } from './decide.ts';
import { type Problem, type Setup, tenantStatus } from './status.ts';

const notAllowed: Problem = { reason: 'NamespaceNotAllowed', message: 'not yours', patienceMs: 60_000 };
const ours: readonly Setup[] = [
  { name: 'research', verdict: { kind: 'ours', object: aNamespace(), labelled: true }, todo: [] },
];

const observed: TenantObserved = {
  name: 'acme',
  tenant: aTenant(),
  namespaces: [],
  released: [],
  defaultRuntimeClass: 'gvisor',
  protectionMs: 60_000,
  agents: { total: 0, ready: 0, failed: 0, suspended: 0 },
  pools: 0,
  waiting: { agents: 0, pools: 0 },
  history: aTenantHistory(),
  traceparent,
};

const statusOf = (tenant: Tenant, problem?: Problem, now = t0, setups = ours) =>
  tenantStatus(observed, tenant, setups, problem, now);
const having = (tenant: Tenant, problem?: Problem, now = t0): Tenant => ({
  ...tenant,
  status: statusOf(tenant, problem, now),
});
const typesOf = (tenant: Tenant) => tenant.status?.conditions?.map((one) => one.type);

describe('the phase of a Tenant', () => {
  test('is Active without a problem and Pending with one', () => {
    expect(statusOf(aTenant()).phase).toBe('Active');
    expect(statusOf(aTenant(), notAllowed).phase).toBe('Pending');
  });

  test('stays Active when a problem comes later: its agents go on', () => {
    expect(statusOf(having(aTenant()), notAllowed).phase).toBe('Active');
  });

  test('is Terminating while its agents are waited for', () => {
    expect(statusOf(having(aTenant()), { ...notAllowed, reason: 'Terminating' }).phase).toBe('Terminating');
  });
});

describe('the conditions of a Tenant', () => {
  test('are Ready and NetworkIsolated when all is well', () => {
    expect(typesOf(having(aTenant()))).toEqual(['Ready', 'NetworkIsolated']);
  });

  test('have Reconciling first and Stalled when patience is over, never both', () => {
    const waiting = having(aTenant(), notAllowed);
    expect(typesOf(waiting)).toEqual(['Ready', 'Reconciling', 'NetworkIsolated']);
    expect(typesOf(having(waiting, notAllowed, t0 + 60_000))).toEqual(['Ready', 'Stalled', 'NetworkIsolated']);
  });

  test('count patience from when the Tenant stopped being Ready', () => {
    const wasReady = having(aTenant());
    const waiting = having(wasReady, notAllowed, t0 + 3_600_000);
    expect(typesOf(waiting)).toEqual(['Ready', 'Reconciling', 'NetworkIsolated']);
    expect(waiting.status?.conditions?.[0]?.lastTransitionTime).toBe(at(t0 + 3_600_000));
  });

  test('keep the time of their last change, and carry the generation that was judged', () => {
    const edited = { ...having(aTenant()), metadata: aTenant({ generation: 2 }).metadata };
    expect(having(edited, undefined, t0 + 90_000).status?.conditions).toMatchObject([
      { type: 'Ready', observedGeneration: 2, lastTransitionTime: at(t0) },
      { type: 'NetworkIsolated', observedGeneration: 2, lastTransitionTime: at(t0) },
    ]);
  });
});

describe('a Tenant on hold', () => {
  const held = aTenant({ spec: { suspend: 'Hold', suspendReason: 'unpaid' } });

  test('is Suspended and Ready: that is what was asked for', () => {
    const status = statusOf(held);
    expect(status.phase).toBe('Suspended');
    expect(status.conditions).toContainEqual(
      expect.objectContaining({ type: 'Suspended', status: 'True', reason: 'Suspended', message: 'unpaid' }),
    );
    expect(status.conditions?.[0]).toMatchObject({ type: 'Ready', status: 'True' });
  });

  test('is Active again afterwards', () => {
    expect(statusOf({ ...aTenant(), status: statusOf(held) }).phase).toBe('Active');
  });
});

describe('NetworkIsolated', () => {
  const isolated = (tenant: Tenant, setups = ours) =>
    statusOf(tenant, undefined, t0, setups).conditions?.find(({ type }) => type === 'NetworkIsolated');

  test('is True when every namespace has its policies', () => {
    expect(isolated(aTenant())).toMatchObject({ status: 'True', reason: 'DefaultDeny' });
  });

  test('is False while a policy is missing, and not for anything else that is missing', () => {
    const spec = { owners: [{ kind: 'User', name: 'mia', role: 'Owner' }] } as const;
    const missing = (kind: string) =>
      ours.map((setup) => ({
        ...setup,
        todo: wantedChildren(aTenant({ spec }), 'research').filter(({ object }) => object.kind === kind),
      }));
    expect(isolated(aTenant({ spec }), missing('NetworkPolicy'))).toMatchObject({
      status: 'False',
      reason: 'NamespacesNotReady',
    });
    expect(isolated(aTenant({ spec }), missing('RoleBinding'))).toMatchObject({ status: 'True' });
  });

  test('is False where the Tenant wants no policies, and not shown of one without namespaces', () => {
    const unmanaged = aTenant({ spec: { network: { isolation: 'Unmanaged' } } });
    expect(isolated(unmanaged)).toMatchObject({ status: 'False', reason: 'Unmanaged' });
    expect(isolated(aTenant(), [])).toBeUndefined();
  });
});

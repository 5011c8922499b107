import { describe, expect, test } from 'vitest';
import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import { aNamespace, aTenant, at, t0 } from '../../testkit/builders.ts';
import { type Problem, tenantStatus } from './status.ts';

const none = { total: 0, ready: 0, failed: 0, suspended: 0 };
const notAllowed: Problem = { reason: 'NamespaceNotAllowed', message: 'not yours', patienceMs: 60_000 };
const ours = [{ name: 'research', verdict: { kind: 'ours', object: aNamespace(), labelled: true } }] as const;

const statusOf = (tenant: Tenant, problem?: Problem, now = t0) => tenantStatus(tenant, ours, problem, none, now);
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
  test('are Ready alone when all is well', () => {
    expect(typesOf(having(aTenant()))).toEqual(['Ready']);
  });

  test('have Reconciling first and Stalled when patience is over, never both', () => {
    const waiting = having(aTenant(), notAllowed);
    expect(typesOf(waiting)).toEqual(['Ready', 'Reconciling']);
    expect(typesOf(having(waiting, notAllowed, t0 + 60_000))).toEqual(['Ready', 'Stalled']);
  });

  test('count patience from when the Tenant stopped being Ready', () => {
    const wasReady = having(aTenant());
    const waiting = having(wasReady, notAllowed, t0 + 3_600_000);
    expect(typesOf(waiting)).toEqual(['Ready', 'Reconciling']);
    expect(waiting.status?.conditions?.[0]?.lastTransitionTime).toBe(at(t0 + 3_600_000));
  });

  test('keep the time of their last change, and carry the generation that was judged', () => {
    const edited = { ...having(aTenant()), metadata: aTenant({ generation: 2 }).metadata };
    expect(having(edited, undefined, t0 + 90_000).status?.conditions).toMatchObject([
      { type: 'Ready', observedGeneration: 2, lastTransitionTime: at(t0) },
    ]);
  });
});

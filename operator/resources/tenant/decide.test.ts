import { describe, expect, test } from 'vitest';
import type { Tenant, TenantStatus } from '../../api/v1alpha1/tenant.ts';
import { aNamespace, aTenant, at, t0 } from '../../testkit/builders.ts';
import { decide, type TenantObserved } from './decide.ts';

const none = { total: 0, ready: 0, failed: 0, suspended: 0 };
const ours = aNamespace({
  annotations: { 'openos.dev/created-for': 'tenant-uid' },
  labels: { 'openos.dev/tenant': 'acme', 'pod-security.kubernetes.io/enforce': 'restricted' },
});

/** One look at a Tenant whose only namespace is `research`. */
function look(overrides: Partial<TenantObserved> & { readonly object?: typeof ours | undefined } = {}): TenantObserved {
  const { object = 'object' in overrides ? undefined : ours, ...rest } = overrides;
  return {
    name: 'acme',
    tenant: aTenant(),
    namespaces: [{ name: 'research', object, takenBy: undefined }],
    released: [],
    agents: none,
    ...rest,
  };
}

/** The same look after its status was written. */
function shown(observed: TenantObserved, now = t0): TenantObserved {
  const { status } = decide(observed, now);
  if (status === undefined || observed.tenant === undefined) throw new Error('no status was written');
  return { ...observed, tenant: { ...observed.tenant, status } };
}

const conditionOf = (status: TenantStatus | undefined, type: string) =>
  status?.conditions?.find((one) => one.type === type);
const kinds = (observed: TenantObserved, now = t0) => decide(observed, now).plan.map((action) => action.kind);
const deleting = (tenant: Tenant): Tenant => ({
  ...tenant,
  metadata: { ...tenant.metadata, deletionTimestamp: at(t0) },
});

describe('a Tenant', () => {
  test('that is gone needs nothing', () => {
    expect(decide(look({ tenant: undefined }), t0)).toEqual({
      transitions: [],
      plan: [],
      outcome: { kind: 'settled' },
    });
  });

  test('gets our finalizer first, alone in its pass', () => {
    const { plan, status, outcome } = decide(look({ tenant: aTenant({ finalizers: [] }) }), t0);
    expect(plan).toMatchObject([{ kind: 'finalizer', op: 'add', finalizer: 'openos.dev/tenant-protection' }]);
    expect(status).toBeUndefined();
    expect(outcome).toEqual({ kind: 'settled' });
  });

  test('has its namespace made when it is missing, and is Pending until then', () => {
    const { plan, status } = decide(look({ object: undefined }), t0);
    expect(plan).toMatchObject([{ kind: 'create', object: { metadata: { name: 'research' } } }]);
    expect(status).toMatchObject({ phase: 'Pending', namespaces: [] });
    expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False', reason: 'NamespacesNotReady' });
    expect(conditionOf(status, 'Reconciling')?.status).toBe('True');
  });

  test('has a namespace of its own labelled before it counts', () => {
    const bare = aNamespace({ annotations: { 'openos.dev/created-for': 'tenant-uid' } });
    const { plan, status } = decide(look({ object: bare }), t0);
    expect(plan).toMatchObject([{ kind: 'apply' }]);
    expect(status?.namespaces).toEqual([{ name: 'research', uid: 'ns-uid', ready: false }]);
  });

  test('is Active when every namespace is set up, and rests', () => {
    const { plan, status, outcome } = decide(look(), t0);
    expect({ plan, outcome }).toEqual({ plan: [], outcome: { kind: 'settled' } });
    expect(status).toMatchObject({
      phase: 'Active',
      observedGeneration: 1,
      namespaces: [{ name: 'research', uid: 'ns-uid', ready: true }],
    });
    expect(status?.conditions?.map((one) => [one.type, one.status])).toEqual([['Ready', 'True']]);
    expect(decide(shown(look()), t0 + 60_000)).toEqual({ transitions: [], plan: [], outcome: { kind: 'settled' } });
  });

  test('without namespaces is Active', () => {
    expect(decide(look({ tenant: aTenant({ spec: {} }), namespaces: [] }), t0).status).toMatchObject({
      phase: 'Active',
      namespaces: [],
    });
  });

  test('whose labels somebody took off keeps its namespace while they are put back', () => {
    const stripped = { ...ours, metadata: { ...ours.metadata, labels: {} } };
    const { plan, status } = decide({ ...shown(look()), ...namespaces(stripped) }, t0);
    expect(plan).toMatchObject([{ kind: 'apply' }]);
    expect(status?.namespaces).toEqual([{ name: 'research', uid: 'ns-uid', ready: true }]);
  });

  test('loses a namespace that was made again under the same name, until that one is set up', () => {
    const again = aNamespace({ uid: 'second-uid', annotations: { 'openos.dev/allow-tenant': 'acme' } });
    const { status } = decide({ ...shown(look()), ...namespaces(again) }, t0);
    expect(status?.namespaces).toEqual([{ name: 'research', uid: 'second-uid', ready: false }]);
  });

  test('lets go of a namespace that its spec no longer names', () => {
    const observed = { ...shown(look()), namespaces: [], released: [ours] };
    const { plan, status } = decide({ ...observed, tenant: { ...(observed.tenant ?? aTenant()), spec: {} } }, t0);
    expect(plan).toMatchObject([{ kind: 'apply', object: { metadata: { uid: 'ns-uid', labels: {} } } }]);
    expect(status?.namespaces).toEqual([]);
  });

  test('shows the totals of its agents', () => {
    const agents = { total: 3, ready: 2, failed: 1, suspended: 0 };
    expect(decide(look({ agents }), t0).status?.agents).toEqual(agents);
  });
});

describe('a namespace that is refused', () => {
  const foreign = look({ object: aNamespace() });

  test('is left alone; the Tenant says so and is looked at again', () => {
    const { plan, status, outcome } = decide(foreign, t0);
    expect(plan).toEqual([]);
    expect(status?.namespaces).toEqual([]);
    expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False', reason: 'NamespaceNotAllowed' });
    expect(outcome).toEqual({ kind: 'requeue', afterMs: 30_000 });
  });

  test('is Reconciling for a minute, as another can cure it, then Stalled', () => {
    const waiting = shown(foreign);
    expect(decide(waiting, t0 + 59_999).status).toBeUndefined();
    const { status } = decide(waiting, t0 + 60_000);
    expect(conditionOf(status, 'Stalled')).toMatchObject({ status: 'True', reason: 'NamespaceNotAllowed' });
    expect(conditionOf(status, 'Reconciling')).toBeUndefined();
  });

  test('because it is being deleted is only waited for', () => {
    const going = look({ object: aNamespace({ deletionTimestamp: at(t0) }) });
    expect(decide(shown(going), t0 + 3_600_000).status).toBeUndefined();
    expect(conditionOf(decide(going, t0).status, 'Ready')?.reason).toBe('NamespaceTerminating');
  });

  test('does not keep the others from being set up', () => {
    const tenant = aTenant({ spec: { namespaces: [{ name: 'foreign' }, { name: 'research' }] } });
    const both = [
      { name: 'foreign', object: aNamespace({ name: 'foreign', uid: 'f' }), takenBy: undefined },
      { name: 'research', object: ours, takenBy: undefined },
    ];
    const { status } = decide(look({ tenant, namespaces: both }), t0);
    expect(status?.namespaces).toEqual([{ name: 'research', uid: 'ns-uid', ready: true }]);
    expect(conditionOf(status, 'Ready')?.status).toBe('False');
  });
});

describe('a spec that cannot be acted on', () => {
  test.each([
    [
      'has fields of a later version',
      look({ tenant: aTenant({ spec: { quota: { agents: 3 } } }) }),
      'FieldNotSupported',
    ],
    ['cannot be read', look({ invalid: 'spec.namespaces: expected array' }), 'InvalidSpec'],
  ])('because it %s sets nothing up and is Stalled at once', (_name, observed, reason) => {
    const { plan, status } = decide(observed, t0);
    expect(plan).toEqual([]);
    expect(conditionOf(status, 'Stalled')).toMatchObject({ status: 'True', reason });
  });

  test('leaves what was verified before alone: agents there go on', () => {
    const before = shown(look());
    const tenant = { ...(before.tenant ?? aTenant()), spec: { quota: { agents: 3 } } };
    const { plan, status } = decide({ ...before, tenant }, t0);
    expect(plan).toEqual([]);
    expect(status?.namespaces).toEqual([{ name: 'research', uid: 'ns-uid', ready: true }]);
  });
});

describe('a Tenant that is being deleted', () => {
  const active = shown(look());
  const going = (agents: number): TenantObserved => ({
    ...active,
    tenant: deleting(active.tenant ?? aTenant()),
    agents: { ...none, total: agents },
  });

  test('waits for its agents, for a minute at most', () => {
    const { plan, status, outcome } = decide(going(2), t0 + 59_999);
    expect(plan).toEqual([]);
    expect(status).toMatchObject({ phase: 'Terminating' });
    expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False', reason: 'Terminating' });
    expect(outcome).toEqual({ kind: 'requeue', afterMs: 2_000 });
    expect(kinds(going(2), t0 + 60_000)).toEqual(['apply', 'finalizer']);
  });

  test('without agents lets its namespaces go, then itself; they are not deleted', () => {
    expect(decide(going(0), t0).plan).toMatchObject([
      { kind: 'apply', object: { metadata: { uid: 'ns-uid', labels: {} } } },
      { kind: 'finalizer', op: 'remove', finalizer: 'openos.dev/tenant-protection' },
    ]);
  });

  test('does not touch a namesake of the namespace it held, nor one that is gone', () => {
    expect(kinds({ ...going(0), ...namespaces(aNamespace({ uid: 'second-uid' })) })).toEqual(['finalizer']);
    expect(kinds({ ...going(0), ...namespaces(undefined) })).toEqual(['finalizer']);
  });

  test('does so with a spec that cannot be acted on, too', () => {
    expect(kinds({ ...going(0), invalid: 'spec: broken' })).toEqual(['apply', 'finalizer']);
  });

  test('makes no namespace and gets no finalizer', () => {
    const bare = deleting(aTenant({ finalizers: ['other'] }));
    expect(kinds(look({ tenant: bare, object: undefined }))).toEqual([]);
  });
});

test('a status that was written calls for no other', () => {
  const looks = [look(), look({ object: undefined }), look({ object: aNamespace() }), look({ invalid: 'x' })];
  for (const observed of looks) expect(decide(shown(observed), t0).status).toBeUndefined();
});

function namespaces(object: typeof ours | undefined): Pick<TenantObserved, 'namespaces'> {
  return { namespaces: [{ name: 'research', object, takenBy: undefined }] };
}

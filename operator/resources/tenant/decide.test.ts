import { describe, expect, test } from 'vitest';
import type { Tenant, TenantSpec, TenantStatus } from '../../api/v1alpha1/tenant.ts';
import { aNamespace, aTenant, aTenantHistory, at, t0, traceparent } from '../../testkit/builders.ts';
import type { ObservedChild } from '../children.ts';
import { wantedChildren } from './children.ts';
import { decide as decideAll, decideRefused, type TenantObserved } from './decide.ts';

const none = { total: 0, ready: 0, failed: 0, suspended: 0 };
const ours = aNamespace({
  annotations: {
    'openos.dev/created-for': 'tenant-uid',
    'openos.dev/allowed-runtime-classes': 'gvisor',
    'openos.dev/allowed-registries': '*',
    'openos.dev/allowed-priority-classes': '*',
  },
  labels: { 'openos.dev/tenant': 'acme', 'pod-security.kubernetes.io/enforce': 'restricted' },
});

/** The children a Tenant wants in its namespace, as they stand there when all is well. */
function standing(tenant: Tenant = aTenant()): readonly ObservedChild[] {
  return wantedChildren(tenant, 'research').map(({ resource, object }) => {
    const metadata = { ...object.metadata, uid: `uid-of-${object.metadata.name}`, resourceVersion: '1' };
    return { resource, object: { ...object, metadata } };
  });
}

/** One look at a Tenant whose only namespace is `research`. */
function look(overrides: Partial<TenantObserved> & { readonly object?: typeof ours | undefined } = {}): TenantObserved {
  const { object = 'object' in overrides ? undefined : ours, ...rest } = overrides;
  return {
    name: 'acme',
    tenant: aTenant(),
    namespaces: [{ name: 'research', object, takenBy: undefined, children: standing(rest.tenant) }],
    released: [],
    defaultRuntimeClass: 'gvisor',
    protectionMs: 60_000,
    agents: none,
    pools: 0,
    waiting: { agents: 0, pools: 0 },
    history: aTenantHistory(),
    traceparent,
    ...rest,
  };
}

/** The decision without the Kubernetes Events that go with it. */
function decide(observed: TenantObserved, now: number) {
  const decision = decideAll(observed, now);
  return { ...decision, plan: decision.plan.filter(({ kind }) => kind !== 'event') };
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
    expect(decide(look({ tenant: undefined, history: aTenantHistory([]) }), t0)).toEqual({
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
    expect(status?.conditions?.map((one) => [one.type, one.status])).toEqual([
      ['Ready', 'True'],
      ['NetworkIsolated', 'True'],
    ]);
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
    const observed = { ...shown(look()), namespaces: [], released: [{ object: ours, children: [] }] };
    const { plan, status } = decide({ ...observed, tenant: { ...(observed.tenant ?? aTenant()), spec: {} } }, t0);
    expect(plan).toMatchObject([
      {
        kind: 'apply',
        object: {
          metadata: { uid: 'ns-uid', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' }, annotations: {} },
        },
      },
    ]);
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
      { name: 'foreign', object: aNamespace({ name: 'foreign', uid: 'f' }), takenBy: undefined, children: [] },
      { name: 'research', object: ours, takenBy: undefined, children: standing() },
    ];
    const { status } = decide(look({ tenant, namespaces: both }), t0);
    expect(status?.namespaces).toEqual([{ name: 'research', uid: 'ns-uid', ready: true }]);
    expect(conditionOf(status, 'Ready')?.status).toBe('False');
  });
});

describe('a spec that cannot be acted on', () => {
  test.each([
    ['cannot be read', look({ invalid: 'spec.namespaces: expected array' }), 'InvalidSpec'],
  ])('because it %s sets nothing up and is Stalled at once', (_name, observed, reason) => {
    const { plan, status } = decide(observed, t0);
    expect(plan).toEqual([]);
    expect(conditionOf(status, 'Stalled')).toMatchObject({ status: 'True', reason });
  });

  test('leaves what was verified before alone: agents there go on', () => {
    const before = shown(look());
    const { plan, status } = decide({ ...before, invalid: 'spec.owners: expected array' }, t0);
    expect(plan.filter(({ kind }) => kind !== 'event')).toEqual([]);
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
      {
        kind: 'apply',
        object: {
          metadata: { uid: 'ns-uid', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' }, annotations: {} },
        },
      },
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
  return { namespaces: [{ name: 'research', object, takenBy: undefined, children: standing() }] };
}

describe('what a Tenant has in its namespace', () => {
  const spec = {
    namespaces: [{ name: 'research' }],
    owners: [{ kind: 'User', name: 'mia', role: 'Owner' }],
    limitRange: { limits: [{ type: 'Container', default: { cpu: '0.5' } }] },
  } as const satisfies TenantSpec;
  const rich = aTenant({ spec });
  const withChildren = (children: readonly ObservedChild[], tenant = rich): TenantObserved =>
    look({ tenant, namespaces: [{ name: 'research', object: ours, takenBy: undefined, children }] });
  const names = (observed: TenantObserved) =>
    decide(observed, t0).plan.map((action) => (action.kind === 'apply' ? action.object.metadata.name : action.kind));

  test('comes before it counts, what closes it first', () => {
    expect(names(withChildren([]))).toEqual([
      'openos-default-deny',
      'openos-allow',
      'openos-limits',
      'openos-tenant-owner',
    ]);
    expect(decide(withChildren([]), t0).status?.namespaces).toEqual([
      { name: 'research', uid: 'ns-uid', ready: false },
    ]);
  });

  test('is closed in every namespace before anything else comes', () => {
    const two = { ...rich, spec: { ...spec, namespaces: [{ name: 'research' }, { name: 'lab' }] } };
    const both = ['research', 'lab'].map((name) => ({
      name,
      object: aNamespace({ name, annotations: ours.metadata.annotations ?? {} }),
      takenBy: undefined,
      children: [],
    }));
    const plan = decide(look({ tenant: two, namespaces: both }), t0).plan;
    const order = plan.map((action) => (action.kind === 'apply' ? action.object.metadata.name : action.kind));
    expect(order.slice(0, 4).toSorted()).toEqual(['lab', 'openos-default-deny', 'openos-default-deny', 'research']);
  });

  test.each(
    standing(rich).map((child) => [child.object.metadata.name, child] as const),
  )('is put back, and the namespace stays ready meanwhile: %s', (name, child) => {
    const settledLook = shown(withChildren(standing(rich)));
    const without = standing(rich).filter((each) => each.object.metadata.name !== name);
    const edited = { ...child, object: { ...child.object, spec: { changed: true } } };
    const stripped = { ...child, object: { ...child.object, metadata: { ...child.object.metadata, labels: {} } } };
    const going = {
      ...child,
      object: { ...child.object, metadata: { ...child.object.metadata, deletionTimestamp: at(t0) } },
    };
    for (const children of [without, ...[edited, stripped, going].map((each) => [...without, each])]) {
      const observed = { ...settledLook, namespaces: withChildren(children).namespaces };
      expect(names(observed)).toEqual([name]);
      const ready = decide(observed, t0).status?.namespaces;
      expect(ready).toEqual([{ name: 'research', uid: 'ns-uid', ready: true }]);
    }
  });

  test('is in order as the server wrote it, as long as that is what it made of what we asked for', () => {
    const served = standing(rich).map((child) => {
      if (child.object.metadata.name !== 'openos-limits') return child;
      const object = { ...child.object, spec: { limits: [{ type: 'Container', default: { cpu: '500m' } }] } };
      const wanted = wantedChildren(rich, 'research').find((each) => each.object.metadata.name === 'openos-limits');
      return { ...child, object, ...(wanted === undefined ? {} : { appliedFrom: wanted.object }) };
    });
    expect(names(withChildren(served))).toEqual([]);
    const other = { ...rich, spec: { ...spec, limitRange: { limits: [] } } };
    expect(names(withChildren(served, other))).toEqual(['openos-limits']);
  });

  test('is applied by a new leader without a word, because only then it knows what the server made of it', () => {
    const active = shown(withChildren(standing(rich)));
    const [first, ...others] = standing(rich);
    if (first === undefined || active.tenant === undefined) throw new Error('no child');
    const defaulted = { ...first, object: { ...first.object, spec: { policyTypes: ['Ingress', 'Egress'] } } };
    const met = (child: ObservedChild) => withChildren([child, ...others], active.tenant);
    const { plan, status, outcome } = decide(met({ ...defaulted, isUnproven: true }), t0);
    expect(plan).toMatchObject([{ kind: 'apply', object: { metadata: { name: first.object.metadata.name } } }]);
    expect({ status, outcome }).toEqual({ status: undefined, outcome: { kind: 'requeue', afterMs: 0 } });

    const edited = decide(met(defaulted), t0).status;
    expect(conditionOf(edited, 'Ready')).toMatchObject({ status: 'False', reason: 'NamespacesNotReady' });
    const another = { ...active.tenant, metadata: { ...active.tenant.metadata, generation: 2 } };
    const anew = decide(withChildren([{ ...defaulted, isUnproven: true }, ...others], another), t0).status;
    expect(conditionOf(anew, 'Ready')).toMatchObject({ status: 'False', reason: 'NamespacesNotReady' });
  });

  test('goes when the Tenant no longer asks for it', () => {
    expect(names(withChildren(standing(rich), aTenant()))).toEqual(['delete', 'delete']);
    const open = aTenant({ spec: { ...spec, network: { isolation: 'Unmanaged' } } });
    expect(decide(withChildren(standing(rich), open), t0).plan).toMatchObject([
      {
        kind: 'delete',
        ref: { name: 'openos-default-deny', namespace: 'research' },
        uid: 'uid-of-openos-default-deny',
      },
      { kind: 'delete', ref: { name: 'openos-allow', namespace: 'research' } },
    ]);
  });

  test('is not touched under a name that is not ours', () => {
    const [first] = standing(rich);
    if (first === undefined) throw new Error('no child');
    const foreign = { ...first, object: { ...first.object, metadata: { ...first.object.metadata, name: 'theirs' } } };
    expect(names(withChildren([...standing(rich), foreign]))).toEqual([]);
  });

  test('that the server refuses for good is told in its words, as Stalled', () => {
    const status = decideRefused(withChildren([]), 'no such address', t0)?.status;
    expect(conditionOf(status, 'Stalled')).toMatchObject({ reason: 'InvalidSpec', message: 'no such address' });
    expect(status?.namespaces).toEqual([]);
  });

  test('isolates on after the Tenant has gone; only the access it gave ends', () => {
    const active = shown(withChildren(standing(rich)));
    const { plan } = decide({ ...active, tenant: deleting(active.tenant ?? rich) }, t0);
    expect(plan).toMatchObject([
      { kind: 'delete', ref: { name: 'openos-tenant-owner' } },
      { kind: 'apply', object: { kind: 'Namespace' } },
      { kind: 'finalizer', op: 'remove' },
    ]);
  });
});

describe('a ResourceQuota that the cluster does not count', () => {
  const tenant = aTenant({ spec: { ...aTenant().spec, quota: { agents: 3, hard: { pods: 5 } } } });
  const quotaWith = (used: Readonly<Record<string, string>>) =>
    look({
      tenant,
      namespaces: [
        {
          name: 'research',
          object: ours,
          takenBy: undefined,
          children: standing(tenant).map((child) => {
            if (child.object.metadata.name !== 'openos-quota') return child;
            const metadata = { ...child.object.metadata, creationTimestamp: at(t0) };
            return { ...child, object: { ...child.object, metadata, status: { used } } };
          }),
        },
      ],
    });
  const remade = { kind: 'delete', ref: { name: 'openos-quota', namespace: 'research' }, uid: 'uid-of-openos-quota' };

  test('keeps the Tenant from being Ready, and the namespace its own: nobody could make an Agent there', () => {
    const { status } = decide(quotaWith({ pods: '0' }), t0);
    expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False', reason: 'NamespacesNotReady' });
    expect(status?.phase).toBe('Pending');
    expect(status?.namespaces).toMatchObject([{ name: 'research', ready: true }]);
    const counted = decide(quotaWith({ 'count/agents.openos.dev': '0' }), t0).status;
    expect(conditionOf(counted, 'Ready')).toMatchObject({ status: 'True' });
  });

  test('is made anew, as the API server refuses all that it should count', () => {
    const uncounted = shown(quotaWith({ pods: '0' }));
    expect(decide(uncounted, t0 + 1_000)).toMatchObject({ plan: [], outcome: { kind: 'requeue', afterMs: 9_000 } });
    const late = decide(uncounted, t0 + 10_000);
    expect(late.plan).toMatchObject([remade]);
    expect(late.status).toBeUndefined();
  });

  test('is let be as soon as Agents are counted, whatever else is not', () => {
    const counted = shown(quotaWith({ 'count/agents.openos.dev': '0' }));
    expect(decide(counted, t0 + 60_000)).toMatchObject({ plan: [], outcome: { kind: 'settled' } });
  });
});

describe('a Tenant that is deleted with deletionPolicy Delete', () => {
  const active = shown(look({ tenant: aTenant({ spec: { ...aTenant().spec, deletionPolicy: 'Delete' } }) }));
  const gone = { ...active, tenant: deleting(active.tenant ?? aTenant()) };

  test('deletes the namespace that was made for it, by its UID, and waits for that', () => {
    const { plan, status, outcome } = decide(gone, t0);
    expect(plan).toMatchObject([{ kind: 'delete', ref: { name: 'research' }, uid: 'ns-uid' }]);
    expect(status?.phase).toBe('Terminating');
    expect(outcome).toEqual({ kind: 'requeue', afterMs: 2_000 });
  });

  test('asks once, and leaves when it is gone or a minute is over', () => {
    const going = { ...ours, metadata: { ...ours.metadata, deletionTimestamp: at(t0) } };
    expect(kinds({ ...gone, ...namespaces(going) })).toEqual([]);
    expect(kinds({ ...gone, ...namespaces(undefined) })).toEqual(['finalizer']);
    expect(kinds({ ...gone, ...namespaces(going) }, t0 + 60_000)).toEqual(['finalizer']);
  });

  test('waits for what it has begun to delete, also by the status that says so', () => {
    const going = { ...ours, metadata: { ...ours.metadata, deletionTimestamp: at(t0) } };
    const begun = shown({ ...gone, ...namespaces(going) });
    expect(begun.tenant?.status?.namespaces).toMatchObject([{ name: 'research', uid: 'ns-uid' }]);
    expect(kinds(begun)).toEqual([]);
    expect(kinds({ ...begun, ...namespaces(undefined) })).toEqual(['finalizer']);
  });

  test('lets go of one it only adopted', () => {
    const annotations = { 'openos.dev/allow-tenant': 'acme' };
    expect(kinds({ ...gone, ...namespaces(aNamespace({ annotations })) })).toEqual(['apply', 'finalizer']);
  });
});

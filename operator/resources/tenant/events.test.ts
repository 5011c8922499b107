import { describe, expect, test } from 'vitest';
import { encode } from '../../events/registry.ts';
import { aNamespace, aTenant, aTenantHistory, at, t0, traceparent } from '../../testkit/builders.ts';
import { resourceQuotaResource } from '../builtin.ts';
import { decide, type TenantObserved } from './decide.ts';
import { tenantRecords } from './events.ts';
import { tenantStatus } from './status.ts';

function look(over: Partial<TenantObserved> = {}): TenantObserved {
  return {
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
    ...over,
  };
}

/** What is told, as event and phase; every event of it fits its schema. */
function toldOf(observed: TenantObserved) {
  return tenantRecords(observed, t0).map((record) => {
    if (record.kind !== 'told') return record;
    const { event, from, to, reason } = record;
    const aggregate = { kind: 'tenant', id: record.id };
    encode({ ...event, aggregate, tenantId: 'acme', seq: 1, occurredAt: new Date(t0), traceContext: traceparent });
    return `${event.type} ${from}→${to} ${reason}`;
  });
}

const suspended = (suspend: 'Hold' | 'HoldAndDrain') => aTenant({ spec: { suspend, suspendReason: 'unpaid' } });
const bounded = (agents: number) => aTenant({ spec: { quota: { agents } } });

describe('what is told of a Tenant', () => {
  test('is that it was created, before anything else is done about it', () => {
    const fresh = look({ history: aTenantHistory([]) });
    expect(toldOf(fresh)).toEqual(['tenant.created New→Active TenantCreated']);
    expect(decide(fresh, t0)).toMatchObject({ plan: [], outcome: { kind: 'requeue', afterMs: 0 } });
    expect(toldOf(look())).toEqual([]);
  });

  test('is not that it was created while its spec cannot be used, or when it goes before', () => {
    expect(toldOf(look({ history: aTenantHistory([]), invalid: 'spec.owners: expected array' }))).toEqual([]);
    const going = { ...aTenant(), metadata: { ...aTenant().metadata, deletionTimestamp: at(t0) } };
    expect(toldOf(look({ history: aTenantHistory([]), tenant: going }))).toEqual([]);
  });

  test('is that it is suspended, in what way, and that it goes on', () => {
    const held = aTenantHistory([{ to: 'Suspended', detail: { name: 'acme', suspend: 'Hold' } }]);
    expect(toldOf(look({ tenant: suspended('Hold') }))).toEqual(['tenant.suspended Active→Suspended Suspended']);
    expect(toldOf(look({ tenant: suspended('Hold'), history: held }))).toEqual([]);
    expect(toldOf(look({ tenant: suspended('HoldAndDrain'), history: held }))).toEqual([
      'tenant.suspended Suspended→Suspended Suspended',
    ]);
    expect(toldOf(look({ history: held }))).toEqual(['tenant.resumed Suspended→Active Resumed']);
  });

  test('is its end, once it is gone, though another of its name stands', () => {
    const end = ['tenant.deleted Active→Deleted Deleted'];
    expect(toldOf(look({ tenant: undefined }))).toEqual(end);
    expect(toldOf(look({ tenant: aTenant({ uid: 'second-uid' }) }))).toEqual(end);
    expect(toldOf(look({ tenant: undefined, history: aTenantHistory([]) }))).toEqual([]);
  });

  test('is nothing while the database is away, and it is looked after all the same', () => {
    const history = { kind: 'unavailable', message: 'away' } as const;
    const missing = { name: 'research', object: undefined, takenBy: undefined, children: [] };
    const { transitions, plan } = decide(look({ history, namespaces: [missing] }), t0);
    expect([transitions.length, plan[0]?.kind]).toEqual([0, 'create']);
  });
});

describe('a quota that is exceeded', () => {
  const edge = ['tenant.quota_exceeded Active→Active QuotaExceeded'];
  const over = (ledger: object, waiting = 0, tenant = bounded(2)) =>
    look({ tenant, history: aTenantHistory([{}], ledger), waiting: { agents: waiting, pools: 0 } });

  test.each([
    ['is told when somebody waits', over({ agents: 2 }, 1), edge],
    ['is told when it was lowered below what runs', over({ agents: 3 }), edge],
    ['is told once', over({ agents: 3, exceeded: ['agents'] }, 5), []],
    ['is not one that is used up to the last place', over({ agents: 2 }), []],
    ['is none without bounds', over({ agents: 99 }, 0, aTenant()), []],
    [
      'may be told again once it was within bounds',
      over({ agents: 2, exceeded: ['agents'] }),
      [{ kind: 'within', resource: 'agents' }],
    ],
  ])('%s', (_title, observed, records) => {
    expect(toldOf(observed)).toEqual(records);
  });

  test('is told with what there is and what is used', () => {
    const [record] = tenantRecords(over({ agents: 3 }, 4), t0);
    expect(record).toMatchObject({
      exceeded: 'agents',
      event: { data: { resource: 'agents', waiting: 4, hard: { agents: '2' }, used: { agents: '3' } } },
    });
  });

  test('is a condition as long as it lasts, and a Warning when it begins', () => {
    const observed = over({ agents: 3, exceeded: ['agents'] });
    const { plan, status } = decide(observed, t0);
    expect(status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'QuotaExceeded', status: 'True', reason: 'QuotaExceeded' }),
    );
    expect(plan).toContainEqual(expect.objectContaining({ kind: 'event', type: 'Warning', reason: 'QuotaExceeded' }));
    if (status === undefined) throw new Error('no status is written');
    const again = { ...observed, tenant: { ...bounded(2), status: { ...status, pools: 7 } } };
    expect(decide(again, t0).plan).toEqual([]);
    const within = { ...again, history: aTenantHistory([{}], { agents: 2 }) };
    expect(decide(within, t0).status?.conditions?.some(({ type }) => type === 'QuotaExceeded')).toBe(false);
  });
});

describe('the ledger', () => {
  const having = (...names: readonly string[]) =>
    aTenant({
      status: { observedGeneration: 1, namespaces: names.map((name) => ({ name, uid: `${name}-uid`, ready: true })) },
    });

  test('gets the places that are astray', () => {
    const observed = look({ tenant: having('research', 'lab'), history: aTenantHistory([{}], { astray: 2 }) });
    expect(toldOf(observed)).toEqual([{ kind: 'book', namespaces: ['research', 'lab'] }]);
  });

  test('has none of a Tenant that is gone', () => {
    const observed = look({ tenant: undefined, history: aTenantHistory([], { astray: 1 }) });
    expect(toldOf(observed)).toEqual([{ kind: 'book', namespaces: [] }]);
  });
});

describe('status.quota', () => {
  const quota = { agents: 5, pools: 1, hard: { 'requests.cpu': '4', 'requests.memory': '8Gi' } };
  const reporting = (name: string, used: Readonly<Record<string, string>>) => ({
    name,
    object: aNamespace({ name }),
    takenBy: undefined,
    children: [
      {
        resource: resourceQuotaResource,
        object: {
          apiVersion: 'v1',
          kind: 'ResourceQuota',
          metadata: { name: 'openos-quota', namespace: name, uid: `${name}-quota`, resourceVersion: '1' },
          status: { used },
        },
      },
    ],
  });
  const shown = (...namespaces: TenantObserved['namespaces']) => {
    const tenant = aTenant({ spec: { quota } });
    const observed = look({ tenant, namespaces, history: aTenantHistory([{}], { agents: 3 }) });
    return tenantStatus(observed, tenant, [], undefined, t0).quota;
  };

  test('adds up what all namespaces use, and says places as the ledger does', () => {
    const both = [
      reporting('research', { 'requests.cpu': '500m', 'requests.memory': '1Gi' }),
      reporting('lab', { 'requests.cpu': '750m', 'requests.memory': '512Mi' }),
    ];
    expect(shown(...both)).toEqual({
      hard: { agents: '5', pools: '1', 'requests.cpu': '4', 'requests.memory': '8Gi' },
      used: { agents: '3', pools: '0', 'requests.cpu': '1250m', 'requests.memory': '1536Mi' },
    });
  });

  test('shows no use that is not known yet', () => {
    expect(shown()?.used).toEqual({ agents: '3', pools: '0' });
  });
});

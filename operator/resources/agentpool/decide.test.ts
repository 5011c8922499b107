import { describe, expect, test } from 'vitest';
import type { AgentPool, AgentPoolSpec, AgentPoolStatus } from '../../api/v1alpha1/agentpool.ts';
import { findCondition } from '../../kernel/conditions.ts';
import { at, t0, traceparent } from '../../testkit/builders.ts';
import { decide, type PoolObserved } from './decide.ts';
import type { PoolRow } from './history.ts';
import { type Member, memberOf } from './member.ts';
import { revisionOf } from './template.ts';

const image = 'registry.test/agent:1';
const template = { spec: { image } };
const revision = revisionOf(template);

type Over = { readonly spec?: Partial<AgentPoolSpec>; readonly status?: AgentPoolStatus; readonly generation?: number };

function aPool({ spec, status, generation = 1 }: Over = {}): AgentPool {
  return {
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'AgentPool',
    metadata: {
      name: 'herd',
      namespace: 'research',
      uid: 'pool-uid',
      resourceVersion: '1',
      generation,
      creationTimestamp: at(t0),
    },
    spec: { template, replicas: 2, ...spec },
    ...(status === undefined ? {} : { status }),
  };
}

function aRow(over: Partial<Omit<PoolRow, 'detail'>> & { readonly detail?: Partial<PoolRow['detail']> } = {}): PoolRow {
  const detail = { namespace: 'research', name: 'herd', replicas: 2, revision, ...over.detail };
  return { seq: 1, to: 'Created', observedAt: t0, tenantId: 'acme', ...over, detail };
}

type MemberOver = {
  readonly revision?: string;
  readonly readySince?: number;
  readonly failedSince?: number;
  readonly reason?: string;
};

function aMember(name: string, over: MemberOver = {}): Member {
  const { readySince, failedSince, reason = 'PodNotReady' } = over;
  const isReady = readySince !== undefined;
  const conditions = [
    {
      type: 'Ready',
      status: isReady ? 'True' : 'False',
      reason,
      message: '',
      lastTransitionTime: at(readySince ?? t0),
    },
    ...(failedSince === undefined
      ? []
      : [
          {
            type: 'Stalled',
            status: 'True',
            reason: 'RetriesExhausted',
            message: '',
            lastTransitionTime: at(failedSince),
          } as const,
        ]),
  ] as const;
  return memberOf({
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'Agent',
    metadata: {
      name,
      namespace: 'research',
      uid: `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: at(t0),
      labels: { 'openos.dev/revision': over.revision ?? revision, team: 'blue' },
    },
    spec: { image: 'registry.test/agent:0' },
    status: { observedGeneration: 1, phase: failedSince === undefined ? 'Starting' : 'Failed', conditions },
  });
}

const ready = { readySince: t0 } as const;

function looks(over: Partial<PoolObserved> = {}): PoolObserved {
  return {
    uid: 'pool-uid',
    namespace: 'research',
    name: 'herd',
    pool: aPool(),
    orphaning: false,
    tenancy: { kind: 'member', tenant: 'acme' },
    members: [],
    refusal: undefined,
    history: { kind: 'known', last: aRow() },
    traceparent,
    ...over,
  };
}

const isReady = (status: AgentPoolStatus | undefined) => findCondition(status?.conditions ?? [], 'Ready');
const isStalled = (status: AgentPoolStatus | undefined) => findCondition(status?.conditions ?? [], 'Stalled');
const verbs = (plan: readonly { readonly kind: string }[]) => plan.map(({ kind }) => kind);

describe('what is recorded, and nothing done beside it:', () => {
  const known = (last: PoolRow | undefined) => ({ history: { kind: 'known', last } as const });
  const cases: readonly (readonly [string, Partial<PoolObserved>, readonly (readonly [string, object])[]])[] = [
    ['a new pool', known(undefined), [['agentpool.created', { replicas: 2, revision }]]],
    [
      'a new pool that does not say how many',
      { ...known(undefined), pool: { ...aPool(), spec: { template } } },
      [['agentpool.created', { replicas: 1 }]],
    ],
    [
      'another number of replicas',
      known(aRow({ detail: { replicas: 5 } })),
      [['agentpool.scaled', { replicas: 2, previousReplicas: 5 }]],
    ],
    [
      'another template',
      known(aRow({ detail: { revision: 'before' } })),
      [['agentpool.updated', { revision, previousRevision: 'before' }]],
    ],
    [
      'both at once',
      known(aRow({ detail: { replicas: 5, revision: 'before' } })),
      [
        ['agentpool.scaled', { replicas: 2, revision: 'before' }],
        ['agentpool.updated', { replicas: 2, revision }],
      ],
    ],
    ['the end, when the last Agent is gone', { pool: undefined }, [['agentpool.deleted', { replicas: 2 }]]],
  ];
  test.each(cases)('%s', (_, over, expected) => {
    const { transitions, plan, status } = decide(looks(over), t0);
    expect(transitions.map(({ event }) => event)).toEqual(
      expected.map(([type, data]) => ({ type, data: expect.objectContaining(data) })),
    );
    expect(plan).toEqual([]);
    expect(status).toBeUndefined();
  });

  const silent: readonly (readonly [string, Partial<PoolObserved>])[] = [
    ['the number a pool leaves out', { pool: { ...aPool(), spec: { template } } }],
    ['the template of a paused pool', { pool: aPool({ spec: { paused: true, template: { spec: { image: 'b' } } } }) }],
    ['a pool that was never recorded and is gone', { pool: undefined, history: { kind: 'known', last: undefined } }],
    ['the end twice', { pool: undefined, history: { kind: 'known', last: aRow({ to: 'Deleted' }) } }],
    ['the end while an Agent stands', { pool: undefined, members: [aMember('a')] }],
    [
      'anything of a pool outside any tenant',
      { tenancy: { kind: 'none' }, history: { kind: 'known', last: undefined } },
    ],
    ['anything while the database is away', { history: { kind: 'unavailable', message: '' } }],
  ];
  test.each(silent)('not %s', (_, over) => {
    expect(decide(looks(over), t0).transitions).toEqual([]);
  });
});

describe('what is done:', () => {
  test('the first Agent is made: ours by controller reference, labelled, with the spec as written', () => {
    const { plan } = decide(looks(), t0);
    expect(plan).toHaveLength(1);
    expect(plan[0]).toMatchObject({
      kind: 'create',
      object: {
        kind: 'Agent',
        metadata: {
          name: expect.stringMatching(/^herd-[0-9a-f]{10}$/),
          labels: { 'openos.dev/pool': 'herd', 'openos.dev/revision': revision },
          ownerReferences: [{ uid: 'pool-uid', controller: true, blockOwnerDeletion: false }],
        },
        spec: template.spec,
      },
    });
  });

  test('a paused pool makes more of what it has, not of its new template', () => {
    const pool = aPool({ spec: { paused: true, template: { spec: { image: 'new' } } } });
    const { plan } = decide(looks({ pool, members: [aMember('a', ready)] }), t0);
    expect(plan[0]).toMatchObject({ kind: 'create', object: { spec: { image: 'registry.test/agent:0' } } });
    expect(plan[0]).toMatchObject({
      object: { metadata: { labels: { team: 'blue', 'openos.dev/revision': revision } } },
    });
  });

  test('a paused pool with nothing left of its template waits', () => {
    const pool = aPool({ spec: { paused: true, template: { spec: { image: 'new' } } } });
    expect(decide(looks({ pool }), t0).plan).toEqual([]);
  });

  const nothing: readonly (readonly [string, Partial<PoolObserved>])[] = [
    ['while no node is found for one of them', { members: [aMember('a', { reason: 'Unschedulable' })] }],
    ['while the API server refuses', { refusal: { message: 'no', generation: 1, since: t0, until: t0 + 1 } }],
    [
      'after too many failures',
      { pool: aPool({ spec: { maxConsecutiveFailures: 1 } }), members: [aMember('a', { failedSince: t0 })] },
    ],
    ['outside any tenant', { tenancy: { kind: 'none' } }],
    ['while the database is away', { history: { kind: 'unavailable', message: '' } }],
    ['of a spec it cannot read', { invalid: 'spec: no' }],
    ['while its Agents are let go', { pool: undefined, orphaning: true, members: [aMember('a')] }],
  ];
  test.each(nothing)('nothing is made or deleted %s', (_, over) => {
    const { plan } = decide(looks(over), t0);
    expect(verbs(plan).filter((kind) => kind !== 'event')).toEqual([]);
  });

  test('a refusal ends with its time, and with another generation', () => {
    const refusal = { message: 'no', generation: 1, since: t0, until: t0 + 1 };
    expect(verbs(decide(looks({ refusal }), t0 + 1).plan)).toContain('create');
    expect(verbs(decide(looks({ refusal, pool: aPool({ generation: 2 }) }), t0).plan)).toContain('create');
  });

  test('an unschedulable Agent of another template does not hold its successor up', () => {
    const members = [aMember('a', { reason: 'Unschedulable', revision: 'before' })];
    expect(verbs(decide(looks({ members }), t0).plan)).toContain('create');
  });

  test.each([
    ['known', { kind: 'known', last: aRow() }],
    ['not there', { kind: 'unavailable', message: '' }],
  ] as const)('the Agents of a pool that is gone go at once, the database being %s', (_, history) => {
    const { plan } = decide(looks({ pool: undefined, members: [aMember('a'), aMember('b')], history }), t0);
    expect(plan).toMatchObject([
      { kind: 'delete', uid: 'uid-a', ref: { namespace: 'research', name: 'a' } },
      { kind: 'delete', uid: 'uid-b' },
    ]);
  });
});

describe('what is shown:', () => {
  const both = [aMember('a', ready), aMember('b', ready)];
  const failed = { failedSince: t0 } as const;
  const cases: readonly (readonly [string, Partial<PoolObserved>, string, boolean])[] = [
    ['all is well', { members: both }, 'PoolReady', false],
    ['one is missing', { members: [aMember('a', ready)] }, 'ReplicasNotReady', false],
    ['one is not Ready', { members: [aMember('a', ready), aMember('b')] }, 'ReplicasNotReady', false],
    ['no node is found', { members: [aMember('a', { reason: 'Unschedulable' })] }, 'Unschedulable', false],
    [
      'five failed in a row',
      {
        pool: aPool({ spec: { replicas: 5 } }),
        history: { kind: 'known', last: aRow({ detail: { replicas: 5 } }) },
        members: ['a', 'b', 'c', 'd', 'e'].map((name) => aMember(name, failed)),
      },
      'TooManyFailures',
      true,
    ],
    ['the spec is invalid', { invalid: 'spec: no' }, 'InvalidSpec', true],
    ['it has no tenant', { tenancy: { kind: 'none' } }, 'TenantNotFound', false],
    [
      'the API server refuses',
      { refusal: { message: 'no', generation: 1, since: t0, until: t0 + 9 } },
      'AgentRejected',
      false,
    ],
    ['the database is away', { history: { kind: 'unavailable', message: '' } }, 'DatabaseUnavailable', false],
  ];
  test.each(cases)('%s', (_, over, reason, stalled) => {
    const { status } = decide(looks(over), t0);
    expect(isReady(status)).toMatchObject({
      reason,
      status: reason === 'PoolReady' ? 'True' : 'False',
      observedGeneration: 1,
    });
    expect(isStalled(status) !== undefined).toBe(stalled);
    expect(findCondition(status?.conditions ?? [], 'Reconciling') !== undefined).toBe(
      !stalled && reason !== 'PoolReady',
    );
  });

  test('nothing again when nothing changed', () => {
    const { status } = decide(looks({ members: both }), t0);
    if (status === undefined) throw new Error('the first look shows something');
    expect(decide(looks({ members: both, pool: aPool({ status }) }), t0 + 60_000)).toMatchObject({ plan: [] });
    expect(decide(looks({ members: both, pool: aPool({ status }) }), t0 + 60_000).status).toBeUndefined();
  });

  test('what was judged stands while the database is away', () => {
    const status = decide(looks({ members: both }), t0).status as AgentPoolStatus;
    const away = looks({ pool: aPool({ status }), members: both, history: { kind: 'unavailable', message: '' } });
    expect(decide(away, t0).status).toBeUndefined();
  });

  test('what alarms by a Warning, once', () => {
    const invalid = 'spec.replicas: expected number';
    const first = decide(looks({ invalid }), t0);
    expect(first.events).toMatchObject([{ kind: 'event', type: 'Warning', reason: 'InvalidSpec' }]);
    const status = first.status as AgentPoolStatus;
    const again = decide(looks({ invalid, pool: aPool({ status }) }), t0 + 1_000);
    expect(again.events).toBeUndefined();
  });

  test('no progress for progressDeadlineSeconds: told at the deadline, by an own look, with a Warning', () => {
    const pool = aPool({ spec: { progressDeadlineSeconds: 30 } });
    const members = [aMember('a'), aMember('b')];
    const early = decide(looks({ pool, members }), t0 + 10_000);
    expect(isStalled(early.status)).toBeUndefined();
    expect(early.outcome).toEqual({ kind: 'requeue', afterMs: 30_000 });
    const shown = aPool({ spec: { progressDeadlineSeconds: 30 }, status: early.status as AgentPoolStatus });
    const late = decide(looks({ pool: shown, members }), t0 + 40_000);
    expect(isReady(late.status)?.reason).toBe('ProgressDeadlineExceeded');
    expect(findCondition(late.status?.conditions ?? [], 'Progressing')).toMatchObject({ status: 'False' });
    expect(isStalled(late.status)).toBeDefined();
    expect(late.events).toMatchObject([{ kind: 'event', type: 'Warning', reason: 'ProgressDeadlineExceeded' }]);
  });

  test('a pool without a tenant is Stalled after a minute', () => {
    const early = decide(looks({ tenancy: { kind: 'none' } }), t0).status as AgentPoolStatus;
    const meanwhile = decide(looks({ tenancy: { kind: 'none' }, pool: aPool({ status: early }) }), t0 + 50_000);
    expect(meanwhile.outcome).toEqual({ kind: 'requeue', afterMs: 10_000 });
    const late = decide(looks({ tenancy: { kind: 'none' }, pool: aPool({ status: early }) }), t0 + 60_000);
    expect(isStalled(late.status)?.reason).toBe('TenantNotFound');
  });

  test('an Agent counts as available after minReadySeconds, and is looked at then', () => {
    const pool = aPool({ spec: { minReadySeconds: 10 } });
    const early = decide(looks({ pool, members: both }), t0 + 4_000);
    expect(early.status).toMatchObject({ readyReplicas: 2, availableReplicas: 0 });
    expect(early.outcome).toEqual({ kind: 'requeue', afterMs: 6_000 });
    expect(decide(looks({ pool, members: both }), t0 + 10_000).status).toMatchObject({ availableReplicas: 2 });
  });

  test('failures in a row are forgotten when one succeeds', () => {
    const members = [aMember('a', failed), aMember('b', { readySince: t0 + 5_000 })];
    expect(decide(looks({ members }), t0 + 9_000).status).toMatchObject({ consecutiveFailures: 0, failedReplicas: 1 });
    const again = [aMember('a', { failedSince: t0 + 8_000 }), aMember('b', { readySince: t0 + 5_000 })];
    expect(decide(looks({ members: again }), t0 + 9_000).status).toMatchObject({ consecutiveFailures: 1 });
  });

  test('the revision before a roll-out, while one is under way', () => {
    const members = [aMember('a', { ...ready, revision: 'before' }), aMember('b', ready)];
    expect(decide(looks({ members }), t0).status).toMatchObject({
      currentRevision: 'before',
      updateRevision: revision,
    });
    expect(decide(looks({ members: both }), t0).status).toMatchObject({ currentRevision: revision });
  });
});

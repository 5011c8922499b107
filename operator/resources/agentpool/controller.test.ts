import { describe, expect, test } from 'vitest';
import type { AgentPool } from '../../api/v1alpha1/agentpool.ts';
import type { Action } from '../../kernel/action.ts';
import { findCondition } from '../../kernel/conditions.ts';
import { ApiError, OperatorError } from '../../kernel/errors.ts';
import { at, t0, traceparent } from '../../testkit/builders.ts';
import { agentResource } from '../own.ts';
import { type PoolPorts, poolPass } from './controller.ts';
import type { PoolObserved, Refusal } from './decide.ts';
import { revisionOf } from './template.ts';

const template = { spec: { image: 'a' } };
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
  spec: { template, replicas: 2 },
};
const detail = { namespace: 'research', name: 'herd', replicas: 2, revision: revisionOf(template) };

function looks(over: Partial<PoolObserved> = {}): PoolObserved {
  return {
    uid: 'pool-uid',
    namespace: 'research',
    name: 'herd',
    pool,
    orphaning: false,
    tenancy: { kind: 'member', tenant: 'acme' },
    members: [],
    refusal: undefined,
    history: { kind: 'known', last: { seq: 1, to: 'Created', observedAt: t0, tenantId: 'acme', detail } },
    traceparent,
    ...over,
  };
}

const create: Action = {
  kind: 'create',
  resource: agentResource,
  object: { apiVersion: 'openos.dev/v1alpha1', kind: 'Agent', metadata: { name: 'herd-1', namespace: 'research' } },
};
const remove: Action = { kind: 'delete', ref: { resource: agentResource, namespace: 'research', name: 'b' }, uid: 'b' };

function passWith(over: Partial<PoolPorts> = {}) {
  const said: string[] = [];
  const refusals: (Refusal | undefined)[] = [];
  const ports = {
    execute: async () => void said.push('executed'),
    expect: () => void said.push('expected'),
    unexpect: () => void said.push('taken back'),
    isSeen: () => false,
    setRefusal: (_uid: string, refusal: Refusal | undefined) => void refusals.push(refusal),
    ...over,
  } as unknown as PoolPorts;
  return { pass: poolPass(ports), said, refusals };
}

const decision = { transitions: [], plan: [], outcome: { kind: 'settled' } } as const;

describe('what is asked of the API server', () => {
  test.each([create, remove])('is expected before it is asked', async (action) => {
    const { pass, said } = passWith();
    await pass.execute(action, looks());
    expect(said).toEqual(['expected', 'executed']);
  });

  test('is not expected any more when it failed', async () => {
    const failing = async () => Promise.reject(new OperatorError('Forbidden', 'retryable', 'no'));
    const { pass, said } = passWith({ execute: failing });
    await expect(pass.execute(create, looks())).rejects.toMatchObject({ code: 'Forbidden' });
    expect(said).toEqual(['expected', 'taken back']);
  });

  test('is not expected any more when the cache has shown it meanwhile', async () => {
    const { pass, said } = passWith({ isSeen: () => true });
    await pass.execute(create, looks());
    expect(said).toEqual(['expected', 'executed', 'taken back']);
  });

  test('clears a refusal when it was granted', async () => {
    const { pass, refusals } = passWith();
    await pass.execute(create, looks({ refusal: { message: 'no', generation: 1, since: t0, until: t0 } }));
    expect(refusals).toEqual([undefined]);
  });
});

describe('a create that fails', () => {
  const refused = (status: number) => new ApiError('POST', status, { code: status, message: 'exceeded quota: few' });

  test('by a refusal is shown in the words of the API server, and tried again after as long as it lasts', () => {
    const { pass, refusals } = passWith();
    const first = pass.explain?.(looks(), decision, refused(403), t0, create);
    expect(findCondition(first?.status?.conditions ?? [], 'ReplicaFailure')).toMatchObject({
      reason: 'AgentRejected',
      message: expect.stringContaining('exceeded quota: few'),
    });
    expect(first?.outcome).toEqual({ kind: 'requeue', afterMs: 1_000 });
    expect(first?.events).toMatchObject([{ type: 'Warning', reason: 'AgentRejected' }]);
    const refusal = refusals.at(-1);
    const later = pass.explain?.(looks({ refusal }), decision, refused(403), t0 + 20_000, create);
    expect(later?.outcome).toEqual({ kind: 'requeue', afterMs: 20_000 });
    const latest = pass.explain?.(looks({ refusal }), decision, refused(403), t0 + 900_000, create);
    expect(latest?.outcome).toEqual({ kind: 'requeue', afterMs: 60_000 });
  });

  test('as invalid waits for another spec', () => {
    const { pass, refusals } = passWith();
    expect(pass.explain?.(looks(), decision, refused(422), t0, create)?.outcome).toEqual({ kind: 'settled' });
    expect(refusals.at(-1)?.until).toBe(Number.POSITIVE_INFINITY);
  });

  test('because a stranger has the name draws other names', () => {
    const { pass } = passWith();
    const conflict = new OperatorError('NameConflict', 'retryable', 'taken');
    const status = { observedGeneration: 1, collisionCount: 2 };
    const answer = pass.explain?.(looks({ pool: { ...pool, status } }), decision, conflict, t0, create);
    expect(answer?.status).toMatchObject({ collisionCount: 3, observedGeneration: 1 });
  });

  test.each([
    ['for another reason', refused(500), create],
    ['and was no create', refused(403), remove],
  ])('%s is left to the error policy', (_, error, action) => {
    expect(passWith().pass.explain?.(looks(), decision, error, t0, action)).toBeUndefined();
  });
});

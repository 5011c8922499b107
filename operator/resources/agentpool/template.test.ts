import { describe, expect, test } from 'vitest';
import type { AgentPool } from '../../api/v1alpha1/agentpool.ts';
import { at, t0 } from '../../testkit/builders.ts';
import { type MemberObject, memberOf, poolUidOf } from './member.ts';
import { freeNames, memberAgent, revisionOf } from './template.ts';

function aPool(collisionCount?: number): AgentPool {
  return {
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
    spec: { template: { spec: { image: 'a' } } },
    ...(collisionCount === undefined ? {} : { status: { observedGeneration: 1, collisionCount } }),
  };
}

const memberNamed = (name: string) =>
  memberOf({ metadata: { name, uid: name, resourceVersion: '1' }, spec: {} } as MemberObject);

describe('a revision', () => {
  test('is the same whatever order the template was written in', () => {
    const one = { metadata: { labels: { a: '1', b: '2' } }, spec: { image: 'x', args: ['1', '2'] } };
    const other = { spec: { args: ['1', '2'], image: 'x' }, metadata: { labels: { b: '2', a: '1' } } };
    expect(revisionOf(one)).toBe(revisionOf(other));
  });

  test.each([
    ['image', { spec: { image: 'y' } }],
    ['label', { metadata: { labels: { a: '1' } }, spec: { image: 'x' } }],
    ['deadline', { spec: { image: 'x', startupDeadlineSeconds: 5 } }],
  ])('differs with another %s', (_, template) => {
    expect(revisionOf(template)).not.toBe(revisionOf({ spec: { image: 'x' } }));
  });

  test('never changes: Agents carry this one', () => {
    expect(revisionOf({ spec: { image: 'registry.test/agent:1' } })).toBe('0bcc896dfe');
  });
});

describe('names', () => {
  test('are the same in every look, until their places are taken', () => {
    const [first = '', second = '', third = ''] = freeNames(aPool(), [], 3);
    expect(freeNames(aPool(), [], 2)).toEqual([first, second]);
    expect(freeNames(aPool(), [memberNamed(second)], 2)).toEqual([first, third]);
    expect(new Set([first, second, third]).size).toBe(3);
  });

  test('are others after a collision, and for another pool of the name', () => {
    expect(freeNames(aPool(1), [], 1)).not.toEqual(freeNames(aPool(), [], 1));
    const namesake = { ...aPool(), metadata: { ...aPool().metadata, uid: 'another' } };
    expect(freeNames(namesake, [], 1)).not.toEqual(freeNames(aPool(), [], 1));
  });

  test('are never too few, whatever the members are called', () => {
    const members = ['x', 'y', ...freeNames(aPool(), [], 4)].map(memberNamed);
    expect(freeNames(aPool(), members, 5)).toHaveLength(5);
  });
});

describe('an Agent of the pool', () => {
  test('carries the labels and annotations of the template, but for those only we may set', () => {
    const metadata = {
      labels: { team: 'blue', 'openos.dev/pool': 'forged' },
      annotations: { note: 'x', 'openos.dev/allow-tenant': 'forged' },
    };
    const agent = memberAgent(aPool(), 'herd-1', 'r1', { metadata, spec: { image: 'a' } });
    expect(agent.metadata.labels).toEqual({ team: 'blue', 'openos.dev/pool': 'herd', 'openos.dev/revision': 'r1' });
    expect(agent.metadata.annotations).toEqual({ note: 'x' });
  });

  test.each([
    ['a label', { labels: { 'openos.dev/pool': 'herd' } }],
    ['an owner that is no controller', { ownerReferences: [{ ...ownedBy('AgentPool'), controller: false }] }],
    ['a controller of another kind', { ownerReferences: [ownedBy('Deployment')] }],
    ['a controller of another group', { ownerReferences: [{ ...ownedBy('AgentPool'), apiVersion: 'other.dev/v1' }] }],
  ])('is not made one by %s', (_, metadata) => {
    const agent = { metadata: { name: 'a', uid: 'a', resourceVersion: '1', ...metadata } } as unknown as MemberObject;
    expect(poolUidOf(agent)).toBeUndefined();
  });

  test('is one by the UID of its controller', () => {
    expect(poolUidOf(memberAgent(aPool(), 'herd-1', 'r1', { spec: {} }) as unknown as MemberObject)).toBe('pool-uid');
  });
});

function ownedBy(kind: string) {
  return { apiVersion: 'openos.dev/v1alpha1', kind, name: 'herd', uid: 'pool-uid', controller: true };
}

import { describe, expect, test } from 'vitest';
import { aNamespace, aTenant, at, t0 } from '../../testkit/builders.ts';
import { createNamespace, judge, labelNamespace, type ObservedNamespace, releaseNamespace } from './namespace.ts';

const labelled = { 'openos.dev/tenant': 'acme', 'pod-security.kubernetes.io/enforce': 'restricted' };
const allowed = { 'openos.dev/allow-tenant': 'acme' };
const made = { 'openos.dev/created-for': 'tenant-uid' };

const judged = (object: ObservedNamespace['object'], takenBy?: string) =>
  judge(aTenant(), { name: 'research', object, takenBy });

describe('a namespace is judged', () => {
  test('missing', () => {
    expect(judged(undefined)).toEqual({ kind: 'missing' });
  });

  test.each([
    ['made for this Tenant', made],
    ['that allows this Tenant', allowed],
    ['that was made for another and allows this one', { 'openos.dev/created-for': 'earlier-uid', ...allowed }],
  ])('ours: one %s', (_name, annotations) => {
    expect(judged(aNamespace({ annotations }))).toMatchObject({ kind: 'ours', labelled: false });
    expect(judged(aNamespace({ annotations, labels: { ...labelled, team: 'a' } }))).toMatchObject({ labelled: true });
  });

  test.each([
    ['that says nothing', aNamespace()],
    ['that carries our labels, which whoever may label could set', aNamespace({ labels: labelled })],
    ['that allows another', aNamespace({ annotations: { 'openos.dev/allow-tenant': 'other' } })],
    [
      'made for an earlier Tenant of this name',
      aNamespace({ annotations: { 'openos.dev/created-for': 'earlier-uid' } }),
    ],
  ])('not allowed: one %s', (_name, object) => {
    expect(judged(object)).toMatchObject({ kind: 'refused', reason: 'NamespaceNotAllowed' });
  });

  test('terminating: one on its way out, whoever it was', () => {
    expect(judged(aNamespace({ annotations: made, deletionTimestamp: at(t0) }))).toMatchObject({
      kind: 'refused',
      reason: 'NamespaceTerminating',
    });
  });

  test('taken: one that another Tenant holds, though it allows this one', () => {
    expect(judged(aNamespace({ annotations: allowed }), 'other')).toMatchObject({
      kind: 'refused',
      reason: 'NamespaceTaken',
    });
  });

  test('half labelled: one whose Pod Security label was loosened', () => {
    const labels = { ...labelled, 'pod-security.kubernetes.io/enforce': 'privileged' };
    expect(judged(aNamespace({ annotations: made, labels }))).toMatchObject({ labelled: false });
  });
});

describe('the actions', () => {
  test('create a namespace by POST, bound to the UID of this Tenant', () => {
    expect(createNamespace(aTenant(), 'research')).toMatchObject({
      kind: 'create',
      object: { kind: 'Namespace', metadata: { name: 'research', annotations: made } },
    });
  });

  test('apply our labels to exactly the namespace that was judged', () => {
    expect(labelNamespace(aTenant(), aNamespace())).toMatchObject({
      kind: 'apply',
      object: { metadata: { name: 'research', uid: 'ns-uid', labels: labelled } },
    });
  });

  test('take our labels off exactly the namespace that was held', () => {
    expect(releaseNamespace(aNamespace())).toMatchObject({
      kind: 'apply',
      object: { metadata: { name: 'research', uid: 'ns-uid', labels: {} } },
    });
  });
});

import { describe, expect, test } from 'vitest';
import type { TenantSpec } from '../../api/v1alpha1/tenant.ts';
import type { KubernetesObject } from '../../kernel/object.ts';
import { aNamespace, aTenant, at, t0 } from '../../testkit/builders.ts';
import { createNamespace, judge, labelNamespace, type ObservedNamespace, releaseNamespace } from './namespace.ts';

const labelled = { 'openos.dev/tenant': 'acme', 'pod-security.kubernetes.io/enforce': 'restricted' };
const allowed = { 'openos.dev/allow-tenant': 'acme' };
const lists = {
  'openos.dev/allowed-runtime-classes': 'gvisor',
  'openos.dev/allowed-registries': '*',
  'openos.dev/allowed-priority-classes': '*',
};
const made = { 'openos.dev/created-for': 'tenant-uid' };

const judged = (object: ObservedNamespace['object'], takenBy?: string) =>
  judge(aTenant(), { name: 'research', object, takenBy }, 'gvisor');

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
    const marked = { annotations: { ...annotations, ...lists }, labels: { ...labelled, team: 'a' } };
    expect(judged(aNamespace(marked))).toMatchObject({ labelled: true });
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
    expect(judged(aNamespace({ annotations: { ...made, ...lists }, labels }))).toMatchObject({ labelled: false });
  });

  test.each(Object.keys(lists))('half labelled: one whose %s was changed or taken off', (name) => {
    const forged = { ...made, ...lists, [name]: 'runc' };
    expect(judged(aNamespace({ annotations: forged, labels: labelled }))).toMatchObject({ labelled: false });
    const { [name]: _gone, ...rest }: Record<string, string> = { ...made, ...lists };
    expect(judged(aNamespace({ annotations: rest, labels: labelled }))).toMatchObject({ labelled: false });
  });
});

describe('the actions', () => {
  test('create a namespace by POST, bound to the UID of this Tenant', () => {
    expect(createNamespace(aTenant(), 'research')).toMatchObject({
      kind: 'create',
      object: { kind: 'Namespace', metadata: { name: 'research', annotations: made } },
    });
  });

  test('apply our labels and the allow-lists to exactly the namespace that was judged', () => {
    expect(labelNamespace(aTenant(), aNamespace(), 'gvisor')).toMatchObject({
      kind: 'apply',
      object: { metadata: { name: 'research', uid: 'ns-uid', labels: labelled, annotations: lists } },
    });
  });

  test.each<[string, TenantSpec, object]>([
    ['runtime classes', { runtimeClasses: { allowed: ['gvisor', 'kata'] } }, { 'runtime-classes': 'gvisor,kata' }],
    ['its default runtime class alone', { runtimeClasses: { default: 'kata' } }, { 'runtime-classes': 'kata' }],
    ['registries', { allowedRegistries: ['ghcr.io/acme', 'quay.io'] }, { registries: 'ghcr.io/acme,quay.io' }],
    ['no registry at all', { allowedRegistries: [] }, { registries: '' }],
    ['priority classes', { priorityClasses: { allowed: ['low'] } }, { 'priority-classes': 'low' }],
  ])('write what the Tenant allows: %s', (_name, spec, expected) => {
    const written = Object.fromEntries(
      Object.entries(expected).map(([key, value]) => [`openos.dev/allowed-${key}`, value]),
    );
    expect(labelNamespace(aTenant({ spec }), aNamespace(), 'gvisor')).toMatchObject({
      object: { metadata: { annotations: { ...lists, ...written } } },
    });
  });

  test('take our marks off exactly the namespace that was held, but not its Pod Security level', () => {
    const { metadata } = (releaseNamespace(aNamespace()) as { object: KubernetesObject }).object;
    expect(metadata).toEqual({
      name: 'research',
      uid: 'ns-uid',
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
      annotations: {},
    });
  });
});

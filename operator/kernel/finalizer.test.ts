import { expect, test } from 'vitest';
import { addFinalizer, finalizersAfter, hasFinalizer, isDeleting, removeFinalizer } from './finalizer.ts';
import { refOf, type StoredObject } from './object.ts';

const tenants = { group: 'openos.dev', version: 'v1alpha1', kind: 'Tenant', plural: 'tenants', namespaced: false };
const ours = 'openos.dev/protection';

function aTenant(metadata: Partial<StoredObject['metadata']> = {}): StoredObject {
  return {
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'Tenant',
    metadata: { name: 'acme', uid: 'u1', resourceVersion: '7', ...metadata },
  };
}

const ref = refOf(tenants, aTenant());

test('is added once, with the version that was observed', () => {
  expect(addFinalizer(ref, aTenant({ finalizers: ['x/y'] }), ours)).toEqual([
    { kind: 'finalizer', op: 'add', ref, finalizer: ours, observed: { finalizers: ['x/y'], resourceVersion: '7' } },
  ]);
  expect(addFinalizer(ref, aTenant({ finalizers: [ours] }), ours)).toEqual([]);
});

test('is never added to an object that is going', () => {
  const going = aTenant({ deletionTimestamp: '2030-01-01T00:00:00Z' });
  expect(isDeleting(going)).toBe(true);
  expect(addFinalizer(ref, going, ours)).toEqual([]);
});

test('leaves the finalizers of others alone', () => {
  const object = aTenant({ finalizers: ['x/y', ours, 'z/z'] });
  expect(hasFinalizer(object, ours)).toBe(true);
  const [action] = removeFinalizer(ref, object, ours);
  expect(action?.kind === 'finalizer' && finalizersAfter(action)).toEqual(['x/y', 'z/z']);
  expect(removeFinalizer(ref, aTenant(), ours)).toEqual([]);
});

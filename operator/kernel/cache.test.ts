import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ObjectCache, withoutManagedFields } from './cache.ts';
import type { StoredObject } from './object.ts';

type Labelled = StoredObject & { readonly spec?: { readonly tags: readonly string[] } };

function anObject(uid: string, name: string, tags: readonly string[] = [], resourceVersion = '1'): Labelled {
  return { apiVersion: 'v1', kind: 'Thing', metadata: { namespace: 'ns', name, uid, resourceVersion }, spec: { tags } };
}

const byTag = { tag: (object: Labelled) => object.spec?.tags ?? [] };

describe('the cache', () => {
  test('finds objects by UID, name and index, and forgets them everywhere', () => {
    const cache = new ObjectCache<Labelled>(byTag);
    const one = anObject('u1', 'one', ['red', 'round']);
    cache.set(one);
    cache.set(anObject('u2', 'two', ['red']));
    expect(cache.get('u1')).toBe(one);
    expect(cache.getByName('ns', 'one')).toBe(one);
    expect(cache.byIndex('tag', 'red').map(({ metadata }) => metadata.uid)).toEqual(['u1', 'u2']);
    expect(cache.delete('u1')).toBe(one);
    expect(cache.get('u1') ?? cache.getByName('ns', 'one')).toBeUndefined();
    expect(cache.byIndex('tag', 'round')).toEqual([]);
    expect(cache.size).toBe(1);
  });

  test('a namesake that came before the old one went keeps the name', () => {
    const cache = new ObjectCache<Labelled>();
    cache.set(anObject('old', 'x'));
    cache.set(anObject('new', 'x'));
    cache.delete('old');
    expect(cache.getByName('ns', 'x')?.metadata.uid).toBe('new');
  });

  test('what is in it cannot be changed by a reader', () => {
    const cache = new ObjectCache<Labelled>();
    cache.set(anObject('u1', 'x', ['red']));
    const tags = cache.get('u1')?.spec?.tags as string[];
    expect(() => tags.push('blue')).toThrow(TypeError);
  });

  test('an index that was never declared is a mistake, not an empty answer', () => {
    expect(() => new ObjectCache().byIndex('tag', 'red')).toThrow(RangeError);
  });

  test('after any history its indexes hold exactly what a scan finds', () => {
    const uid = fc.constantFrom('u1', 'u2', 'u3');
    const tags = fc.uniqueArray(fc.constantFrom('red', 'blue', 'round'));
    const step = fc.oneof(fc.tuple(uid, tags), fc.tuple(uid, fc.constant(undefined)));
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const cache = new ObjectCache<Labelled>(byTag);
        for (const [id, given] of steps) {
          if (given === undefined) cache.delete(id);
          else cache.set(anObject(id, id, given));
        }
        for (const tag of ['red', 'blue', 'round']) {
          const scanned = cache.list().filter(({ spec }) => spec?.tags.includes(tag));
          expect(new Set(cache.byIndex('tag', tag))).toEqual(new Set(scanned));
          expect(cache.count('tag', tag)).toBe(scanned.length);
        }
      }),
    );
  });

  test('of managedFields stays who last wrote anything but the status', () => {
    const object = anObject('u1', 'x');
    const managedFields = [
      { manager: 'helm', time: '2030-01-01T00:00:00Z' },
      { manager: 'kubectl-edit', time: '2030-01-01T00:00:02Z' },
      { manager: 'argocd', time: '2030-01-01T00:00:01Z' },
      { manager: 'openos', time: '2030-01-01T00:00:03Z', subresource: 'status' },
    ];
    const fat = { ...object, metadata: { ...object.metadata, managedFields } };
    expect(withoutManagedFields(fat)).toEqual({
      ...object,
      metadata: { ...object.metadata, lastManager: 'kubectl-edit' },
    });
    const tied = managedFields.with(2, { manager: 'argocd', time: '2030-01-01T00:00:02Z' });
    const both = { ...object, metadata: { ...object.metadata, managedFields: tied } };
    expect(withoutManagedFields(both).metadata.lastManager).toBe('kubectl-edit, argocd');
    const ours = { ...object, metadata: { ...object.metadata, managedFields: managedFields.slice(3) } };
    expect(withoutManagedFields(ours)).toEqual(object);
    expect(withoutManagedFields(object)).toBe(object);
  });
});

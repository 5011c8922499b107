import { describe, expect, test } from 'vitest';
import { missingHandler, type NodeObject, type RuntimeClassObject } from './runtime.ts';

const metadata = { name: 'gvisor', uid: 'u', resourceVersion: '1' };
const gvisor: RuntimeClassObject = { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata, handler: 'runsc' };
const node = (...handlers: readonly string[]): NodeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata,
  status: { runtimeHandlers: handlers.map((name) => ({ name })) },
});

describe('the handler of a runtime class', () => {
  test('is missing when every node says what it offers and none offers it', () => {
    expect(missingHandler(gvisor, [node('', 'runc'), node('kata')])).toBe('runsc');
  });

  test.each([
    ['one node offers it', [node('runc'), node('runc', 'runsc')]],
    ['a node does not say what it offers', [node('runc'), node()]],
    ['there is no node yet', []],
  ])('may be there when %s', (_when, nodes) => {
    expect(missingHandler(gvisor, nodes)).toBeUndefined();
  });

  test('is not known of an object without one', () => {
    expect(
      missingHandler({ ...gvisor, handler: undefined } as unknown as RuntimeClassObject, [node('runc')]),
    ).toBeUndefined();
  });
});

import { describe, expect, test } from 'vitest';
import type { Tenant, TenantStatus } from '../api/v1alpha1/tenant.ts';
import { aNamespace, aTenant, at, type TenantOverrides, t0 } from '../testkit/builders.ts';
import { allowedRuntimeClasses, isFromRegistry, isPriorityAllowed, tenancyOf, verifiedNamespaces } from './tenancy.ts';

const holding = (
  entry: Partial<NonNullable<TenantStatus['namespaces']>[number]> = {},
  overrides: TenantOverrides = {},
): Tenant =>
  aTenant({
    status: { observedGeneration: 1, namespaces: [{ name: 'research', uid: 'ns-uid', ready: true, ...entry }] },
    ...overrides,
  });

const tenancy = (tenants: readonly Tenant[], namespace = aNamespace()) =>
  tenancyOf('research', { tenantsOfNamespace: () => tenants, namespace: () => namespace });

test('a namespace belongs to the Tenant whose verified status lists it', () => {
  expect(tenancy([holding()])).toMatchObject({ kind: 'member', tenant: 'acme' });
});

test("the Tenant's default runtime class comes along", () => {
  const spec = { runtimeClasses: { default: 'kata' } };
  expect(tenancy([holding({}, { spec })])).toEqual({
    kind: 'member',
    tenant: 'acme',
    defaultRuntimeClass: 'kata',
    rules: spec,
  });
});

describe('a namespace belongs to nobody', () => {
  test.each<[string, readonly Tenant[]]>([
    ['that no Tenant lists', []],
    ['that a Tenant only names in its spec', [aTenant()]],
    ['that is listed and not ready', [holding({ ready: false })]],
    ['that was made again under the name of the verified one', [holding({ uid: 'earlier-uid' })]],
    ['that is listed without a UID', [holding({ uid: undefined as never })]],
    ['whose Tenant is being deleted', [holding({}, { deletionTimestamp: at(t0) })]],
  ])('%s', (_name, tenants) => {
    expect(tenancy(tenants)).toEqual({ kind: 'none' });
  });

  test('that does not exist', () => {
    expect(tenancyOf('research', { tenantsOfNamespace: () => [holding()], namespace: () => undefined })).toEqual({
      kind: 'none',
    });
  });

  test('because of a label it carries', () => {
    expect(tenancy([aTenant()], aNamespace({ labels: { 'openos.dev/tenant': 'acme' } }))).toEqual({ kind: 'none' });
  });
});

test('of two Tenants that list it the one that really holds it counts', () => {
  const other = holding({ uid: 'earlier-uid' }, { name: 'other' });
  expect(tenancy([other, holding()])).toMatchObject({ tenant: 'acme' });
});

test('a Tenant is found by every namespace its status lists', () => {
  expect(verifiedNamespaces(holding())).toEqual(['research']);
  expect(verifiedNamespaces(aTenant())).toEqual([]);
});

describe('an image is from a registry', () => {
  test.each<[string, string, boolean]>([
    ['ghcr.io/acme/a:1', 'ghcr.io', true],
    ['ghcr.io/acme/a:1', 'ghcr.io/acme', true],
    ['ghcr.io/acme:1', 'ghcr.io/acme', true],
    ['ghcr.io/acme@sha256:00', 'ghcr.io/acme', true],
    ['ghcr.io/acme-evil/a', 'ghcr.io/acme', false],
    ['ghcr.io:5000/a', 'ghcr.io', false],
    ['ghcr.io.evil.test/a', 'ghcr.io', false],
    ['a', 'ghcr.io', false],
  ])('%s from %s: %s', (image, registry, expected) => {
    expect(isFromRegistry(image, [registry])).toBe(expected);
  });

  test('but from none when there is none', () => {
    expect(isFromRegistry('ghcr.io/a', [])).toBe(false);
  });
});

test.each<[string, readonly string[] | undefined, boolean]>([
  ['high', undefined, true],
  ['high', ['low'], false],
  ['low', ['low'], true],
  ['system-node-critical', undefined, false],
  ['system-node-critical', ['system-node-critical'], true],
])('the priority class %s where the Tenant lists %j: %s', (name, allowed, expected) => {
  expect(isPriorityAllowed(name, allowed)).toBe(expected);
});

test.each<[string, Tenant['spec'], readonly string[]]>([
  ['those it lists', { runtimeClasses: { default: 'kata', allowed: ['kata', 'gvisor'] } }, ['kata', 'gvisor']],
  ['its default', { runtimeClasses: { default: 'kata' } }, ['kata']],
  ["the operator's", {}, ['gvisor']],
])('a Tenant allows the runtime classes: %s', (_name, spec, expected) => {
  expect(allowedRuntimeClasses(spec, 'gvisor')).toEqual(expected);
});

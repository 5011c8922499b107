import { describe, expect, test } from 'vitest';
import type { TenantSpec } from '../../api/v1alpha1/tenant.ts';
import type { StoredObject } from '../../kernel/object.ts';
import { aTenant } from '../../testkit/builders.ts';
import { limitRangeResource } from '../builtin.ts';
import { AppliedChildren, isUnedited } from '../children.ts';
import { wantedChildren } from './children.ts';

const wanted = (spec: TenantSpec) =>
  wantedChildren(aTenant({ spec }), 'research').map(({ object }) => object as unknown as Record<string, unknown>);
const named = (spec: TenantSpec, name: string) =>
  wanted(spec).find(({ metadata }) => (metadata as { name: string }).name === name);
const names = (spec: TenantSpec) => wanted(spec).map(({ metadata }) => (metadata as { name: string }).name);

const dns = {
  to: [
    {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
      podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
    },
  ],
  ports: [
    { protocol: 'UDP', port: 53 },
    { protocol: 'TCP', port: 53 },
  ],
};
const all = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] };
/** An Agent with rules of its own has less than all. */
const others = { ...all, podSelector: { matchExpressions: [{ key: 'openos.dev/network', operator: 'DoesNotExist' }] } };
const rule = { ports: [{ protocol: 'TCP' as const, port: 443 }] };

describe('the children of a Tenant', () => {
  test('that says nothing are the policies: all is denied but DNS', () => {
    expect(names({})).toEqual(['openos-default-deny', 'openos-allow']);
    expect(named({}, 'openos-default-deny')).toMatchObject({ spec: { ...all, ingress: [], egress: [] } });
    expect(named({}, 'openos-allow')).toMatchObject({ spec: { ...others, ingress: [], egress: [dns] } });
  });

  test('carry its name, in its namespace', () => {
    expect(named({}, 'openos-allow')).toMatchObject({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: {
        namespace: 'research',
        labels: { 'openos.dev/tenant': 'acme', 'app.kubernetes.io/managed-by': 'openos' },
      },
    });
  });

  test.each<[string, NonNullable<TenantSpec['network']>, object | undefined]>([
    [
      'what is allowed, beside DNS',
      { allowIngress: [rule], allowEgress: [rule] },
      { ingress: [rule], egress: [dns, rule] },
    ],
    ['what is allowed alone', { allowDNS: false, allowEgress: [rule] }, { ingress: [], egress: [rule] }],
    ['nothing at all', { allowDNS: false }, undefined],
    ['nothing, by a policy of nobody', { isolation: 'Unmanaged' }, undefined],
  ])('let through %s', (_name, network, expected) => {
    const allow = named({ network }, 'openos-allow');
    expect((allow as { spec?: object } | undefined)?.spec).toEqual(expected && { ...others, ...expected });
    const denied = network.isolation !== 'Unmanaged';
    expect(names({ network }).includes('openos-default-deny')).toBe(denied);
  });

  test('bound it: the quota counts Agents and pools beside what Kubernetes counts', () => {
    const quota = { agents: 3, pools: 1, hard: { 'requests.cpu': 8, pods: '5' } };
    expect(named({ quota }, 'openos-quota')).toMatchObject({
      spec: {
        hard: {
          'requests.cpu': '8',
          pods: '5',
          'count/agents.openos.dev': '3',
          'count/agentpools.openos.dev': '1',
        },
      },
    });
  });

  test('size its containers as the limit range says', () => {
    const limitRange = { limits: [{ type: 'Container', default: { cpu: '1' } }] };
    expect(named({ limitRange }, 'openos-limits')).toMatchObject({ spec: limitRange });
  });

  test('let its people in, one binding for each role that somebody has', () => {
    const owners = [
      { kind: 'User', name: 'mia', role: 'Owner' },
      { kind: 'Group', name: 'acme:devs', role: 'Member' },
      { kind: 'ServiceAccount', name: 'system:serviceaccount:ci:bot', role: 'Member' },
    ] as const;
    const apiGroup = 'rbac.authorization.k8s.io';
    expect(names({ owners }).slice(2)).toEqual(['openos-tenant-owner', 'openos-tenant-member']);
    expect(named({ owners }, 'openos-tenant-member')).toMatchObject({
      roleRef: { apiGroup, kind: 'ClusterRole', name: 'openos-tenant-member' },
      subjects: [
        { apiGroup, kind: 'Group', name: 'acme:devs' },
        { kind: 'ServiceAccount', namespace: 'ci', name: 'bot' },
      ],
    });
  });
});

describe('what was applied', () => {
  const spec = { limitRange: { limits: [{ type: 'Container', default: { cpu: '0.5' } }] } };
  const object = wantedChildren(aTenant({ spec }), 'research').at(-1)?.object;
  if (object === undefined) throw new Error('no limit range');
  const served = (resourceVersion: string, cpu = '500m', uid = 'u1'): StoredObject =>
    ({
      ...object,
      metadata: { ...object.metadata, uid, resourceVersion },
      spec: { limits: [{ type: 'Container', default: { cpu } }] },
    }) as StoredObject;
  const applied = () => {
    const memory = new AppliedChildren();
    memory.remember(limitRangeResource, object, served('9'));
    return memory;
  };

  test('is known again in what the server made of it', () => {
    expect(applied().look(limitRangeResource, served('10')).appliedFrom).toBe(object);
  });

  test('is what counts while the cache is behind', () => {
    const { appliedFrom, object: seen } = applied().look(limitRangeResource, served('8', '1'));
    expect([appliedFrom, seen.metadata.resourceVersion]).toEqual([object, '9']);
  });

  test('is not known in what somebody edited or made anew, nor to a new leader', () => {
    expect(applied().look(limitRangeResource, served('10', '64')).appliedFrom).toBeUndefined();
    expect(applied().look(limitRangeResource, served('8', '1', 'u2')).appliedFrom).toBeUndefined();
    expect(applied().look(limitRangeResource, served('8', '1', 'u2')).isUnproven).toBeUndefined();
    const { appliedFrom, isUnproven } = new AppliedChildren().look(limitRangeResource, served('10'));
    expect({ appliedFrom, isUnproven }).toEqual({ isUnproven: true });
  });

  test('is unedited while only its status, its version or foreign annotations change', () => {
    const status = { ...served('10'), status: { used: {} } };
    expect(isUnedited(served('9'), status)).toBe(true);
    expect(isUnedited(served('9'), served('10', '64'))).toBe(false);
    const { labels: _labels, ...bare } = served('10').metadata;
    expect(isUnedited(served('9'), { ...served('10'), metadata: bare })).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import type { PolicyRule } from '../../operator/kernel/rbac.ts';
import { mergedRules } from './rbac.ts';

/** Verbs are plain words here: a rule may come from where the type was not checked. */
function rule(resource: string, verbs: readonly string[], more: Partial<PolicyRule> = {}): PolicyRule {
  return { apiGroups: [''], resources: [resource], verbs: verbs as PolicyRule['verbs'], ...more };
}

describe('permissions of the operator', () => {
  const refused: Readonly<Record<string, readonly [PolicyRule, string]>> = {
    'a verb for everything': [rule('pods', ['*']), 'Wildcard'],
    'every resource': [rule('*', ['get']), 'Wildcard'],
    'every subresource': [rule('*/status', ['get']), 'Wildcard'],
    'every group': [rule('pods', ['get'], { apiGroups: ['*'] }), 'Wildcard'],
    escalate: [rule('clusterroles', ['escalate']), 'TooPowerful'],
    impersonate: [rule('users', ['impersonate']), 'TooPowerful'],
    'bind on any role': [rule('clusterroles', ['bind']), 'TooPowerful'],
    'listing secrets': [rule('secrets', ['get', 'list']), 'TooPowerful'],
    'watching secrets': [rule('secrets', ['watch']), 'TooPowerful'],
    'the proxy to kubelets': [rule('nodes/proxy', ['get']), 'TooPowerful'],
    'tokens of ServiceAccounts': [rule('serviceaccounts/token', ['create']), 'TooPowerful'],
    'admission policies': [rule('validatingadmissionpolicies', ['get']), 'TooPowerful'],
    'a rule without verbs': [rule('pods', []), 'EmptyRule'],
  };

  it.each(Object.entries(refused))('never include %s', (_name, [given, code]) => {
    expect(() => mergedRules([given])).toThrow(expect.objectContaining({ code }));
  });

  it('may bind roles that are named', () => {
    const named = rule('clusterroles', ['bind'], { resourceNames: ['openos-tenant-viewer'] });
    expect(mergedRules([named])).toEqual([named]);
  });

  it('are merged and sorted whatever order they are declared in', () => {
    const declared = [rule('pods', ['watch', 'get']), rule('events', ['create']), rule('pods', ['list', 'get'])];
    const merged = [rule('events', ['create']), rule('pods', ['get', 'list', 'watch'])];
    expect(mergedRules(declared)).toEqual(merged);
    expect(mergedRules(declared.toReversed())).toEqual(merged);
  });

  it('are kept apart by the names of objects', () => {
    const declared = [
      rule('secrets', ['get'], { resourceNames: ['a'] }),
      rule('secrets', ['get'], { resourceNames: ['b'] }),
    ];
    expect(mergedRules(declared)).toEqual(declared);
  });
});

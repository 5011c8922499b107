import { labels } from '../../api/v1alpha1/names.ts';
import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import { networkPolicyResource } from '../builtin.ts';
import { allowedTraffic, isIsolated, type Traffic } from '../network.ts';
import type { ChildBody } from './children.ts';

export const networkPolicyNames = { deny: 'openos-default-deny', allow: 'openos-allow' } as const;

/**
 * The NetworkPolicies of each namespace: one that denies all, and one that allows what is listed. Two, because the
 * API server may refuse the second (a malformed address, say): the first stands all the same. Probes of the
 * kubelet need no rule, a node always reaches its own pods. An Agent with rules of its own has less than what is
 * allowed to all: policies add up, so the second one leaves its pods out.
 */
export function networkPolicies({ spec: { network } }: Tenant): readonly ChildBody[] {
  if (!isIsolated(network)) return [];
  const traffic = allowedTraffic(network);
  const deny = policy(networkPolicyNames.deny, {}, { ingress: [], egress: [] });
  if (traffic.ingress.length === 0 && traffic.egress.length === 0) return [deny];
  return [deny, policy(networkPolicyNames.allow, withoutOwnRules, traffic)];
}

const withoutOwnRules = { matchExpressions: [{ key: labels.network, operator: 'DoesNotExist' }] };

// Every field is given, the empty ones too: what we leave out is not ours, and a rule that somebody adds there stays.
function policy(name: string, podSelector: object, { ingress, egress }: Traffic): ChildBody {
  const spec = { podSelector, policyTypes: ['Ingress', 'Egress'], ingress, egress };
  return { resource: networkPolicyResource, name, body: { spec } };
}

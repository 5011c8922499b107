import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import { networkPolicyResource } from '../builtin.ts';
import type { ChildBody } from './children.ts';

type NetworkSpec = NonNullable<Tenant['spec']['network']>;
type EgressRule = NonNullable<NetworkSpec['allowEgress']>[number];

export const networkPolicyNames = { deny: 'openos-default-deny', allow: 'openos-allow' } as const;

/** Whether traffic of the tenant is denied unless something allows it. That is the default. */
export function isIsolated({ spec }: Tenant): boolean {
  return spec.network?.isolation !== 'Unmanaged';
}

/**
 * The NetworkPolicies of each namespace: one that denies all, and one that allows what is listed. Two, because the
 * API server may refuse the second (a malformed address, say): the first stands all the same. Probes of the
 * kubelet need no rule, a node always reaches its own pods.
 */
export function networkPolicies(tenant: Tenant): readonly ChildBody[] {
  if (!isIsolated(tenant)) return [];
  const { allowDNS = true, allowIngress = [], allowEgress = [] } = tenant.spec.network ?? {};
  const egress = [...(allowDNS ? [clusterDns] : []), ...allowEgress];
  const deny = policy(networkPolicyNames.deny, [], []);
  if (allowIngress.length === 0 && egress.length === 0) return [deny];
  return [deny, policy(networkPolicyNames.allow, allowIngress, egress)];
}

// Every field is given, the empty ones too: what we leave out is not ours, and a rule that somebody adds there stays.
function policy(name: string, ingress: readonly object[], egress: readonly object[]): ChildBody {
  const spec = { podSelector: {}, policyTypes: ['Ingress', 'Egress'], ingress, egress };
  return { resource: networkPolicyResource, name, body: { spec } };
}

/** The cluster's DNS server, under the labels that kubeadm, kind and the large providers give it. */
const clusterDns: EgressRule = {
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

import type { Tenant } from '../api/v1alpha1/tenant.ts';

/** What a Tenant says about the traffic of its pods. */
export type NetworkRules = NonNullable<Tenant['spec']['network']>;
export type IngressRule = NonNullable<NetworkRules['allowIngress']>[number];
export type EgressRule = NonNullable<NetworkRules['allowEgress']>[number];
export type Traffic = { readonly ingress: readonly IngressRule[]; readonly egress: readonly EgressRule[] };

/** Whether traffic of the tenant is denied unless something allows it. That is the default. */
export function isIsolated(network: NetworkRules | undefined): boolean {
  return network?.isolation !== 'Unmanaged';
}

/** What a Tenant that isolates lets through. */
export function allowedTraffic({ allowIngress = [], allowEgress = [], ...rest }: NetworkRules = {}): Traffic {
  return { ingress: allowIngress, egress: [...dnsOf(rest), ...allowEgress] };
}

/** The way to the cluster's DNS server, unless the Tenant denies that. */
export function dnsOf({ allowDNS = true }: Pick<NetworkRules, 'allowDNS'> = {}): readonly EgressRule[] {
  return allowDNS ? [clusterDns] : [];
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

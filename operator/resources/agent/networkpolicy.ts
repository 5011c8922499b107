import type { Agent, AgentSpec } from '../../api/v1alpha1/agent.ts';
import { labels } from '../../api/v1alpha1/names.ts';
import { apiVersionOf, controllerUid, type KubernetesObject } from '../../kernel/object.ts';
import { networkPolicyResource } from '../builtin.ts';
import { isInOrder, type ObservedChild } from '../children.ts';
import { allowedTraffic, dnsOf, type EgressRule, type IngressRule, isIsolated, type NetworkRules } from '../network.ts';
import { isWithin, type Rule } from './within.ts';

/** Whether the Agent has a NetworkPolicy of its own in place of what its Tenant allows to all. */
export function hasOwnRules({ networkPolicy }: AgentSpec): boolean {
  return networkPolicy !== undefined && networkPolicy.management !== 'Unmanaged';
}

/** The rules of the Agent that reach further than its Tenant allows, as paths inside the spec. */
export function tooWide(
  { networkPolicy = {} }: AgentSpec,
  network: NetworkRules | undefined,
  namespace: string,
): readonly string[] {
  if (networkPolicy.management === 'Unmanaged' || !isIsolated(network)) return [];
  const { ingress, egress } = allowedTraffic(network);
  const wider = (path: string, rules: readonly Rule[], allowed: readonly Rule[]) =>
    rules.flatMap((rule, index) => (isWithin(rule, allowed, namespace) ? [] : [`networkPolicy.${path}[${index}]`]));
  return [
    ...wider('ingress', (networkPolicy.ingress ?? []).map(fromOthers), ingress.map(fromOthers)),
    ...wider('egress', (networkPolicy.egress ?? []).map(toOthers), egress.map(toOthers)),
  ];
}

function fromOthers({ from = [], ports = [] }: IngressRule): Rule {
  return { peers: from, ports };
}

function toOthers({ to = [], ports = [] }: EgressRule): Rule {
  return { peers: to, ports };
}

/**
 * The NetworkPolicy of an Agent: its own rules, and the way to DNS where its Tenant has that open. Every field is
 * given, the empty ones too: what we leave out is not ours, and a rule that somebody adds there stays.
 */
export function agentNetworkPolicy(
  { apiVersion, kind, metadata: { name, namespace, uid }, spec }: Agent,
  tenant: string,
  network: NetworkRules | undefined,
): KubernetesObject & { readonly spec: object } {
  const { ingress = [], egress = [] } = spec.networkPolicy ?? {};
  return {
    apiVersion: apiVersionOf(networkPolicyResource),
    kind: networkPolicyResource.kind,
    metadata: {
      name: `openos-agent-${name}`,
      namespace,
      labels: {
        'app.kubernetes.io/managed-by': 'openos',
        [labels.agent]: name,
        [labels.agentUid]: uid,
        [labels.tenant]: tenant,
      },
      ownerReferences: [{ apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: false }],
    },
    spec: {
      podSelector: { matchLabels: { [labels.agentUid]: uid } },
      policyTypes: ['Ingress', 'Egress'],
      ingress,
      egress: [...dnsOf(network), ...egress],
    },
  };
}

/** Whether it stands as it should, owner included: its end is the end of the policy. */
export function isPolicyInOrder(wanted: KubernetesObject, child: ObservedChild): boolean {
  return isInOrder(wanted, child) && controllerUid(child.object) === controllerUid(wanted);
}

import type { V1LabelSelector, V1NetworkPolicyPeer, V1NetworkPolicyPort } from '@kubernetes/client-node';
import type { Plain } from '../../api/v1alpha1/common.ts';
import { isSubnet, overlap } from '../cidr.ts';

/**
 * Whether what one rule of a NetworkPolicy lets through, other rules let through as well. Judged by the rules alone
 * and never too kindly: each peer on each port must lie within one peer on one port of one single rule, and a
 * selector within another only when its own words say so. What several rules allow only together is not found.
 */

export type Peer = Plain<V1NetworkPolicyPeer>;
export type Port = Plain<V1NetworkPolicyPort>;
/** An ingress or egress rule: without peers it is about everybody, without ports about all of them. */
export type Rule = { readonly peers: readonly Peer[]; readonly ports: readonly Port[] };
type Selector = Plain<V1LabelSelector>;

const namespaceName = 'kubernetes.io/metadata.name';

/** Whether `rule`, of a policy in `namespace`, lets through nothing that `allowed`, of the same place, does not. */
export function isWithin(rule: Rule, allowed: readonly Rule[], namespace: string): boolean {
  return orAny(rule.peers).every((peer) =>
    orAny(rule.ports).every((port) =>
      allowed.some(
        (other) =>
          orAny(other.peers).some((wider) => isPeerWithin(peer, wider, namespace)) &&
          orAny(other.ports).some((wider) => isPortWithin(port, wider)),
      ),
    ),
  );
}

/** An empty list stands for all there is: here, for one entry that is undefined. */
function orAny<Entry>(entries: readonly Entry[]): readonly (Entry | undefined)[] {
  return entries.length === 0 ? [undefined] : entries;
}

function isPortWithin(port: Port | undefined, wider: Port | undefined): boolean {
  if (wider === undefined) return true;
  if (port === undefined || (port.protocol ?? 'TCP') !== (wider.protocol ?? 'TCP')) return false;
  if (wider.port === undefined) return true;
  // A name means another number for every pod, so it is within itself alone.
  if (typeof port.port !== 'number' || typeof wider.port !== 'number') return port.port === wider.port;
  return port.port >= wider.port && (port.endPort ?? port.port) <= (wider.endPort ?? wider.port);
}

function isPeerWithin(peer: Peer | undefined, wider: Peer | undefined, namespace: string): boolean {
  if (wider === undefined) return true;
  if (peer === undefined) return false;
  if (peer.ipBlock !== undefined || wider.ipBlock !== undefined) return isBlockWithin(peer.ipBlock, wider.ipBlock);
  const isPlace = isSelectorWithin(namespacesOf(peer, namespace), namespacesOf(wider, namespace));
  return isPlace && isSelectorWithin(peer.podSelector ?? {}, wider.podSelector ?? {});
}

/** A peer that names no namespaces is about those of its policy. */
function namespacesOf({ namespaceSelector }: Peer, namespace: string): Selector {
  return namespaceSelector ?? { matchLabels: { [namespaceName]: namespace } };
}

function isBlockWithin(block: Peer['ipBlock'], wider: Peer['ipBlock']): boolean {
  if (block === undefined || wider === undefined || !isSubnet(block.cidr, wider.cidr)) return false;
  const left = (wider.except ?? []).filter((except) => overlap(except, block.cidr));
  return left.every((except) => (block.except ?? []).some((own) => isSubnet(except, own)));
}

/** What a selector asks of one label. */
type Demand = { readonly key: string; readonly operator: string; readonly values: readonly string[] };

function isSelectorWithin(selector: Selector, wider: Selector): boolean {
  const own = demandsOf(selector);
  return demandsOf(wider).every((demand) => own.some((each) => each.key === demand.key && implies(each, demand)));
}

function demandsOf({ matchLabels = {}, matchExpressions = [] }: Selector): readonly Demand[] {
  return [
    ...Object.entries(matchLabels).map(([key, value]) => ({ key, operator: 'In', values: [value] })),
    ...matchExpressions.map(({ key, operator, values = [] }) => ({ key, operator, values })),
  ];
}

/** Whether whatever fulfils `one` fulfils `other`, which is about the same label. */
function implies(one: Demand, other: Demand): boolean {
  switch (other.operator) {
    case 'In':
      return one.operator === 'In' && one.values.every((value) => other.values.includes(value));
    case 'NotIn':
      if (one.operator === 'DoesNotExist') return true;
      if (one.operator === 'In') return !one.values.some((value) => other.values.includes(value));
      return one.operator === 'NotIn' && other.values.every((value) => one.values.includes(value));
    case 'Exists':
      return one.operator === 'Exists' || one.operator === 'In';
    case 'DoesNotExist':
      return one.operator === 'DoesNotExist';
    default:
      return false;
  }
}

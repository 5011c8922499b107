import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import { anAgent, anObservedAgent, aPath } from '../../testkit/builders.ts';
import type { ObservedChild } from '../children.ts';
import type { NetworkRules } from '../network.ts';
import { decide } from './decide.ts';
import type { AgentObserved } from './facts.ts';
import { agentNetworkPolicy, tooWide } from './networkpolicy.ts';

const image = 'registry.test/scout:1';
const https = (cidr: string) => ({ to: [{ ipBlock: { cidr } }], ports: [{ port: 443 }] });
const network: NetworkRules = { allowEgress: [https('10.0.0.0/8')] };
const spec: AgentSpec = { image, networkPolicy: { egress: [https('10.1.0.0/16')] } };
const agent = anAgent({ spec });
const begun = aPath(['Created', { spec }]);
const wanted = agentNetworkPolicy(agent, 'acme', network);

function standing(changes: object = {}): ObservedChild {
  const metadata = { ...wanted.metadata, uid: 'policy-uid', resourceVersion: '1' };
  const object = { ...wanted, metadata, ...changes };
  return {
    resource: {
      group: 'networking.k8s.io',
      version: 'v1',
      kind: 'NetworkPolicy',
      plural: 'networkpolicies',
      namespaced: true,
    },
    object,
  };
}

/** What is done about the policy of an agent that has begun. */
function done(overrides: Partial<AgentObserved> = {}): readonly string[] {
  const tenancy = { kind: 'member', tenant: 'acme', rules: { network } } as const;
  const look = anObservedAgent({ agent, tenancy, history: begun, podOnItsWay: true, ...overrides });
  return decide(look, 0)
    .plan.filter(
      (action) =>
        ('resource' in action ? action.resource : 'ref' in action ? action.ref.resource : undefined)?.kind ===
        'NetworkPolicy',
    )
    .map(({ kind }) => kind);
}

describe('what reaches further than the Tenant allows', () => {
  test.each<[string, AgentSpec['networkPolicy'], NetworkRules | undefined, readonly string[]]>([
    ['a part of it does not', { egress: [https('10.1.0.0/16')] }, network, []],
    ['no rules do not', {}, undefined, []],
    ['DNS does not, where it is allowed', { egress: [dns()] }, {}, []],
    ['DNS does, where it is not', { egress: [dns()] }, { allowDNS: false }, ['networkPolicy.egress[0]']],
    ['the second rule does', { egress: [https('10.1.0.0/16'), {}] }, network, ['networkPolicy.egress[1]']],
    [
      'what may go out may not come in',
      { ingress: [{ from: [{ ipBlock: { cidr: '10.1.0.0/16' } }] }] },
      network,
      ['networkPolicy.ingress[0]'],
    ],
    ['nothing does in a Tenant that denies nothing', { ingress: [{}], egress: [{}] }, { isolation: 'Unmanaged' }, []],
    ['nothing does that is not managed', { management: 'Unmanaged' }, undefined, []],
  ])('%s', (_name, networkPolicy, allowed, expected) => {
    expect(tooWide({ image, ...(networkPolicy && { networkPolicy }) }, allowed, 'research')).toEqual(expected);
  });

  function dns() {
    return {
      to: [
        {
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
          podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
        },
      ],
      ports: [{ protocol: 'UDP', port: 53 }],
    };
  }
});

describe('the policy of an Agent', () => {
  test('selects its pods by UID, and has every field: what is left out would not be ours', () => {
    expect(wanted.metadata.ownerReferences).toMatchObject([{ uid: 'agent-uid', controller: true }]);
    expect(
      agentNetworkPolicy(anAgent({ spec: { image, networkPolicy: {} } }), 'acme', { allowDNS: false }).spec,
    ).toEqual({
      podSelector: { matchLabels: { 'openos.dev/agent-uid': 'agent-uid' } },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [],
      egress: [],
    });
  });

  test('is made, and let be while it is in order', () => {
    expect(done()).toEqual(['apply']);
    expect(done({ policy: standing() })).toEqual([]);
  });

  test.each<[string, object]>([
    ['its rules', { spec: { podSelector: {} } }],
    ['its labels', { metadata: { ...standing().object.metadata, labels: {} } }],
    ['its owner', { metadata: { ...standing().object.metadata, ownerReferences: [] } }],
  ])('is put back when somebody changed %s', (_name, changes) => {
    expect(done({ policy: standing(changes) })).toEqual(['apply']);
  });

  test('goes when it is not asked for, and when the Tenant allows less', () => {
    const history = aPath(['Created', { spec: { image } }]);
    expect(done({ agent: anAgent({ spec: { image } }), history, policy: standing() })).toEqual(['delete']);
    const rules = { network: { allowEgress: [https('10.2.0.0/16')] } };
    expect(done({ tenancy: { kind: 'member', tenant: 'acme', rules }, policy: standing() })).toEqual(['delete']);
  });

  test('stays as it is while nobody can say what it should be', () => {
    expect(done({ tenancy: { kind: 'none' }, policy: standing({ spec: {} }) })).toEqual([]);
    expect(done({ invalid: 'spec.image: too long', policy: standing({ spec: {} }) })).toEqual([]);
  });

  test('is put back without the database, too, of an agent that has begun', () => {
    const history = { kind: 'unavailable', message: 'away' } as const;
    const begun = anAgent({ spec, status: { observedGeneration: 1, podRef: { name: 'a', uid: 'b' } } });
    expect(done({ history, agent: begun })).toEqual(['apply']);
    expect(done({ history })).toEqual([]);
  });
});

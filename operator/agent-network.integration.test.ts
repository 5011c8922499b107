import type { V1NetworkPolicySpec } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentSpec } from './api/v1alpha1/agent.ts';
import type { TenantSpec } from './api/v1alpha1/tenant.ts';
import { findCondition, isTrue } from './kernel/conditions.ts';
import type { StoredObject } from './kernel/object.ts';
import { networkPolicyResource } from './resources/builtin.ts';
import { agentResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import { startWorld, type World } from './testkit/world.ts';

/** An Agent's own NetworkPolicy on a real API server: within what its Tenant allows, put back, and gone in time. */

type Policy = StoredObject & { readonly spec: V1NetworkPolicySpec };

const namespace = 'net';
const image = 'registry.test/agent:1';
/** Deleted or edited by hand, it is back within this. */
const restoredMs = 5_000;

const https = (cidr: string) => ({ to: [{ ipBlock: { cidr } }], ports: [{ port: 443 }] });
const network = { allowEgress: [https('10.20.0.0/16')] };
const spec: AgentSpec = { image, networkPolicy: { egress: [https('10.20.1.0/24')] } };

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
  await world.createTenant(namespace, { namespaces: [{ name: namespace }], network });
  await world.tenantStatus(namespace, 'Ready', ({ conditions = [] }) => isTrue(conditions, 'Ready'));
});
afterAll(() => world?.stop());

const refOf = (agent: string) => ({ resource: networkPolicyResource, namespace, name: `openos-agent-${agent}` });
const policyOf = (agent: string) => world.cluster.client.get<Policy>(refOf(agent));
const blocksOf = (policy: Policy | undefined) =>
  policy?.spec.egress?.flatMap(({ to = [] }) => to.map(({ ipBlock }) => ipBlock?.cidr).filter((cidr) => cidr));
const patch = (kind: string, name: string, change: object) =>
  world.cluster.kubectl('patch', kind, name, '-n', namespace, '--type=merge', '-p', JSON.stringify({ spec: change }));
const setNetwork = (value: TenantSpec['network']) => patch('tenant', namespace, { network: value });

const hasBlocks = (agent: string, cidrs: readonly string[], withinMs?: number) =>
  eventually(
    `the policy of ${agent} lets through ${cidrs.join(', ')}`,
    async () => {
      const policy = await policyOf(agent);
      if (JSON.stringify(blocksOf(policy)) === JSON.stringify(cidrs)) return policy as Policy;
      throw new Error(JSON.stringify(policy?.spec));
    },
    withinMs,
  );
/** The collector of the cluster takes a policy along with its Agent; it learns of new kinds twice a minute. */
const hasNone = (agent: string) =>
  eventually(`the policy of ${agent} is gone`, async () => (await policyOf(agent)) === undefined, 60_000);

describe('the NetworkPolicy of an Agent', () => {
  it('is there before the pod, selects it alone and keeps the way to DNS open', async () => {
    await world.createAgent(namespace, 'walker', spec);
    const { podRef } = await world.ready(namespace, 'walker');
    const { uid } = (await world.agent(namespace, 'walker'))?.metadata ?? { uid: '' };
    const policy = await hasBlocks('walker', ['10.20.1.0/24']);
    expect(policy.spec.podSelector).toEqual({ matchLabels: { 'openos.dev/agent-uid': uid } });
    expect(policy.spec.policyTypes).toEqual(['Ingress', 'Egress']);
    expect(policy.spec.egress?.[0]?.ports?.map(({ port }) => port)).toEqual([53, 53]);
    expect(policy.metadata.ownerReferences).toMatchObject([{ uid, controller: true }]);
    const pod = (await world.podsOf(uid)).find(({ metadata }) => metadata.name === podRef?.name);
    const made = (object: StoredObject | undefined) => Date.parse(object?.metadata.creationTimestamp ?? '');
    expect(made(policy)).toBeLessThanOrEqual(made(pod));
    expect(pod?.metadata.labels).toMatchObject({ 'openos.dev/network': 'own' });
    // What is allowed to all leaves it out: policies add up.
    const all = await world.cluster.client.get<Policy>({ ...refOf(''), name: 'openos-allow' });
    expect(all?.spec.podSelector).toEqual({
      matchExpressions: [{ key: 'openos.dev/network', operator: 'DoesNotExist' }],
    });
  });

  it.each<[string, () => Promise<unknown>]>([
    ['deleted', () => world.delete(refOf('walker'))],
    ['opened', () => patch('networkpolicy', 'openos-agent-walker', { egress: [{}], podSelector: {} })],
    [
      'disowned',
      () =>
        world.cluster.kubectl(
          'label',
          'networkpolicy',
          'openos-agent-walker',
          '-n',
          namespace,
          'openos.dev/agent-uid-',
          'openos.dev/tenant-',
        ),
    ],
  ])('is back within seconds when it was %s by hand', async (_what, tamper) => {
    const before = await policyOf('walker');
    await tamper();
    const policy = await eventually(
      'the policy is as it was',
      async () => {
        const now = await policyOf('walker');
        const same = (key: 'spec' | 'labels') =>
          JSON.stringify(key === 'spec' ? now?.spec : now?.metadata.labels) ===
          JSON.stringify(key === 'spec' ? before?.spec : before?.metadata.labels);
        return same('spec') && same('labels') && now?.metadata.resourceVersion !== before?.metadata.resourceVersion
          ? now
          : undefined;
      },
      restoredMs,
    );
    expect(policy?.metadata.ownerReferences).toEqual(before?.metadata.ownerReferences);
  });

  it('follows the spec without another pod, and goes when no rules are asked for', async () => {
    const { podRef } = await world.ready(namespace, 'walker');
    await patch('agent', 'walker', { networkPolicy: { egress: [https('10.20.2.0/24')] } });
    await hasBlocks('walker', ['10.20.2.0/24']);
    expect((await world.ready(namespace, 'walker')).podRef).toEqual(podRef);
    // Which policies apply to a pod is in its labels: leaving its own rules behind takes a new pod.
    await patch('agent', 'walker', { networkPolicy: null });
    await hasNone('walker');
    await world.status(
      namespace,
      'walker',
      'in another pod',
      (status) => status.podRef?.uid !== podRef?.uid && status.phase === 'Ready',
    );
  });

  it('goes with its Agent', async () => {
    await world.createAgent(namespace, 'brief', spec);
    await world.ready(namespace, 'brief');
    await hasBlocks('brief', ['10.20.1.0/24']);
    await world.delete({ resource: agentResource, namespace, name: 'brief' });
    await hasNone('brief');
  });
});

describe('an Agent that asks for more than its Tenant allows', () => {
  it('has no policy and no pod, and says which rule it is', async () => {
    await world.createAgent(namespace, 'greedy', { image, networkPolicy: { egress: [https('10.20.0.0/15')] } });
    const status = await world.status(namespace, 'greedy', 'NotAllowed', ({ reason }) => reason === 'NotAllowed');
    expect(status.message).toContain('spec.networkPolicy.egress[0]');
    expect(await policyOf('greedy')).toBeUndefined();
    await patch('agent', 'greedy', { networkPolicy: { egress: [https('10.20.0.0/16')] } });
    await world.ready(namespace, 'greedy');
  });

  it('loses its policy when the Tenant narrows down, keeps its pod, and has it back when it widens', async () => {
    const { podRef } = await world.ready(namespace, 'greedy');
    await setNetwork({ allowEgress: [https('10.20.0.0/24')] });
    await hasNone('greedy');
    const narrowed = await world.status(namespace, 'greedy', 'told', ({ conditions = [] }) => {
      return findCondition(conditions, 'TenantReady')?.reason === 'NotAllowed';
    });
    expect(narrowed).toMatchObject({ phase: 'Ready', podRef });
    await setNetwork(network);
    await hasBlocks('greedy', ['10.20.0.0/16']);
    await world.status(
      namespace,
      'greedy',
      'in order',
      ({ conditions = [] }) => !findCondition(conditions, 'TenantReady'),
    );
  });
});

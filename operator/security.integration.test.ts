import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findHelm, render } from '../hack/chart/helm.ts';
import { podSecurityViolations } from '../hack/chart/pod-security.ts';
import type { AgentSpec } from './api/v1alpha1/agent.ts';
import type { TenantSpec } from './api/v1alpha1/tenant.ts';
import { isTrue } from './kernel/conditions.ts';
import { loadKubeConfig } from './kernel/credentials.ts';
import { ApiError } from './kernel/errors.ts';
import type { KubernetesObject, StoredObject } from './kernel/object.ts';
import { Transport } from './kernel/transport.ts';
import { podResource } from './resources/builtin.ts';
import { agentPoolResource, agentResource, tenantResource } from './resources/own.ts';
import { type Attack, aPod, attacks, type Targets } from './security.cases.ts';
import { type AgentAttack, agentAttacks } from './security-agents.cases.ts';
import { installRights, kubeconfigOf, releaseNamespace } from './testkit/chart.ts';
import { eventually } from './testkit/eventually.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

const account = (namespace: string, name: string) => `system:serviceaccount:${namespace}:${name}`;

const bounded: TenantSpec = {
  namespaces: [{ name: 'acme' }],
  // The most a tenant can have, and the least with which one can make Agents.
  owners: [
    { kind: 'ServiceAccount', name: account('acme', 'olga'), role: 'Owner' },
    { kind: 'ServiceAccount', name: account('acme', 'mel'), role: 'Member' },
  ],
  quota: { hard: { pods: 100 } },
  limitRange: { limits: [{ type: 'Container', defaultRequest: { cpu: '10m' } }] },
  allowedRegistries: ['registry.test'],
  nodeSelector: { type: 'kwok' },
};

let world: World;
let owner: Transport;
let member: Transport;
let admin: Transport;
let targets: Targets;
const kubectl = (...args: readonly string[]) => world.cluster.kubectl(...args);
const report: (readonly [string, string, string])[] = [];

async function transportOf(namespace: string, name: string): Promise<Transport> {
  const kubeconfig = await kubeconfigOf(world.cluster, namespace, name);
  return new Transport({ credentials: loadKubeConfig(kubeconfig), version: 'test' });
}

async function makeTargets(): Promise<Targets> {
  const { client } = world.cluster;
  const pools = ['acme', 'victim'].map((namespace) =>
    client.create<StoredObject>(agentPoolResource, {
      apiVersion: 'openos.dev/v1alpha1',
      kind: 'AgentPool',
      metadata: { name: 'pool', namespace },
      spec: { replicas: 1, template: { spec: { image: 'registry.test/agent:1' } } },
    } as KubernetesObject),
  );
  const [ownPool, victimPool] = await Promise.all(pools);
  for (const [namespace, name] of [
    ['acme', 'own'],
    ['victim', 'target'],
  ] as const)
    await world.createAgent(namespace, name);
  const [ownAgent, victimAgent] = [await world.ready('acme', 'own'), await world.ready('victim', 'target')];
  const members = () => kubectl('get', 'agents', '-n', 'acme', '-l', 'openos.dev/pool=pool', '-o', 'name');
  const made = await eventually('the pool has its Agent', async () => (await members()).trim() || undefined);
  return {
    ownPod: ownAgent.podRef?.name ?? '',
    victimPod: victimAgent.podRef?.name ?? '',
    ownPoolUid: ownPool?.metadata.uid ?? '',
    victimPoolUid: victimPool?.metadata.uid ?? '',
    member: made.split('/')[1] ?? '',
  };
}

beforeAll(async () => {
  world = await startWorld();
  admin = new Transport({ credentials: world.cluster.credentials, version: 'test' });
  await installRights(world.cluster, await render(await findHelm()));
  const operator = await kubeconfigOf(world.cluster, releaseNamespace, 'openos-controller');
  await world.startOperator({ KUBECONFIG: operator, OPENOS_NAMESPACE: releaseNamespace });
  await world.createTenant('acme', bounded);
  await world.tenantStatus('acme', 'Ready', ({ conditions = [] }) => isTrue(conditions, 'Ready'));
  for (const name of ['victim', 'hostage']) await world.tenant(name);
  await takeHostage();
  for (const name of ['olga', 'mel']) await kubectl('create', 'serviceaccount', name, '-n', 'acme');
  owner = await transportOf('acme', 'olga');
  member = await transportOf('acme', 'mel');
  await kubectl('create', 'serviceaccount', 'robot-of-victim', '-n', 'victim');
  await kubectl('create', 'secret', 'generic', 'pull', '-n', 'victim', '--from-literal=token=s3cret');
  await kubectl('create', 'secret', 'generic', 'key', '-n', 'acme', '--from-literal=token=own');
  await kubectl('create', 'service', 'clusterip', 'plain', '-n', 'acme', '--tcp=80');
  const runc = { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'runc' }, handler: 'runc' };
  await admin.request('POST', '/apis/node.k8s.io/v1/runtimeclasses', { body: runc });
  targets = await makeTargets();
  await eventually('the policies are in force', async () => {
    const pod = aPod('acme', { runtimeClassName: null });
    return (
      (await outcomeOf(admin, { method: 'POST', path: '/api/v1/namespaces/acme/pods', body: pod }, true)) === 'policy'
    );
  });
});
afterAll(async () => {
  await Promise.all([owner?.close(), member?.close(), admin?.close()]);
  await world?.stop();
  console.log(table(report));
});

type Request = Pick<Attack, 'method' | 'path' | 'body' | 'contentType' | 'headers'>;

/** Which layer refuses the request; 'nobody' when it succeeds. */
async function outcomeOf(as: Transport, { method, path, ...rest }: Request, dry = false): Promise<string> {
  const { body, contentType, headers } = rest;
  try {
    await as.request(method, path, {
      body,
      ...(contentType === undefined ? {} : { contentType }),
      ...(headers === undefined ? {} : { headers }),
      ...(dry ? { query: { dryRun: 'All' } } : {}),
    });
    return 'nobody';
  } catch (error) {
    if (error instanceof ApiError) return layerOf(error);
    throw error;
  }
}

function layerOf({ status, code, serverMessage }: ApiError): string {
  if (/ValidatingAdmissionPolicy 'openos-/.test(serverMessage)) return 'policy';
  if (/violates PodSecurity/.test(serverMessage)) return 'Pod Security';
  if (/User "[^"]*" cannot |attempting to grant RBAC permissions/.test(serverMessage)) return 'rights';
  return status === 422 ? 'schema' : `${status} ${code}`;
}

function table(rows: readonly (readonly [string, string, string])[]): string {
  const heading = ['attack', 'would win', 'stopped by'] as const;
  const width = (column: 0 | 1) => Math.max(...[heading, ...rows].map((row) => row[column].length));
  const line = (row: readonly [string, string, string]) =>
    `${row[0].padEnd(width(0))}  ${row[1].padEnd(width(1))}  ${row[2]}`;
  const succeeded = rows.filter(([, , by]) => by === 'nobody').length;
  return [line(heading), ...rows.map(line), `${rows.length} attacks, ${succeeded} succeeded`].join('\n');
}

/** An Agent with a finalizer of somebody else's, in a Tenant that is to go with its namespaces. */
async function takeHostage(): Promise<void> {
  const { client } = world.cluster;
  await world.createAgent('hostage', 'stuck');
  await world.ready('hostage', 'stuck');
  await kubectl(
    'patch',
    'agent',
    'stuck',
    '-n',
    'hostage',
    '--type=merge',
    '-p',
    '{"metadata":{"finalizers":["acme.test/never"]}}',
  );
  await kubectl('patch', 'tenant', 'hostage', '--type=merge', '-p', '{"spec":{"deletionPolicy":"Delete"}}');
  const tenant = await client.get<StoredObject>({ resource: tenantResource, name: 'hostage' });
  await client.delete({ resource: tenantResource, name: 'hostage' }, { uid: tenant?.metadata.uid ?? '' });
}

// The cases need objects that do not exist yet when tests are collected: only what each is about does.
const named = attacks({ ownPod: 'p', victimPod: 'p', ownPoolUid: 'u', victimPoolUid: 'u', member: 'm' });

describe('an owner of a tenant', () => {
  it.each(named.map(({ what, by }, index) => [what, by, index] as const))('%s: %s refuse', async (what, by, index) => {
    const attack = attacks(targets)[index] as Attack;
    if (attack.noDryRun !== true && by !== 'schema') expect(await outcomeOf(admin, attack, true)).toBe('nobody');
    const stopped = await outcomeOf(owner, attack);
    report.push([what, attack.wins, stopped]);
    expect(stopped).toBe(by);
  });
});

describe('an Agent that asks for', () => {
  it.each(
    agentAttacks.map((attack, index) => [attack.what, attack, index] as const),
  )('%s gets no pod', async (what, attack, index) => {
    const stopped = await outcomeOfAgent(`attack-${index}`, attack);
    report.push([`an Agent with ${what}`, attack.wins, stopped]);
    expect(stopped).toBe(attack.by);
  });

  it('the same in a pool is refused in the pool', async () => {
    const spec = {
      template: { spec: { containers: [{ name: 'agent', image: 'registry.test/a' }], hostNetwork: true } },
    };
    const body = {
      apiVersion: 'openos.dev/v1alpha1',
      kind: 'AgentPool',
      metadata: { name: 'fleet' },
      spec: { replicas: 2, template: { spec } },
    };
    await owner.request('POST', '/apis/openos.dev/v1alpha1/namespaces/acme/agentpools', { body });
    const list = () =>
      world.cluster.client.list<StoredAgent>(agentResource, {
        namespace: 'acme',
        labelSelector: 'openos.dev/pool=fleet',
      });
    const members = await eventually(
      'its Agents are refused their pods',
      async () => {
        const { items } = await list();
        return items.length === 2 && items.every(({ status }) => status?.reason === 'PodRejected') && items;
      },
      30_000,
    );
    for (const { metadata } of members) expect(await world.podsOf(metadata.uid)).toEqual([]);
  });
});

/** Which layer keeps the Agent from a pod; 'nobody' when it has one. */
async function outcomeOfAgent(name: string, { spec }: AgentAttack): Promise<string> {
  const made = await agentBy(owner, name, spec).catch((error: unknown) => error);
  if (made instanceof ApiError) return layerOf(made);
  const { metadata } = made as StoredAgent;
  const settled = await world.status(
    'acme',
    name,
    'is refused or has a pod',
    ({ reason, podRef }) => podRef !== undefined || reason === 'NotAllowed' || reason === 'PodRejected',
  );
  if ((await world.podsOf(metadata.uid)).length > 0) return 'nobody';
  if (settled.reason !== 'PodRejected') return settled.reason ?? '';
  const { message = '' } = settled;
  if (/serviceaccount "[^"]*" not found/.test(message)) return 'no such account';
  return layerOf(new ApiError('', /is invalid: /.test(message) ? 422 : 403, { message }));
}

function agentBy(
  as: Transport,
  name: string,
  spec: object,
  metadata: object = {},
  status?: object,
): Promise<StoredAgent> {
  const body = {
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'Agent',
    metadata: { name, ...metadata },
    spec,
    ...(status === undefined ? {} : { status }),
  };
  return as.request('POST', '/apis/openos.dev/v1alpha1/namespaces/acme/agents', { body });
}

type PodSpec = Readonly<Record<string, unknown>> & { readonly nodeSelector?: Readonly<Record<string, string>> };

async function podOf(uid: string): Promise<StoredObject & { readonly spec: PodSpec }> {
  const [pod] = await world.podsOf(uid);
  if (pod === undefined) throw new Error(`no pod of ${uid}`);
  return pod as StoredObject & { readonly spec: PodSpec };
}

const image = 'registry.test/agent:1';

function noEffect(what: string, wins: string): void {
  report.push([what, wins, 'no effect']);
}

describe('what an Agent says of itself has no effect:', () => {
  it("labels and annotations that name another's pod, pool and tenant", async () => {
    const victim = await world.agent('victim', 'target');
    const before = await podOf(victim?.metadata.uid ?? '');
    const notes = { 'openos.dev/pod-name': targets.victimPod, 'agents.x-k8s.io/pod-name': targets.victimPod };
    const labels = {
      'openos.dev/agent-uid': victim?.metadata.uid,
      'openos.dev/pool': 'pool',
      'openos.dev/tenant': 'victim',
    };
    const { metadata } = await agentBy(owner, 'impostor', { image }, { labels, annotations: notes });
    const { podRef } = await world.ready('acme', 'impostor');
    expect(podRef?.name).not.toBe(targets.victimPod);
    const pod = await podOf(metadata.uid);
    expect(pod.metadata.namespace).toBe('acme');
    expect(pod.metadata.labels).toMatchObject({ 'openos.dev/agent-uid': metadata.uid, 'openos.dev/tenant': 'acme' });
    expect(pod.metadata.labels).not.toHaveProperty(['openos.dev/pool']);

    await kubectl('delete', 'agent', 'impostor', '-n', 'acme');
    await world.recorded(metadata.uid, 'Deleted');
    for (const event of await world.events(metadata.uid)) {
      expect(event.subject).toMatch(/^openos\.events\.acme\.agent\.[a-z]+\.v1$/);
      expect(event.event.tenant_id).toBe('acme');
    }
    expect((await podOf(victim?.metadata.uid ?? '')).metadata).toEqual(before.metadata);
    noEffect('an Agent annotated with the name of a foreign pod', "control over another tenant's pod");
    noEffect('an Agent labelled as of another tenant or pool', "events and numbers in another tenant's name");
  });

  it('a status it was made with', async () => {
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'AgentReady',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const made = await agentBy(
      owner,
      'boaster',
      { image },
      {},
      { phase: 'Ready', tenant: 'victim', conditions: [ready] },
    );
    expect(made.status).not.toHaveProperty('tenant');
    expect((await world.ready('acme', 'boaster')).tenant).toBe('acme');
    noEffect('an Agent made with a status', 'a Ready that was never told');
  });

  it('a node, ephemeral containers and a place that its Tenant does not give', async () => {
    const containers = [{ name: 'agent', image }];
    const spec = {
      containers,
      nodeName: 'no-such-node',
      ephemeralContainers: containers,
      nodeSelector: { type: 'other' },
    };
    const { metadata } = await agentBy(owner, 'squatter', { template: { spec } });
    await world.ready('acme', 'squatter');
    const pod = await podOf(metadata.uid);
    expect(pod.spec.nodeName).toMatch(/^fake-/);
    expect(pod.spec).not.toHaveProperty('ephemeralContainers');
    expect(pod.spec.nodeSelector).toEqual({ type: 'kwok' });
    noEffect('a template with static fields (nodeName, ephemeralContainers)', 'a node without the scheduler');
    noEffect("a nodeSelector against the Tenant's", 'a node that is not for this tenant');
  });

  it('a network policy wider than its Tenant allows', async () => {
    const policies = () => kubectl('get', 'networkpolicies', '-n', 'acme', '-o', 'jsonpath={.items[*].spec}');
    const before = await policies();
    await agentBy(owner, 'talker', { image, networkPolicy: { egress: [{}], ingress: [{}] } });
    await world.status('acme', 'talker', 'says what it lacks', ({ conditions = [] }) =>
      conditions.some(({ type, status }) => type === 'Ready' && status === 'False'),
    );
    await eventually(
      'it has been decided on',
      async () => ((await world.agent('acme', 'talker'))?.status?.observedGeneration ?? -1) > 0,
    );
    expect(await policies()).toBe(before);
    noEffect('an Agent with a permissive network policy', 'every address: policies add up');
  });
});

describe('nothing hangs', () => {
  it('when an Agent that has a finalizer is deleted: its pod goes and its end is told', async () => {
    const { metadata } = await agentBy(owner, 'clinging', { image }, { finalizers: ['acme.test/never'] });
    await world.ready('acme', 'clinging');
    await owner.request('DELETE', '/apis/openos.dev/v1alpha1/namespaces/acme/agents/clinging');
    await world.recorded(metadata.uid, 'Deleted');
    expect(await world.podsOf(metadata.uid)).toEqual([]);
    noEffect('a finalizer on an Agent', 'a pod that outlives its Agent');
  });

  it('when a Tenant goes whose namespace is held by a finalizer: a minute later it is gone', async () => {
    const tenant = () => world.cluster.client.get({ resource: tenantResource, name: 'hostage' });
    await eventually('the Tenant is gone', async () => (await tenant()) === undefined, 80_000, 500);
    noEffect('a finalizer on an Agent of a Tenant that is deleted', 'a Tenant that can never go');
  }, 90_000);
});

describe('whoever may create Agents', () => {
  it('may use any Secret and ServiceAccount of that namespace, and of no other', async () => {
    const read = { method: 'GET', path: '/api/v1/namespaces/acme/secrets/key' } as const;
    expect(await outcomeOf(member, read)).toBe('rights');
    const spec: AgentSpec = {
      image,
      envFrom: [{ secretRef: { name: 'key' } }],
      imagePullSecrets: [{ name: 'key' }],
      serviceAccountName: 'olga',
      automountServiceAccountToken: true,
    };
    const { metadata } = await agentBy(member, 'borrower', spec);
    await world.ready('acme', 'borrower');
    // A reference has a name and no namespace: it is resolved where the pod is.
    const pod = await podOf(metadata.uid);
    expect(pod.metadata.namespace).toBe('acme');
    expect(pod.spec).toMatchObject({ serviceAccountName: 'olga', imagePullSecrets: [{ name: 'key' }] });
    const body = {
      apiVersion: 'openos.dev/v1alpha1',
      kind: 'Agent',
      metadata: { name: 'thief' },
      spec: { ...spec, envFrom: [{ secretRef: { name: 'pull' } }] },
    };
    const theft = { method: 'POST', path: '/apis/openos.dev/v1alpha1/namespaces/victim/agents', body } as const;
    expect(await outcomeOf(member, theft)).toBe('rights');
  });
});

describe('a subject of the event stream', () => {
  it.each([
    'a.b',
    '*',
    '>',
    'a b',
    'ACME',
    'acme.agent.ready.v1',
  ])('never has a tenant called "%s" in it', async (name) => {
    const body = { apiVersion: 'openos.dev/v1alpha1', kind: 'Tenant', metadata: { name }, spec: {} };
    const stopped = await outcomeOf(admin, { method: 'POST', path: '/apis/openos.dev/v1alpha1/tenants', body });
    report.push([`a Tenant called "${name}"`, "another tenant's subjects", stopped]);
    expect(stopped).toBe('schema');
  });
});

describe('after all of it', () => {
  it('every pod of the tenant is in the sandbox and restricted, and the other tenant is as it was', async () => {
    const { items } = await world.cluster.client.list<StoredObject & { readonly spec: PodSpec }>(podResource, {
      namespace: 'acme',
    });
    expect(items.length).toBeGreaterThan(3);
    for (const { metadata, spec } of items) {
      expect([metadata.name, spec.runtimeClassName, podSecurityViolations(spec)]).toEqual([
        metadata.name,
        'gvisor',
        [],
      ]);
    }
    expect((await world.agent('victim', 'target'))?.status).toMatchObject({
      phase: 'Ready',
      podRef: { name: targets.victimPod },
    });
    expect(report.filter(([, , stopped]) => stopped === 'nobody')).toEqual([]);
  });
});

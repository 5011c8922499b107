import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findHelm, render } from '../hack/chart/helm.ts';
import type { AgentSpec } from './api/v1alpha1/agent.ts';
import { isTrue } from './kernel/conditions.ts';
import { installRights, kubeconfigOf, releaseNamespace } from './testkit/chart.ts';
import { eventually } from './testkit/eventually.ts';
import { startWorld, type World } from './testkit/world.ts';

const operator = `system:serviceaccount:${releaseNamespace}:openos-controller`;
const collector = 'system:serviceaccount:kube-system:generic-garbage-collector';
/** Someone of the tenant who was given more than a tenant role: the stock role admin, and namespaces to edit. */
const mallory = 'mallory';

let world: World;
let home: string;
let agentUid = '';

const kubectl = (...args: readonly string[]) => world.cluster.kubectl(...args);

beforeAll(async () => {
  world = await startWorld();
  home = await mkdtemp(join(tmpdir(), 'openos-admission-'));
  await installRights(world.cluster, await render(await findHelm()));
  const kubeconfig = await kubeconfigOf(world.cluster, releaseNamespace, 'openos-controller');
  await world.startOperator({ KUBECONFIG: kubeconfig, OPENOS_NAMESPACE: releaseNamespace });
  await world.createTenant('acme', { namespaces: [{ name: 'acme' }] });
  await world.tenantStatus('acme', 'Ready', ({ conditions = [] }) => isTrue(conditions, 'Ready'));
  await kubectl('create', 'namespace', 'free');
  await kubectl('create', 'clusterrole', 'namespace-editor', '--verb=*', '--resource=namespaces');
  await kubectl('create', 'clusterrolebinding', 'mallory', '--clusterrole=namespace-editor', `--user=${mallory}`);
  const agents = '--resource=agents.openos.dev,agentpools.openos.dev,pods,persistentvolumeclaims';
  await kubectl('create', 'clusterrole', 'agent-editor', '--verb=*', agents);
  for (const user of [mallory, collector]) {
    const name = `agents-${user === mallory ? 'mallory' : 'collector'}`;
    await kubectl('create', 'clusterrolebinding', name, '--clusterrole=agent-editor', `--user=${user}`);
  }
  await world.createAgent('acme', 'scout');
  await world.ready('acme', 'scout');
  agentUid = (await world.agent('acme', 'scout'))?.metadata.uid ?? '';
  // A policy takes effect a moment after it was created.
  await eventually('the policies are in force', async () => refused(mallory, 'pod', aPod({ runtimeClassName: null })));
});
afterAll(async () => {
  await world?.stop();
  await rm(home, { recursive: true, force: true });
});

/** A pod that Pod Security restricted lets through, with `spec` and `metadata` changed. */
function aPod({ metadata = {}, ...spec }: Readonly<Record<string, unknown>> = {}): object {
  const security = {
    allowPrivilegeEscalation: false,
    runAsNonRoot: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  };
  const container = { name: 'c', image: 'registry.test/agent:1', securityContext: security };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'probe', namespace: 'acme', ...(metadata as object) },
    spec: { runtimeClassName: 'gvisor', containers: [container], ...spec },
  };
}

function affinity(kind: 'podAffinity' | 'podAntiAffinity', term: object): object {
  const podAffinityTerm = { topologyKey: 'kubernetes.io/hostname', labelSelector: {}, ...term };
  return { [kind]: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm }] } };
}

function aContainer(image: string): object {
  const [container] = (aPod() as { readonly spec: { readonly containers: readonly object[] } }).spec.containers;
  return { ...container, image };
}

/** Whether the API server forbids this user the object, by one of our policies; anything else it says is a mistake of the test. */
async function refused(user: string, _what: string, object: object): Promise<boolean> {
  const file = join(home, 'object.json');
  await writeFile(file, JSON.stringify(object));
  return forbids(['create', '--dry-run=server', '-f', file, `--as=${user}`]);
}

async function forbids(args: readonly string[]): Promise<boolean> {
  try {
    await kubectl(...args);
    return false;
  } catch (error) {
    const { stderr } = error as { readonly stderr: string };
    if (/ValidatingAdmissionPolicy 'openos-[a-z-]+' with binding/.test(stderr) && /forbidden/i.test(stderr))
      return true;
    throw error;
  }
}

const as = (user: string, ...args: readonly string[]) => forbids([...args, `--as=${user}`, '--dry-run=server']);

type Policies = {
  readonly items: readonly {
    readonly metadata: { readonly generation: number };
    readonly status?: {
      readonly observedGeneration?: number;
      readonly typeChecking?: { readonly expressionWarnings?: readonly object[] };
    };
  }[];
};

describe('the policies', () => {
  it('are well-formed to the API server’s type checker', async () => {
    const list = async () =>
      (JSON.parse(await kubectl('get', 'validatingadmissionpolicies', '-o', 'json')) as Policies).items;
    const policies = await eventually('all of them are checked', async () => {
      const items = await list();
      return items.every(({ metadata, status }) => status?.observedGeneration === metadata.generation) && items;
    });
    expect(policies).toHaveLength(5);
    expect(policies.flatMap(({ status }) => status?.typeChecking?.expressionWarnings ?? [])).toEqual([]);
  });

  it.each([releaseNamespace, 'kube-system'])('let pods of %s be', async (namespace) => {
    const annotations = namespace === releaseNamespace ? { 'openos.dev/servers': 'x' } : {};
    const pod = aPod({ runtimeClassName: null, metadata: { namespace, annotations } });
    expect(await refused(mallory, 'pod', pod)).toBe(false);
  });
});

describe('a pod in the namespace of a tenant', () => {
  it.each<[string, boolean, Readonly<Record<string, unknown>>]>([
    ['without a runtime class', true, { runtimeClassName: null }],
    ['of a class that the Tenant does not allow', true, { runtimeClassName: 'runc' }],
    ['of a class whose name is a part of the list', true, { runtimeClassName: 'gvis' }],
    ['of the allowed class', false, {}],
    ['that carries a label of ours', true, { metadata: { labels: { 'openos.dev/agent-uid': 'u' } } }],
    ['that carries an annotation of ours', true, { metadata: { annotations: { 'openos.dev/traceparent': 'x' } } }],
    ['that steers its sandbox', true, { metadata: { annotations: { 'dev.gvisor.flag.network': 'host' } } }],
    ['that asks for a device by annotation', true, { metadata: { annotations: { 'cdi.k8s.io/c': 'v.test/gpu=0' } } }],
    ['that keeps all others from its node', true, { affinity: affinity('podAntiAffinity', { namespaceSelector: {} }) }],
    ['that goes where another tenant is', true, { affinity: affinity('podAffinity', { namespaces: ['free'] }) }],
    ['with affinity to its own', false, { affinity: affinity('podAntiAffinity', { namespaces: ['acme'] }) }],
    ['with a priority of the cluster', true, { priorityClassName: 'system-cluster-critical' }],
    ['with labels of its own', false, { metadata: { labels: { app: 'a', 'notopenos.dev/x': 'y' } } }],
  ])('%s: refused %s', async (_name, expected, change) => {
    if (change.runtimeClassName === 'runc') await haveClass('runc');
    if (change.runtimeClassName === 'gvis') await haveClass('gvis');
    expect(await refused(mallory, 'pod', aPod(change))).toBe(expected);
  });

  it('needs its class whoever makes it, the cluster administrator too', async () => {
    expect(await forbidsAdmin(aPod({ runtimeClassName: null }))).toBe(true);
    expect(await forbidsAdmin(aPod())).toBe(false);
  });

  it('may do without anywhere else, but not carry our labels there', async () => {
    const elsewhere = (labels: object) => aPod({ runtimeClassName: null, metadata: { namespace: 'free', labels } });
    expect(await refused(mallory, 'pod', elsewhere({}))).toBe(false);
    expect(await refused(mallory, 'pod', elsewhere({ 'openos.dev/agent-uid': 'u' }))).toBe(true);
  });
});

async function haveClass(name: string): Promise<void> {
  const file = join(home, `${name}.json`);
  const object = { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name }, handler: name };
  await writeFile(file, JSON.stringify(object));
  await kubectl('apply', '-f', file);
}

async function forbidsAdmin(object: object): Promise<boolean> {
  const file = join(home, 'object.json');
  await writeFile(file, JSON.stringify(object));
  return forbids(['create', '--dry-run=server', '-f', file]);
}

describe('a Service in the namespace of a tenant', () => {
  const service = (namespace: string, spec: object) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'gate', namespace },
    spec: { selector: { app: 'a' }, ports: [{ port: 80 }], ...spec },
  });

  beforeAll(async () => {
    await kubectl('create', 'clusterrole', 'service-editor', '--verb=*', '--resource=services');
    await kubectl('create', 'clusterrolebinding', 'services', '--clusterrole=service-editor', `--user=${mallory}`);
  });

  it.each<[string, boolean, object]>([
    ['that stays inside', false, {}],
    ['that is a name for another', false, { type: 'ExternalName', externalName: 'db.example' }],
    ['with a port on every node', true, { type: 'NodePort' }],
    ['with a load balancer', true, { type: 'LoadBalancer' }],
    ['that takes an external address', true, { externalIPs: ['203.0.113.7'] }],
  ])('%s: refused %s', async (_name, expected, spec) => {
    expect(await refused(mallory, 'service', service('acme', spec))).toBe(expected);
    expect(await refused(mallory, 'service', service('free', spec))).toBe(false);
  });

  it('keeps what the platform team gave it', async () => {
    await kubectl('create', 'service', 'nodeport', 'given', '-n', 'acme', '--tcp=80');
    expect(await as(mallory, 'label', 'service', 'given', '-n', 'acme', 'team=blue')).toBe(false);
    const wider = ['patch', 'service', 'given', '-n', 'acme', '-p', '{"spec":{"externalIPs":["203.0.113.7"]}}'];
    expect(await as(mallory, ...wider)).toBe(true);
  });
});

describe('a pod of a Tenant with lists of registries and priorities', () => {
  const metadata = { namespace: 'picky' };

  beforeAll(async () => {
    await world.createTenant('picky', {
      namespaces: [{ name: 'picky' }],
      allowedRegistries: ['ghcr.io', 'registry.test/agents'],
      priorityClasses: { allowed: ['low'] },
    });
    await world.tenantStatus('picky', 'Ready', ({ conditions = [] }) => isTrue(conditions, 'Ready'));
    for (const name of ['low', 'high']) await kubectl('create', 'priorityclass', name, '--value=1');
  });

  it.each<[string, boolean]>([
    ['ghcr.io/acme/agent:1', false],
    [`registry.test/agents/scout@sha256:${'a'.repeat(64)}`, false],
    ['registry.test/agents:2', false],
    ['registry.test/agents', false],
    ['registry.test/agents-of-others/scout', true],
    ['registry.test/other', true],
    ['ghcr.io:5000/acme/agent', true],
    ['ghcr.io.evil.test/acme/agent', true],
    ['scout', true],
  ])('from %s: refused %s', async (name, expected) => {
    expect(await refused(mallory, 'pod', aPod({ metadata, containers: [aContainer(name)] }))).toBe(expected);
  });

  it('is refused for the image of any container or volume', async () => {
    const containers = [aContainer('ghcr.io/a')];
    const init = { metadata, containers, initContainers: [{ ...aContainer('evil.test/a'), name: 'i' }] };
    expect(await refused(mallory, 'pod', aPod(init))).toBe(true);
    const volumes = [{ name: 'v', image: { reference: 'evil.test/a' } }];
    expect(await refused(mallory, 'pod', aPod({ metadata, containers, volumes }))).toBe(true);
  });

  it('cannot be given another image afterwards', async () => {
    await world.createAgent('picky', 'eater', { image: 'ghcr.io/acme/agent:1' });
    await world.ready('picky', 'eater');
    const name = (await kubectl('get', 'pods', '-n', 'picky', '-o', 'name')).trim();
    const target = ['-n', 'picky', name] as const;
    expect(await as(mallory, 'set', 'image', ...target, 'agent=evil.test/a')).toBe(true);
    expect(await as(mallory, 'set', 'image', ...target, 'agent=ghcr.io/acme/agent:2')).toBe(false);
    expect(await as(mallory, 'label', ...target, 'team=blue')).toBe(false);
    const debug = (image: string) => [
      ...['patch', ...target, '--subresource=ephemeralcontainers', '-p'],
      JSON.stringify({ spec: { ephemeralContainers: [{ ...aContainer(image), name: 'debug' }] } }),
    ];
    expect(await forbids(debug('evil.test/shell'))).toBe(true);
    expect(await forbids(debug('ghcr.io/shell'))).toBe(false);
  });

  it.each<[string, boolean]>([
    ['low', false],
    ['high', true],
  ])('of priority %s: refused %s', async (priorityClassName, expected) => {
    const containers = [aContainer('ghcr.io/a')];
    expect(await refused(mallory, 'pod', aPod({ metadata, containers, priorityClassName }))).toBe(expected);
  });
});

describe('what an Agent owns', () => {
  const owner = () => ({
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'Agent',
    name: 'scout',
    uid: agentUid,
    controller: true,
  });
  const pod = async () => {
    const name = await kubectl('get', 'pods', '-n', 'acme', '-l', 'openos.dev/agent=scout', '-o', 'name');
    return ['-n', 'acme', name.trim()] as const;
  };
  const disown = ['--type=json', '-p', '[{"op":"remove","path":"/metadata/ownerReferences"}]'];

  it('is not joined by what somebody else makes', async () => {
    expect(await refused(mallory, 'pod', aPod({ metadata: { ownerReferences: [owner()] } }))).toBe(true);
    const foreign = { ...owner(), apiVersion: 'v1', kind: 'ConfigMap' };
    expect(await refused(mallory, 'pod', aPod({ metadata: { ownerReferences: [foreign] } }))).toBe(false);
    const agent = {
      apiVersion: 'openos.dev/v1alpha1',
      kind: 'Agent',
      metadata: { name: 'changeling', namespace: 'acme', ownerReferences: [{ ...owner(), kind: 'AgentPool' }] },
      spec: { image: 'a' } satisfies AgentSpec,
    };
    expect(await refused(mallory, 'agent', agent)).toBe(true);
    expect(await refused(mallory, 'agent', { ...agent, metadata: { name: 'free', namespace: 'acme' } })).toBe(false);
  });

  it.each<[string, boolean, () => object]>([
    ['that is marked as kept for it', true, () => ({ annotations: { 'openos.dev/retained-for': 'scout' } })],
    ['that it is said to own', true, () => ({ ownerReferences: [owner()] })],
    ['that is just one', false, () => ({})],
  ])('is given no claim by somebody else %s', async (_what, expected, metadata) => {
    const claim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data-scout', namespace: 'acme', ...metadata() },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    };
    expect(await refused(mallory, 'claim', claim)).toBe(expected);
  });

  it('cannot be taken from it, nor its labels changed, but by the garbage collector', async () => {
    const target = await pod();
    expect(await as(mallory, 'patch', ...target, ...disown)).toBe(true);
    expect(await as(collector, 'patch', ...target, ...disown)).toBe(false);
    expect(await as(mallory, 'label', ...target, 'openos.dev/agent-uid=other', '--overwrite')).toBe(true);
    expect(await as(mallory, 'label', ...target, 'openos.dev/agent-')).toBe(true);
    expect(await as(mallory, 'annotate', ...target, 'openos.dev/traceparent-')).toBe(true);
    expect(await as(mallory, 'label', ...target, 'team=blue')).toBe(false);
  });
});

describe('the namespace of a tenant', () => {
  it.each<[string, boolean, readonly string[]]>([
    ['given to another tenant', true, ['label', 'namespace', 'acme', 'openos.dev/tenant=other', '--overwrite']],
    ['taken from its tenant', true, ['label', 'namespace', 'acme', 'openos.dev/tenant-']],
    ['made a tenant’s by its label', true, ['label', 'namespace', 'free', 'openos.dev/tenant=acme']],
    [
      'made less strict',
      true,
      ['label', 'namespace', 'acme', 'pod-security.kubernetes.io/enforce=privileged', '--overwrite'],
    ],
    ['freed of Pod Security', true, ['label', 'namespace', 'acme', 'pod-security.kubernetes.io/enforce-']],
    [
      'allowed another class',
      true,
      ['annotate', 'namespace', 'acme', 'openos.dev/allowed-runtime-classes=runc', '--overwrite'],
    ],
    ['said to be made by us', true, ['annotate', 'namespace', 'free', 'openos.dev/created-for=x']],
    ['offered to a tenant', false, ['annotate', 'namespace', 'free', 'openos.dev/allow-tenant=acme']],
    ['labelled for other ends', false, ['label', 'namespace', 'acme', 'team=blue']],
    [
      'made stricter where no tenant is',
      false,
      ['label', 'namespace', 'free', 'pod-security.kubernetes.io/enforce=baseline'],
    ],
  ])('cannot be %s: %s', async (_name, expected, args) => {
    expect(await as(mallory, ...args)).toBe(expected);
  });

  it('cannot come into the world as a tenant’s', async () => {
    const namespace = (metadata: object) => ({ apiVersion: 'v1', kind: 'Namespace', metadata });
    const labels = { 'openos.dev/tenant': 'acme' };
    expect(await refused(mallory, 'namespace', namespace({ name: 'forged', labels }))).toBe(true);
    expect(await refused(mallory, 'namespace', namespace({ name: 'plain' }))).toBe(false);
  });
});

describe('the operator', () => {
  it('deletes only namespaces that it made', async () => {
    expect(await as(operator, 'delete', 'namespace', 'free')).toBe(true);
    expect(await as(operator, 'delete', 'namespace', 'acme')).toBe(false);
  });
});

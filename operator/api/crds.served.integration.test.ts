import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { KubernetesObject, ResourceType, StoredObject } from '../kernel/object.ts';
import { type LightCluster, lightCluster } from '../testkit/cluster.ts';
import { eventually } from '../testkit/eventually.ts';
import { agentPoolResource, agentResource, customResources, tenantResource } from './crds.ts';
import { apiVersion } from './v1alpha1/names.ts';

/** What a real API server and kubectl show of our kinds. */
type Custom = StoredObject & { readonly status?: Readonly<Record<string, unknown>> };

type Described = { readonly description?: string; readonly properties?: Readonly<Record<string, Described>> };
type Crd = KubernetesObject & {
  readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Described } }[] };
};

const repository = join(import.meta.dirname, '../..');
const crds = customResources.map(({ resource: { group, plural } }) => {
  return parse(readFileSync(join(repository, `crds/${group}_${plural}.yaml`), 'utf8')) as Crd;
});
const examples = [
  ['an Agent', agentResource, { image: 'busybox' }],
  ['an AgentPool', agentPoolResource, { replicas: 1, template: { spec: { image: 'busybox' } } }],
  ['a Tenant', tenantResource, {}],
] as const;

let cluster: LightCluster;
let namespace: string;

beforeAll(async () => {
  cluster = await lightCluster();
  for (const crd of crds) await cluster.applyCrd(crd);
  namespace = await cluster.createNamespace();
});
afterAll(() => cluster?.close());

/** Named after the namespace of this test, so that cluster-scoped ones do not meet those of other tests. */
function manifest(
  resource: ResourceType,
  spec: unknown,
  suffix: string,
): KubernetesObject & { readonly spec: unknown } {
  const name = `${namespace}-${suffix}`;
  return { apiVersion, kind: resource.kind, metadata: resource.namespaced ? { name, namespace } : { name }, spec };
}

function create(resource: ResourceType, spec: unknown, suffix: string, status?: unknown): Promise<Custom> {
  const object = { ...manifest(resource, spec, suffix), ...(status !== undefined && { status }) };
  return cluster.client.create<Custom>(resource, object);
}

/** Writes the status over whatever version is there now: a controller of another test may have been faster. */
function writeStatus(resource: ResourceType, { metadata: { name, uid } }: Custom, status: unknown): Promise<Custom> {
  const ref = resource.namespaced ? { resource, namespace, name } : { resource, name };
  return eventually(`the status of ${resource.kind} ${name} is written`, async () => {
    const current = await cluster.client.get<Custom>(ref);
    if (current === undefined) throw new Error('it is gone');
    return cluster.client.updateStatus<Custom>({ ref, uid, resourceVersion: current.metadata.resourceVersion, status });
  });
}

describe.each(examples)('the status of %s', (_title, resource, spec) => {
  it('begins with observedGeneration -1, and falls back to it when a write leaves it out', async () => {
    const object = await create(resource, spec, 'fresh');
    expect(object.status).toEqual({ observedGeneration: -1 });
    expect(await writeStatus(resource, object, { observedGeneration: 1 })).toMatchObject({
      status: { observedGeneration: 1 },
    });
    expect(await writeStatus(resource, object, {})).toMatchObject({ status: { observedGeneration: -1 } });
  });

  it('is not taken from whoever writes the object', async () => {
    const object = await create(resource, spec, 'forged', { observedGeneration: 7 });
    expect(object.status).toEqual({ observedGeneration: -1 });
  });
});

it('a pool is scaled through its subresource', async () => {
  const { metadata } = await create(agentPoolResource, { template: { spec: { image: 'busybox' } } }, 'scaled');
  await cluster.kubectl('scale', '-n', namespace, 'agp', metadata.name, '--replicas=3');
  const stored = await cluster.client.get<Custom>({ resource: agentPoolResource, namespace, name: metadata.name });
  expect(stored).toMatchObject({ spec: { replicas: 3 } });
});

describe('kubectl get', () => {
  const lines = async (...args: readonly string[]) =>
    (await cluster.kubectl('get', ...args))
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/));

  it('shows an Agent in its columns', async () => {
    const agent = await create(agentResource, { image: 'busybox' }, 'columns');
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'AgentReady',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00.000Z',
      observedGeneration: 1,
    };
    const status = {
      observedGeneration: 1,
      phase: 'Ready',
      reason: 'AgentReady',
      conditions: [ready],
      tenant: 'acme',
      nodeName: 'node-1',
      runtimeClassName: 'gvisor',
      startLatencyMilliseconds: 420,
      restartCount: 2,
    };
    const { name } = agent.metadata;
    await eventually('kubectl shows the status that was written', async () => {
      await writeStatus(agentResource, agent, status);
      const [head, cells] = await lines('ag', '-n', namespace, name, '-o', 'wide');
      expect(head).toEqual([
        'NAME',
        'PHASE',
        'READY',
        'REASON',
        'AGE',
        'TENANT',
        'NODE',
        'RUNTIME',
        'START-MS',
        'RESTARTS',
      ]);
      expect(cells?.toSpliced(4, 1)).toEqual([
        name,
        'Ready',
        'True',
        'AgentReady',
        'acme',
        'node-1',
        'gvisor',
        '420',
        '2',
      ]);
      return true;
    });
    expect((await lines('ag', '-n', namespace, name))[0]).toEqual(['NAME', 'PHASE', 'READY', 'REASON', 'AGE']);
  });

  it('shows pools and tenants in theirs, under their short names', async () => {
    const pool = await create(agentPoolResource, { template: { spec: { image: 'busybox' } } }, 'columns');
    const tenant = await create(tenantResource, {}, 'columns');
    expect((await lines('agp', '-n', namespace, pool.metadata.name))[0]).toEqual([
      'NAME',
      'DESIRED',
      'CURRENT',
      'READY',
      'UPDATED',
      'AGE',
    ]);
    expect((await lines('tn', tenant.metadata.name))[0]).toEqual(['NAME', 'PHASE', 'READY', 'REASON', 'AGENTS', 'AGE']);
  });

  it('lists every kind of ours under one name', async () => {
    for (const [, resource, spec] of examples) await create(resource, spec, 'category');
    const names = await cluster.kubectl('get', 'openos', '-n', namespace, '-o', 'name');
    for (const { resource } of customResources) expect(names).toContain(`${resource.kind.toLowerCase()}.openos.dev/`);
  });
});

describe('kubectl explain', () => {
  const words = (text: string) => text.replace(/\s+/g, ' ').trim();
  const specs = crds.map((crd, i) => {
    const schema = crd.spec.versions[0]?.schema.openAPIV3Schema.properties?.spec;
    return [customResources[i]?.singular ?? '', schema?.properties ?? {}] as const;
  });

  it.each(specs)('says in our words what every field of the spec of %s is for', async (kind, fields) => {
    const shown = words(await cluster.kubectl('explain', `${kind}.spec`));
    for (const { description } of Object.values(fields)) expect(shown).toContain(words(`${description}`));
  });

  it('describes a single field', async () => {
    const { image } = Object.fromEntries(specs).agent ?? {};
    expect(words(await cluster.kubectl('explain', 'agent.spec.image'))).toContain(words(`${image?.description}`));
  });
});

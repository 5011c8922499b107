import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ApiError } from '../kernel/errors.ts';
import type { KubernetesObject, ResourceType, StoredObject } from '../kernel/object.ts';
import { Transport } from '../kernel/transport.ts';
import { type LightCluster, lightCluster } from '../testkit/cluster.ts';
import { agentCases, agentPoolCases, immutableSettings, type SpecCase, tenantCases } from './crds.cases.ts';
import { agentPoolResource, agentResource, customResources, tenantResource } from './crds.ts';
import { parseAgent } from './v1alpha1/agent.ts';
import { apiVersion, group, version } from './v1alpha1/names.ts';

/** What a real API server takes and what it refuses, with the field it points to. Dry runs: no controller sees them. */
type Spec = Readonly<Record<string, unknown>>;
type Custom = StoredObject & { readonly spec: Spec; readonly status?: Spec };

const repository = join(import.meta.dirname, '../..');
const samples = join(repository, 'config/samples');
const crds = customResources.map(({ resource: { group, plural } }) => {
  const text = readFileSync(join(repository, `crds/${group}_${plural}.yaml`), 'utf8');
  return parse(text) as KubernetesObject & { readonly spec: unknown };
});

let cluster: LightCluster;
let transport: Transport;
let namespace: string;
/** All that the API server has said no with; the last test looks for every rule in it. */
const refusals: { readonly kind: string; readonly text: string }[] = [];

beforeAll(async () => {
  cluster = await lightCluster();
  transport = new Transport({ credentials: cluster.credentials, version: 'test' });
  for (const crd of crds) await cluster.applyCrd(crd);
  namespace = await cluster.createNamespace();
});
afterAll(async () => {
  await transport?.close();
  await cluster?.close();
});

type Manifest = KubernetesObject & { readonly spec?: unknown };

function manifest(resource: ResourceType, spec: unknown, name = 'case'): Manifest {
  const metadata = resource.namespaced ? { name, namespace } : { name };
  return { apiVersion, kind: resource.kind, metadata, ...(spec !== undefined && { spec }) };
}

/** What would be stored. Strict, as kubectl and Helm ask: a field that is not in the schema is an error. */
function create(resource: ResourceType, object: Manifest, fieldValidation = 'Strict'): Promise<Custom> {
  const query = { dryRun: 'All', fieldValidation };
  const scope = resource.namespaced ? `/namespaces/${namespace}` : '';
  return transport.request('POST', `/apis/${group}/${version}${scope}/${resource.plural}`, { query, body: object });
}

/** Expects the API server to call it Invalid and to point to `field`. */
async function expectRefusal(kind: string, request: Promise<unknown>, field: string): Promise<void> {
  const error = await request.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: 'Invalid' });
  const text = error instanceof ApiError ? error.serverMessage : '';
  refusals.push({ kind, text });
  // The field stands at the head of each complaint: `spec.a[0].b: Invalid value: …`.
  const pointsThere = [' ', '['].some((before) => text.includes(`${before}${field}: `));
  expect(pointsThere, `should point to ${field}: ${text}`).toBe(true);
}

async function check(resource: ResourceType, { spec, refused }: SpecCase): Promise<void> {
  const request = create(resource, manifest(resource, spec));
  if (refused !== undefined) return expectRefusal(resource.kind, request, refused);
  // Exactly what was written: nothing is defaulted into a spec.
  expect((await request).spec).toEqual(spec);
}

const titled = (cases: readonly SpecCase[]) =>
  cases.map((item) => [`${item.refused === undefined ? 'accepts' : 'refuses'} ${item.name}`, item] as const);

describe('an Agent', () => {
  it.each(titled(agentCases))('%s', (_title, item) => check(agentResource, item));

  it('needs a spec', () => expectRefusal('Agent', create(agentResource, manifest(agentResource, undefined)), 'spec'));

  it('is read back by our own parser as it was written', async () => {
    const spec = agentCases.find(({ name }) => name === 'every setting of its behaviour')?.spec;
    const stored = await create(agentResource, manifest(agentResource, spec));
    // A dry run assigns no resourceVersion.
    const parsed = parseAgent({ ...stored, metadata: { ...stored.metadata, resourceVersion: '1' } });
    expect(parsed).toMatchObject({ kind: 'valid', value: { spec, status: { observedGeneration: -1 } } });
  });
});

describe('the template of an AgentPool, as an Agent', () => {
  const cases = agentCases.map(({ name, spec, refused }): SpecCase => {
    const inPool = { name, spec: { template: { spec } } };
    return refused === undefined ? inPool : { ...inPool, refused: refused.replace(/^spec/, 'spec.template.spec') };
  });
  it.each(titled(cases))('%s', (_title, item) => check(agentPoolResource, item));
});

describe('an AgentPool', () => {
  it.each(titled(agentPoolCases))('%s', (_title, item) => check(agentPoolResource, item));
});

describe('a Tenant', () => {
  it.each(titled(tenantCases))('%s', (_title, item) => check(tenantResource, item));
});

describe.each([
  ['an Agent', agentResource, { image: 'busybox' }, 52],
  ['an AgentPool', agentPoolResource, { template: { spec: { image: 'busybox' } } }, 41],
  ['a Tenant', tenantResource, {}, 63],
] as const)('the name of %s', (_title, resource, spec, longest) => {
  const named = (name: string) => create(resource, manifest(resource, spec, name));

  it(`has at most ${longest} characters`, async () => {
    await named('a'.repeat(longest));
    await expectRefusal(resource.kind, named('a'.repeat(longest + 1)), '<nil>');
  });

  it('has no dots', () => expectRefusal(resource.kind, named('a.b'), '<nil>'));
});

describe('what cannot be changed', () => {
  let count = 0;

  /** Applies one spec and then another under the same name, as the owner of every field of both. */
  async function change(resource: ResourceType, before: Spec, after: Spec): Promise<Custom> {
    count += 1;
    const name = `change-${count}`;
    await cluster.client.apply(resource, manifest(resource, before, name));
    return cluster.client.apply<Custom>(resource, manifest(resource, after, name));
  }

  describe.each(Object.entries(immutableSettings))('in an Agent: %s', (field, [one, other]) => {
    const changeAgent = (before: Spec, after: Spec) =>
      change(agentResource, { image: 'busybox:1', ...before }, { image: 'busybox:2', ...after });
    const refuses = (before: Spec, after: Spec) => expectRefusal('Agent', changeAgent(before, after), 'spec');

    it('may stay while the rest changes', async () => {
      expect((await changeAgent({ [field]: one }, { [field]: one })).spec).toEqual({
        image: 'busybox:2',
        [field]: one,
      });
    });
    it('cannot get another value', () => refuses({ [field]: one }, { [field]: other }));
    it('cannot be removed', () => refuses({ [field]: one }, {}));
    it('cannot be added', () => refuses({}, { [field]: one }));

    it('may change in the template of a pool, which makes new Agents', async () => {
      const pool = (value: unknown) => ({ template: { spec: { image: 'busybox', [field]: value } } });
      expect((await change(agentPoolResource, pool(one), pool(other))).spec).toEqual(pool(other));
    });
  });
});

describe('an unknown field', () => {
  const misspelt = () => manifest(agentResource, { image: 'busybox', imagee: 'busybox' });

  it('is refused where strict checks are asked for, as kubectl and Helm do', async () => {
    await expect(create(agentResource, misspelt())).rejects.toMatchObject({ code: 'BadRequest' });
  });

  it('is dropped otherwise', async () => {
    expect((await create(agentResource, misspelt(), 'Warn')).spec).toEqual({ image: 'busybox' });
  });
});

it.each(readdirSync(samples))('config/samples/%s is accepted', async (file) => {
  const object = parse(readFileSync(join(samples, file), 'utf8')) as Manifest;
  const resource = customResources.find((custom) => custom.resource.kind === object.kind)?.resource ?? agentResource;
  await create(resource, manifest(resource, object.spec, object.metadata.name));
});

it('every rule of every CRD has refused something above', () => {
  const silent = crds.flatMap((crd) => {
    const { kind } = (crd.spec as { readonly names: { readonly kind: string } }).names;
    const said = refusals.filter((one) => one.kind === kind).map(({ text }) => text);
    return messagesIn(crd.spec).filter((message) => !said.some((text) => text.includes(message)));
  });
  expect(silent).toEqual([]);
});

/** The message of every rule in a CRD. */
function messagesIn(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]): readonly string[] => {
    if (key !== 'x-kubernetes-validations') return messagesIn(inner);
    return (inner as readonly { readonly message: string }[]).map(({ message }) => message);
  });
}

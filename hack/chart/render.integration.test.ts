import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { findHelm, podTemplate, type Rendered, refusal, render } from './helm.ts';
import { podSecurityViolations } from './pod-security.ts';

const crdFolder = join(import.meta.dirname, '../../crds');
const outside = [
  'postgres.embedded=false',
  'postgres.url=postgres://openos:canary-pg@db.example:5432/openos',
  'nats.embedded=false',
  'nats.url=nats://openos:canary-nats@nats.example:4222',
];
const outsideSecrets = [
  'postgres.embedded=false',
  'postgres.existingSecret.name=my-db',
  'postgres.existingSecret.key=dsn',
  'nats.embedded=false',
  'nats.existingSecret.name=my-nats',
];
const everything = [
  'controller.replicas=3',
  'controller.priorityClassName=high',
  'controller.nodeSelector.disk=ssd',
  'controller.tolerations[0].operator=Exists',
  'imagePullSecrets[0].name=registry',
  `image.digest=sha256:${'a'.repeat(64)}`,
  'runtimeClass.create=true',
  'runtimeClass.name=kata',
  'postgres.storage.storageClassName=fast',
  'postgres.storage.size=20Gi',
  'telemetry.otlpEndpoint=http://collector:4318',
];
const valuesSets = { defaults: [], outside, outsideSecrets, everything } as const;

type Container = {
  readonly name: string;
  readonly securityContext: { readonly readOnlyRootFilesystem?: boolean };
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
};
type PolicySpec = {
  readonly failurePolicy: string;
  readonly validations: readonly { readonly reason: string; readonly message: string }[];
};
type Rule = {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
};

let helm: string;
beforeAll(async () => {
  helm = await findHelm();
}, 300_000);

const containersOf = (object: Rendered): readonly Container[] => {
  const spec = podTemplate(object)?.spec ?? {};
  return [...((spec.initContainers as Container[]) ?? []), ...((spec.containers as Container[]) ?? [])];
};
const named = (objects: readonly Rendered[], kind: string, name: string): Rendered | undefined =>
  objects.find((object) => object.kind === kind && object.metadata.name === name);

const isTenantRole = ({ kind, metadata }: Rendered): boolean =>
  kind === 'ClusterRole' && metadata.name.startsWith('openos-tenant-');

describe.each(Object.entries(valuesSets))('the chart with values: %s', (_name, values) => {
  let objects: readonly Rendered[];
  beforeAll(async () => {
    objects = await render(helm, ...values);
  });

  it('renders each object once, in the release namespace', () => {
    const ids = objects.map((object) => `${object.kind}/${object.metadata.name}`);
    expect(new Set(ids).size).toBe(ids.length);
    const strays = objects.filter(
      (object) => ((object.metadata as { namespace?: string }).namespace ?? 'openos-system') !== 'openos-system',
    );
    expect(strays).toEqual([]);
  });

  it('has pods that satisfy Pod Security restricted, with a read-only root', () => {
    const workloads = objects.filter((object) => podTemplate(object) !== undefined);
    expect(workloads.length).toBeGreaterThan(0);
    for (const workload of workloads) {
      expect({ [workload.metadata.name]: podSecurityViolations(podTemplate(workload)?.spec ?? {}) }).toEqual({
        [workload.metadata.name]: [],
      });
      const writable = containersOf(workload).filter((c) => c.securityContext.readOnlyRootFilesystem !== true);
      expect(writable).toEqual([]);
    }
  });

  it('mounts a service account token only where the API server is talked to', () => {
    const mounting = objects.filter((object) => podTemplate(object)?.spec.automountServiceAccountToken !== false);
    const names = mounting.filter((object) => podTemplate(object) !== undefined).map((object) => object.metadata.name);
    expect(names.sort()).toEqual(['openos-controller', 'openos-prepare-uninstall']);
    const accounts = objects.filter((object) => object.kind === 'ServiceAccount');
    expect(accounts.every((account) => account.automountServiceAccountToken === false)).toBe(true);
  });

  it('grants no wildcard, no escalation and no reading of Secrets', () => {
    const roles = objects.filter((object) => object.kind === 'Role' || object.kind === 'ClusterRole');
    const rules = roles.flatMap((role) => role.rules as readonly Rule[]);
    expect(rules.length).toBeGreaterThan(0);
    for (const rule of rules) {
      expect([...rule.apiGroups, ...rule.resources, ...rule.verbs]).not.toContain('*');
      for (const verb of ['escalate', 'impersonate']) expect(rule.verbs).not.toContain(verb);
      for (const resource of ['nodes/proxy', 'serviceaccounts/token']) expect(rule.resources).not.toContain(resource);
    }
    const own = roles.filter((role) => !isTenantRole(role)).flatMap((role) => role.rules as readonly Rule[]);
    for (const rule of own) expect(rule.resources).not.toContain('secrets');
  });

  it('lets nobody of a tenant reach what keeps the tenant in its place', () => {
    const roles = objects.filter(isTenantRole);
    expect(roles.map((role) => role.metadata.name).sort()).toEqual([
      'openos-tenant-admin',
      'openos-tenant-member',
      'openos-tenant-owner',
      'openos-tenant-viewer',
    ]);
    const reached = roles.flatMap((role) => role.rules as readonly Rule[]).flatMap((rule) => rule.resources);
    for (const resource of ['networkpolicies', 'resourcequotas', 'limitranges', 'namespaces', 'tenants'])
      expect(reached).not.toContain(resource);
    expect(reached.filter((resource) => resource.endsWith('/status'))).toEqual([]);
    const aggregated = roles.filter(({ metadata }) => JSON.stringify(metadata.labels).includes('aggregate-to'));
    expect(aggregated).toEqual([]);
  });

  it('keeps secrets out of everything but Secrets', () => {
    const others = JSON.stringify(objects.filter((object) => object.kind !== 'Secret'));
    const secrets = objects.filter((object) => object.kind === 'Secret');
    const values = secrets.flatMap((secret) => Object.values(secret.data as Record<string, string>));
    for (const encoded of values) {
      expect(others).not.toContain(encoded);
      expect(others).not.toContain(Buffer.from(encoded, 'base64').toString());
    }
    const literal = objects.flatMap(containersOf).flatMap((container) => container.env ?? []);
    const sensitive = literal.filter(({ name }) => /^OPENOS_(DATABASE|NATS)_URL$/.test(name));
    expect(sensitive.length).toBeGreaterThan(0);
    for (const variable of sensitive) {
      expect(variable.value).toBeUndefined();
      expect(variable.valueFrom).toBeDefined();
    }
  });

  it('selects with every Service and workload the pods that are meant', () => {
    const templates = objects.flatMap((object) => podTemplate(object) ?? []);
    const selectors = objects.flatMap((object) => {
      const { selector } = (object.spec ?? {}) as { selector?: Record<string, unknown> };
      if (selector === undefined) return [];
      return [(selector.matchLabels ?? selector) as Record<string, string>];
    });
    for (const selector of selectors) {
      const matches = templates.filter(({ metadata }) =>
        Object.entries(selector).every(([key, value]) => metadata.labels[key] === value),
      );
      expect(matches).toHaveLength(1);
    }
  });

  it('binds roles that exist to accounts that exist', () => {
    for (const binding of objects.filter((object) => object.kind.endsWith('RoleBinding'))) {
      const roleRef = binding.roleRef as { kind: string; name: string };
      const [subject] = binding.subjects as readonly { name: string }[];
      expect(named(objects, roleRef.kind, roleRef.name)).toBeDefined();
      expect(named(objects, 'ServiceAccount', subject?.name ?? '')).toBeDefined();
    }
  });
});

describe('the chart', () => {
  it('has five admission policies, each bound and each with words for whom it refuses; none without admission', async () => {
    const kinds = (objects: readonly Rendered[], kind: string) => objects.filter((object) => object.kind === kind);
    const objects = await render(helm);
    const policies = kinds(objects, 'ValidatingAdmissionPolicy');
    expect(policies.map(({ metadata }) => metadata.name).sort()).toEqual([
      'openos-namespaces',
      'openos-operator-deletes',
      'openos-ownership',
      'openos-tenant-pods',
      'openos-tenant-services',
    ]);
    const bound = kinds(objects, 'ValidatingAdmissionPolicyBinding').map(
      ({ spec }) => (spec as { readonly policyName: string }).policyName,
    );
    expect(bound.sort()).toEqual(policies.map(({ metadata }) => metadata.name).sort());
    for (const { spec } of policies) {
      const { failurePolicy, validations } = spec as PolicySpec;
      expect(failurePolicy).toBe('Fail');
      for (const { reason, message } of validations) expect([reason, message === '']).toEqual(['Forbidden', false]);
    }
    const without = await render(helm, 'admission.enabled=false');
    expect(without.filter(({ kind }) => kind.startsWith('ValidatingAdmission'))).toEqual([]);
  });

  it('carries the CRDs as generated, kept on uninstall', async () => {
    const objects = await render(helm);
    const files = (await readdir(crdFolder)).filter((file) => file.endsWith('.yaml'));
    expect(files).toHaveLength(3);
    for (const file of files) {
      const generated = parse(await readFile(join(crdFolder, file), 'utf8')) as Rendered;
      const rendered = named(objects, 'CustomResourceDefinition', generated.metadata.name);
      const annotations = { ...generated.metadata.annotations, 'helm.sh/resource-policy': 'keep' };
      expect(rendered).toEqual({ ...generated, metadata: { ...generated.metadata, annotations } });
    }
  });

  it('keeps the generated credentials on uninstall, and does not keep given ones', async () => {
    const policy = 'helm.sh/resource-policy';
    const kept = (await render(helm)).filter((object) => object.kind === 'Secret');
    expect(kept.map((secret) => secret.metadata.annotations?.[policy])).toEqual(['keep', 'keep']);
    const given = (await render(helm, ...outside)).filter((object) => object.kind === 'Secret');
    expect(given.map((secret) => secret.metadata.annotations?.[policy])).toEqual([undefined, undefined]);
  });

  it('runs no server of its own beside outside ones', async () => {
    const objects = await render(helm, ...outsideSecrets);
    expect(objects.filter((object) => ['StatefulSet', 'Secret'].includes(object.kind))).toEqual([]);
    const controller = named(objects, 'Deployment', 'openos-controller');
    const [database] =
      controller === undefined
        ? []
        : (containersOf(controller)[0]?.env ?? []).filter(({ name }) => name === 'OPENOS_DATABASE_URL');
    expect(database?.valueFrom).toEqual({ secretKeyRef: { name: 'my-db', key: 'dsn' } });
  });

  it('leaves what the Lease says to the controller', async () => {
    const lease = named(await render(helm), 'Lease', 'openos-controller');
    expect(lease?.metadata.name).toBe('openos-controller');
    expect(lease?.spec).toBeUndefined();
  });

  it('prepares the uninstall by hooks only, which are nothing of the release', async () => {
    const objects = await render(helm);
    const hooks = objects.filter((object) => object.metadata.name === 'openos-prepare-uninstall');
    expect(hooks.map((object) => object.kind).sort()).toEqual([
      'ClusterRole',
      'ClusterRoleBinding',
      'Job',
      'Role',
      'RoleBinding',
      'ServiceAccount',
    ]);
    for (const hook of hooks) expect(hook.metadata.annotations?.['helm.sh/hook']).toBe('pre-delete');
  });

  it.each([
    ['a text for a number', ['controller.replicas=many'], '/controller/replicas'],
    ['too many workers', ['controller.workers=1000'], '/controller/workers'],
    ['an unknown key', ['controller.worker=3'], "'worker'"],
    ['an unknown key at the top', ['replicas=3'], "'replicas'"],
    ['an unknown log level', ['controller.logLevel=loud'], '/controller/logLevel'],
    ['a digest cut short', ['image.digest=sha256:abc'], '/image/digest'],
    ['a size without a unit', ['postgres.storage.size=2'], '/postgres/storage/size'],
    ['a url of another database', ['postgres.url=mysql://db/openos'], '/postgres/url'],
    ['a duration without a unit', ['events.maxAge=12'], '/events/maxAge'],
    ['a time to keep without a unit', ['retention.audit=90'], '/retention/audit'],
    ['an even number of stream replicas', ['events.streamReplicas=2'], '/events/streamReplicas'],
    ['a collector without a scheme', ['telemetry.otlpEndpoint=collector:4318'], '/telemetry/otlpEndpoint'],
    ['no Postgres at all', ['postgres.embedded=false'], 'postgres.embedded'],
    ['no NATS at all', ['nats.embedded=false'], 'nats.embedded'],
    ['an embedded and an outside server', ['postgres.url=postgres://db/openos'], 'postgres.url'],
    [
      'two outside servers',
      ['nats.embedded=false', 'nats.url=nats://n', 'nats.existingSecret.name=s'],
      'nats.existingSecret.name',
    ],
    ['a stream larger than its volume', ['events.maxBytes=4294967296'], 'events.maxBytes'],
    ['copies on one embedded server', ['events.streamReplicas=3'], 'events.streamReplicas'],
  ] as const)('refuses %s and names the key', async (_what, values, key) => {
    expect(await refusal(helm, ...values)).toContain(key);
  });

  it('takes every default of its own schema', async () => {
    expect(await refusal(helm)).toBeUndefined();
  });
});

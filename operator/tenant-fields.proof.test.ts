import { afterAll, beforeAll } from 'vitest';
import { type TenantStatus, tenantSpecSchema } from './api/v1alpha1/tenant.ts';
import { findCondition } from './kernel/conditions.ts';
import type { KubernetesObject, ResourceType, StoredObject } from './kernel/object.ts';
import {
  limitRangeResource,
  namespaceResource,
  networkPolicyResource,
  resourceQuotaResource,
  roleBindingResource,
} from './resources/builtin.ts';
import { tenantResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import { type Fields, type Outcome, proveFields, verdictsOf } from './testkit/fields.ts';
import { type StoredTenant, startWorld, type World } from './testkit/world.ts';

const owner = (over: object) => ({ kind: 'User', name: 'mia', role: 'Owner', ...over });
const upTo = (count: number) => Array.from({ length: count }, (_, index) => `${index}`);
const toAddress = (cidr: string) => ({ allowEgress: [{ to: [{ ipBlock: { cidr } }] }] });

const fields: Fields = {
  displayName: { good: ['Acme', 'x'.repeat(253)], refused: [5, 'x'.repeat(254)] },
  namespaces: {
    good: [undefined, [], [{ name: '$name' }, { name: '$name-more' }]],
    bad: [[{ name: 'taken' }], [{ name: 'foreign' }], [{ name: '$name' }, { name: 'foreign' }]],
    accepted: [upTo(64).map((name) => ({ name: `n${name}` }))],
    refused: [
      [{ name: 'default' }],
      [{ name: 'kube-system' }],
      [{ name: 'Not A Name' }],
      [{ name: '$name' }, { name: '$name' }],
      [{}],
      upTo(65).map((name) => ({ name: `n${name}` })),
    ],
  },
  owners: {
    good: [
      [],
      [owner({}), owner({ kind: 'Group', role: 'Viewer' })],
      [owner({ kind: 'ServiceAccount', name: 'system:serviceaccount:a:b', role: 'Member' }), owner({ role: 'Admin' })],
    ],
    accepted: [upTo(64).map((name) => owner({ name }))],
    refused: [
      [owner({ role: 'Root' })],
      [owner({ kind: 'Robot' })],
      [owner({ name: '' })],
      [owner({ kind: 'ServiceAccount' })],
      [owner({}), owner({ role: 'Viewer' })],
    ],
  },
  quota: {
    good: [{ agents: 0, pools: 0 }, { agents: 10 }, { hard: { pods: 12, 'requests.cpu': '4000m' } }],
    bad: [{ hard: { 'not a resource': 1 } }],
    accepted: [{ agents: 2_147_483_647 }],
    refused: [
      { agents: -1 },
      { pools: 'many' },
      { hard: { 'count/agents.openos.dev': 1 } },
      { hard: { pods: 'many' } },
    ],
  },
  limitRange: {
    good: [{ limits: [{ type: 'Container', default: { cpu: '0.5' }, defaultRequest: { cpu: '0.1' } }] }],
    bad: [{ limits: [{ type: 'Container', default: { cpu: '2' }, max: { cpu: '1' } }] }],
    refused: [{ limits: 5 }, {}],
  },
  runtimeClasses: {
    good: [{}, { default: 'kata' }, { allowed: ['gvisor', 'kata'] }, { default: 'kata', allowed: ['kata'] }],
    accepted: [{ allowed: upTo(32) }],
    refused: [{ default: 'kata', allowed: ['gvisor'] }, { default: 'Not A Name' }, { allowed: upTo(33) }],
  },
  priorityClasses: {
    good: [{ allowed: [] }, { allowed: ['high'] }],
    refused: [{}, { allowed: ['Not A Name'] }, { allowed: ['high', 'high'] }],
  },
  allowedRegistries: {
    good: [[], ['registry.test'], ['registry.test:5000/team', 'ghcr.io']],
    refused: [['https://registry.test'], ['*'], ['registry.test/'], ['']],
  },
  nodeSelector: { good: [{}, { 'kubernetes.io/os': 'linux' }], refused: [5, { os: 'x'.repeat(64) }] },
  tolerations: { good: [[], [{ operator: 'Exists' }]], refused: [5, [{ tolerationSeconds: 'long' }]] },
  network: {
    good: [
      {},
      { isolation: 'Unmanaged' },
      { isolation: 'DefaultDeny', allowDNS: false },
      { allowIngress: [{ ports: [{ port: 8080 }] }], allowEgress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }] },
    ],
    bad: [toAddress('10.0.0.0/99'), { allowIngress: [{ ports: [{ port: 65_536 }] }] }],
    refused: [{ isolation: 'Unmanaged', allowDNS: true }, { isolation: 'Open' }, { allowIngress: 5 }],
  },
  podSecurity: { good: [{}, { enforce: 'restricted' }], refused: [{ enforce: 'privileged' }] },
  suspend: { good: ['None', 'Hold', 'HoldAndDrain'], refused: ['Off'] },
  suspendReason: {
    beside: { suspend: 'Hold' },
    good: ['an audit', 'x'.repeat(1_024)],
    refused: [5, 'x'.repeat(1_025)],
  },
  deletionPolicy: { good: ['Orphan', 'Delete'], refused: ['Never'] },
};

/** A ResourceQuota of a kind that the cluster has known for a short time is counted within half a minute. */
const settledMs = 90_000;
/** A Tenant that cannot be set up says so before all of what could be done is: it rests when nothing more is written. */
const restMs = 500;

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
  await world.tenant('taken');
  const foreign = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'foreign' } };
  await world.cluster.client.create(namespaceResource, foreign as KubernetesObject);
});
afterAll(() => world?.stop());

type Any = StoredObject & Readonly<Record<string, unknown>>;

const childKinds = [networkPolicyResource, limitRangeResource, resourceQuotaResource, roleBindingResource];

/** What stands in the namespaces of the Tenant and is marked on them, whatever it is called. */
async function childrenOf(tenant: string, namespaces: readonly string[]): Promise<readonly string[]> {
  const inEach = namespaces.map(async (namespace) => {
    const marks = await marksOf(namespace);
    return [marks, ...(await Promise.all(childKinds.map((resource) => listed(resource, namespace)))).flat()];
  });
  const all = (await Promise.all(inEach)).flat();
  return all.map((each) => JSON.stringify(each).replaceAll(tenant, 'tenant')).sort();
}

async function marksOf(name: string): Promise<object> {
  const metadata = (await world.cluster.client.get({ resource: namespaceResource, name }))?.metadata;
  const ours = (marks: Readonly<Record<string, string>> = {}) =>
    Object.entries(marks).filter(([key]) => /^(openos.dev|pod-security)/.test(key) && !key.endsWith('created-for'));
  return { name, labels: ours(metadata?.labels), annotations: ours(metadata?.annotations) };
}

async function listed(resource: ResourceType, namespace: string): Promise<readonly object[]> {
  const { items } = await world.cluster.client.list<Any>(resource, { namespace });
  return items.map(({ metadata: { name, labels }, spec, roleRef, subjects }) => ({
    ...{ kind: resource.kind, namespace, name, labels },
    ...{ spec, roleRef, subjects },
  }));
}

async function outcomeOf(
  name: string,
  { spec }: StoredTenant,
  status: TenantStatus,
  isGood: boolean,
): Promise<Outcome> {
  const { conditions, phase, namespaces = [], quota, agents, pools } = status;
  const verdicts = verdictsOf(conditions);
  // What was set up before a spec that cannot be carried out stays, and tells of the way.
  if (!isGood) return { shown: { verdicts } };
  const children = await childrenOf(name, spec.namespaces?.map((each) => each.name) ?? []);
  const ready = namespaces.map((entry) => [entry.name.replace(name, 'tenant'), entry.ready]);
  return { shown: { verdicts, phase, ready, quota, agents, pools, children } };
}

/** Waits until the Tenant is Ready with its own spec, its quota counted, or says what keeps it from that. */
async function settled(name: string, isGood: boolean): Promise<Outcome> {
  let seen = { version: '', since: 0 };
  const { tenant, status } = await eventually(
    `${name} is ${isGood ? 'Ready' : 'told to be held up'}`,
    async () => {
      const tenant = await world.cluster.client.get<StoredTenant>({ resource: tenantResource, name });
      const status = tenant?.status;
      const ready = findCondition(status?.conditions ?? [], 'Ready');
      const isCurrent = status?.observedGeneration === tenant?.metadata.generation;
      const { hard = {}, used = {} } = status?.quota ?? {};
      const isCounted = Object.keys(hard).every((key) => used[key] !== undefined);
      const isHeldUp = ready?.status === 'False' && ready.reason !== 'NamespacesNotReady';
      const version = tenant?.metadata.resourceVersion ?? '';
      if (version !== seen.version) seen = { version, since: performance.now() };
      const isAtRest = performance.now() - seen.since > restMs;
      const isThere = isGood ? ready?.status === 'True' && isCounted : isHeldUp && isAtRest;
      if (tenant !== undefined && status !== undefined && isCurrent && isThere) return { tenant, status };
      throw new Error(JSON.stringify(status));
    },
    settledMs,
    100,
  );
  return outcomeOf(name, tenant, status, isGood);
}

proveFields({
  resource: tenantResource,
  schema: tenantSpecSchema,
  fields,
  base: { namespaces: [{ name: '$name' }] },
  world: () => world,
  settled,
});

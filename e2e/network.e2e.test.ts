import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../hack/lib/process.ts';
import type { TenantSpec } from '../operator/api/v1alpha1/tenant.ts';
import { isTrue } from '../operator/kernel/conditions.ts';
import type { KubernetesObject } from '../operator/kernel/object.ts';
import { tenantResource } from '../operator/resources/own.ts';
import { eventually } from '../operator/testkit/eventually.ts';
import type { StoredTenant } from '../operator/testkit/world.ts';
import { diagnosed, diagnoseFailures, isNodeReachable, startWorld, type World } from './world.ts';

/** One tenant closed but for one way out, one that lets the first in and reaches one outside address, one without policies. */
const [closed, annex, inviting, unmanaged] = ['e2e-closed', 'e2e-closed-2', 'e2e-inviting', 'e2e-unmanaged'] as const;
const namespaces = [closed, annex, inviting, unmanaged] as const;
const callers = [closed, inviting, unmanaged] as const;
const metadataAddress = '169.254.169.254';
/** Where the agents listen; `other` is a port that no policy names. */
const port = { agent: 8080, other: 9090, outside: 18_080, outsideToo: 18_081, metadata: 18_082 } as const;

type Target = { readonly name: string; readonly host: string; readonly port: number };
/** What came of each try by name of the target: `open`, `silence` (dropped), or the error of the network. */
type Row = Readonly<Record<string, string>>;

let world: World;
let outside = '';
let targets: readonly Target[] = [];
const listeners: ChildProcess[] = [];
/** Names of pods by namespace/agent. */
const pods = new Map<string, string>();
const rows: Record<string, Row> = {};

const listen = (...ports: readonly number[]) =>
  `for (const port of ${JSON.stringify(ports)}) require('node:http').createServer((_, answer) => answer.end()).listen(port);`;
const command = [
  '/usr/local/bin/node',
  '-e',
  `${listen(port.agent, port.other)} process.on('SIGTERM', () => process.exit(0));`,
];

const host = (address: string) => ({ ipBlock: { cidr: `${address}/32` } });
const everyoneIn = (namespace: string) => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
});
const outsideRule = () => ({ to: [host(outside)], ports: [{ port: port.outside }] });
const tenants = (): Readonly<Record<string, TenantSpec>> => ({
  [closed]: {
    namespaces: [{ name: closed }, { name: annex }],
    deletionPolicy: 'Delete',
    network: { allowEgress: [{ to: [everyoneIn(inviting)] }] },
  },
  [inviting]: {
    namespaces: [{ name: inviting }],
    deletionPolicy: 'Delete',
    network: {
      allowIngress: [{ from: [everyoneIn(closed)], ports: [{ port: port.agent }] }],
      allowEgress: [outsideRule()],
    },
  },
  [unmanaged]: {
    namespaces: [{ name: unmanaged }],
    deletionPolicy: 'Delete',
    network: { isolation: 'Unmanaged' },
  },
});

async function makeTenant(name: string, spec: TenantSpec): Promise<void> {
  const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'Tenant', metadata: { name }, spec };
  const { metadata } = await world.client.apply<StoredTenant>(tenantResource, manifest as KubernetesObject);
  await eventually(
    `Tenant ${name} is Ready`,
    async () => {
      const tenant = await world.client.get<StoredTenant>({ resource: tenantResource, name });
      const { conditions = [], observedGeneration } = tenant?.status ?? {};
      return observedGeneration === metadata.generation && isTrue(conditions, 'Ready');
    },
    60_000,
    100,
  );
}

/** A server on the node, in the cluster's own network namespace, that ends with its standard input. */
async function listenOnNode(...ports: readonly number[]): Promise<void> {
  const script = `${listen(...ports)} console.log('up'); process.stdin.on('end', () => process.exit()).resume();`;
  const child = spawn('hack/cluster/node.sh', [process.execPath, '-e', script], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  listeners.push(child);
  await once(child.stdout ?? child, 'data');
}

const onNode = (...args: readonly string[]) =>
  new Promise<void>((resolve) =>
    spawn('hack/cluster/node.sh', args, { cwd: root, stdio: 'ignore' }).on('close', () => resolve()),
  );

/** Tries every target from inside the agent's container, all at once. */
async function reach(namespace: string, agent = 'caller'): Promise<Row> {
  const program = `
    const { connect } = require('node:net'), { lookup } = require('node:dns').promises;
    const reach = ({ host, port }) => new Promise((resolve) => {
      const end = (what) => { socket.destroy(); resolve(what); };
      const socket = connect({ host, port }, () => end('open')).on('error', (e) => end(e.code));
      socket.setTimeout(3000, () => end('silence'));
    });
    const name = 'kubernetes.default.svc.cluster.local.';
    const dns = Promise.race([lookup(name).then(() => 'open', (e) => e.code), new Promise((r) => setTimeout(r, 9000, 'silence'))]);
    Promise.all([dns, ...JSON.parse(process.argv[1]).map(reach)]).then((all) => { console.log(JSON.stringify(all)); process.exit(); });`;
  const pod = pods.get(`${namespace}/${agent}`) ?? '';
  const args = ['/usr/local/bin/node', '-e', program, JSON.stringify(targets)];
  const answers = JSON.parse(await world.kubectl('exec', '-n', namespace, pod, '--', ...args)) as readonly string[];
  return Object.fromEntries(
    ['DNS', ...targets.map(({ name }) => name)].map((name, index) => [name, answers[index] ?? '']),
  );
}

async function findPod(namespace: string, agent: string): Promise<void> {
  const { podRef } = await world.ready(namespace, agent);
  pods.set(`${namespace}/${agent}`, podRef?.name ?? '');
}

const addressOf = async (kind: string, name: string, path: string, ...where: readonly string[]) =>
  (await world.kubectl('get', kind, name, ...where, '-o', `jsonpath=${path}`)).trim();

async function findTargets(): Promise<readonly Target[]> {
  const listener = async (name: string, namespace: string, agent: string) => {
    const { podIPs = [] } = await world.ready(namespace, agent);
    return { name, host: podIPs[0]?.ip ?? '', port: port.agent };
  };
  const agents = await Promise.all(namespaces.map((namespace) => listener(namespace, namespace, 'listener')));
  const node = (
    await world.kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  ).trim();
  const api = await addressOf('service', 'kubernetes', '{.spec.clusterIP}', '-n', 'default');
  const nats = await addressOf('service', 'openos-nats', '{.spec.clusterIP}', '-n', 'openos-system');
  const invitingHost = agents.find(({ name }) => name === inviting)?.host ?? '';
  return [
    ...agents,
    { name: `${inviting}, other port`, host: invitingHost, port: port.other },
    await listener(`${inviting}, shy`, inviting, 'shy'),
    { name: 'API server', host: api, port: 443 },
    { name: 'kubelet', host: node, port: 10_250 },
    { name: 'event stream', host: nats, port: 4222 },
    { name: 'metadata', host: metadataAddress, port: port.metadata },
    { name: 'outside', host: outside, port: port.outside },
    { name: 'outside, other port', host: outside, port: port.outsideToo },
  ];
}

diagnoseFailures(closed);
beforeAll(() =>
  diagnosed(closed, async () => {
    if (!isNodeReachable) return;
    world = await startWorld();
    // 203.0.113.0/24 is for documentation, the other is where clouds answer: both stand on the cluster's own node.
    outside = '203.0.113.7';
    for (const address of [outside, metadataAddress]) await onNode('ip', 'addr', 'add', `${address}/32`, 'dev', 'lo');
    await listenOnNode(port.outside, port.outsideToo, port.metadata);
    for (const [name, spec] of Object.entries(tenants())) await makeTenant(name, spec);
    for (const namespace of namespaces) await world.removeAgents(namespace);
    for (const namespace of namespaces) await world.createAgent(namespace, 'listener', { command });
    for (const namespace of callers) await world.createAgent(namespace, 'caller', { command });
    // Two that want less than their Tenant allows: one does not call, one does not answer.
    await world.createAgent(closed, 'shy', { command, networkPolicy: {} });
    await world.createAgent(inviting, 'shy', { command, networkPolicy: { egress: [outsideRule()] } });
    targets = await findTargets();
    for (const namespace of callers) await findPod(namespace, 'caller');
    for (const namespace of [closed, inviting]) await findPod(namespace, 'shy');
  }),
);
afterAll(async () => {
  for (const child of listeners) child.stdin?.end();
  if (world !== undefined) {
    for (const address of [outside, metadataAddress]) await onNode('ip', 'addr', 'del', `${address}/32`, 'dev', 'lo');
    for (const namespace of namespaces) await world.removeAgents(namespace);
    await world.kubectl('delete', 'tenants', ...callers, '--ignore-not-found', '--timeout=90s');
    const left = namespaces.map((name) => `namespace/${name}`);
    await world.kubectl('wait', '--for=delete', ...left, '--timeout=90s');
  }
  await world?.stop();
  console.table(rows);
});

/** Reaches out from there, for the table as well. */
async function tried(row: string, ...from: Parameters<typeof reach>): Promise<Row> {
  const answers = await reach(...from);
  rows[row] = answers;
  return answers;
}

/** What is open in a row; everything else is dropped without an answer. */
const open = (row: Row) => Object.keys(row).filter((name) => row[name] === 'open');
const expectOnly = (row: Row, allowed: readonly string[]) => {
  expect(open(row)).toEqual(allowed);
  for (const name of Object.keys(row))
    if (!allowed.includes(name)) expect([name, row[name]]).toEqual([name, 'silence']);
};

const everything = [
  ...['DNS', unmanaged, 'API server', 'kubelet', 'event stream', 'metadata', 'outside', 'outside, other port'],
];

describe.runIf(isNodeReachable)('connections between gVisor pods', () => {
  it('get everywhere from a tenant without policies, but not into tenants that have them', async () => {
    expectOnly(await tried(unmanaged, unmanaged), everything);
  });

  it('get from a closed tenant only where it and the other side allow it: not even to its own', async () => {
    expectOnly(await tried(closed, closed), ['DNS', inviting]);
  });

  it('get out of a tenant to the address and port that it names, and to nothing else', async () => {
    expectOnly(await tried(inviting, inviting), ['DNS', 'outside']);
  });

  it('get from an Agent with rules of its own only where those and its Tenant allow it', async () => {
    expectOnly(await tried(`${closed}, shy`, closed, 'shy'), ['DNS']);
    // A pod always reaches itself.
    expectOnly(await tried(`${inviting}, shy`, inviting, 'shy'), ['DNS', `${inviting}, shy`, 'outside']);
  });

  it('are not had by an Agent that asks for more than its Tenant allows', async () => {
    const networkPolicy = { egress: [{ to: [host(outside)], ports: [{ port: port.outsideToo }] }] };
    const { metadata } = await world.createAgent(inviting, 'greedy', { command, networkPolicy });
    await world.status(inviting, 'greedy', 'NotAllowed', ({ reason }) => reason === 'NotAllowed');
    expect(await world.podsOf(metadata.uid)).toEqual([]);
    await world.removeAgent(inviting, 'greedy');
  });

  it('get no further when the policies were deleted by hand, five seconds later', async () => {
    await world.kubectl('delete', 'networkpolicies', '--all', '-n', closed);
    const standing = () => world.kubectl('get', 'networkpolicies', '-n', closed, '-o', 'name');
    const back = async () =>
      (await standing()).includes('openos-default-deny') && (await standing()).includes('openos-allow');
    await eventually('the policies are back', back, 5_000, 50);
    expectOnly(await tried(`${closed}, restored`, closed), ['DNS', inviting]);
  });

  it('are all there are: a closed tenant that is opened reaches what it could not', async () => {
    await makeTenant(closed, { ...tenants()[closed], network: { isolation: 'Unmanaged' } });
    await eventually('the API server answers', async () => (await reach(closed))['API server'] === 'open', 15_000, 500);
  });
});

describe.runIf(isNodeReachable)('a Secret of another tenant', () => {
  it.each([
    ['treasure', 'ContainerNotCreated'],
    [`${inviting}/treasure`, 'PodRejected'],
  ])('is not found under the name %s: %s', async (name, expected) => {
    const treasure = ['secret', 'treasure', '-n', inviting];
    await world.kubectl('delete', ...treasure, '--ignore-not-found');
    await world.kubectl('create', 'secret', 'generic', ...treasure.slice(1), '--from-literal=key=value');
    await world.createAgent(closed, 'thief', { command, envFrom: [{ secretRef: { name } }] });
    const { message } = await world.status(closed, 'thief', expected, ({ reason }) => reason === expected);
    expect(message).toContain(name);
    await world.removeAgent(closed, 'thief');
  });
});

import { randomUUID } from 'node:crypto';
import type { AgentSpec } from '../../operator/api/v1alpha1/agent.ts';
import { leases } from '../../operator/kernel/leader.ts';
import type { StoredObject } from '../../operator/kernel/object.ts';
import { podResource } from '../../operator/resources/builtin.ts';
import { agentResource } from '../../operator/resources/own.ts';
import { eventually } from '../../operator/testkit/eventually.ts';
import type { TestOperator } from '../../operator/testkit/operator.ts';
import { putIntoEtcd } from './etcd.ts';
import { type BenchWorld, startBenchWorld } from './light.ts';
import { heapInUse, resetPeak, residentMiB } from './process.ts';
import { atMost, figure, progress, type Result } from './table.ts';
import { agentManifest, type BenchAgent, type BenchPod } from './workload.ts';

const namespace = 'herd';
const nodes = 10;
const spec: AgentSpec = {
  image: 'registry.test/agent:1',
  runtimeClassName: 'gvisor',
  env: [{ name: 'TASK', value: 'a sentence of usual length' }],
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
};

/**
 * F5: what it takes to hold so many Agents and as many pods. Copies of a real Agent and its real pod, seen by a
 * standby: it has the caches of the leader, and nothing else happens that would blur the figure.
 */
export async function manyCached(count: number): Promise<Result> {
  const bench = await startBenchWorld(nodes);
  try {
    const pattern = await onePair(bench);
    await holdLease(bench);
    const empty = await heapOf(await standby(bench));
    progress(`${count} Agents and ${count} pods are made`);
    await makeCopies(bench, pattern, count);
    progress('an operator caches them');
    const operator = await standby(bench);
    const full = await heapOf(operator);
    await resetPeak(operator.pid);
    const { now: before } = await residentMiB(operator.pid);
    progress('and lists them once more');
    await relist(bench, operator);
    const { now: after, peak } = await residentMiB(operator.pid);
    return {
      headline: `${count} Agents and ${count} pods cached`,
      kubernetes: await bench.cluster.client.serverVersion(),
      figures: [
        figure('F5   heap with almost nothing cached', `${(empty.heap / 2 ** 20).toFixed(1)} MiB`),
        figure('     heap with all of it', `${(full.heap / 2 ** 20).toFixed(1)} MiB`),
        atMost('     heap per cached object', (full.heap - empty.heap) / (2 * count) / 1024, 6, ' KiB', 2),
        atMost('     memory (RSS) when all is cached', full.residentMiB, 300, ' MiB'),
        figure('     greatest since the start', `${full.peakMiB.toFixed(0)} MiB`),
        figure('     before and after another list', `${before.toFixed(0)}, ${after.toFixed(0)} MiB`),
        atMost('     peak meanwhile / before', peak / before, 1.5, '', 2),
      ],
    };
  } finally {
    await bench.stop();
  }
}

type Pair = { readonly agent: BenchAgent; readonly pod: BenchPod };

/** A real Agent that is Ready, and its pod. The operator has stopped when this returns. */
async function onePair(bench: BenchWorld): Promise<Pair> {
  const operator = await bench.startOperator();
  await bench.tenant(namespace);
  const { client } = bench.cluster;
  await client.create(agentResource, agentManifest(namespace, 'pattern', spec));
  const agent = await eventually('the pattern is Ready', async () => {
    const standing = await client.get<BenchAgent>({ resource: agentResource, namespace, name: 'pattern' });
    return standing?.status?.phase === 'Ready' && standing;
  });
  const [pod] = (await client.list<BenchPod>(podResource, { namespace })).items;
  await operator.stop();
  if (pod === undefined) throw new Error('the Agent has no pod');
  return { agent, pod };
}

/** Whoever starts from now on stays a standby. */
async function holdLease({ cluster: { client } }: BenchWorld): Promise<void> {
  const name = 'openos-controller';
  const standing = await client.get({ resource: leases, namespace: 'default', name });
  if (standing === undefined) throw new Error('the operator had no Lease');
  const now = new Date().toISOString().replace('Z', '000Z');
  const spec = { holderIdentity: 'bench', leaseDurationSeconds: 3_600, acquireTime: now, renewTime: now };
  await client.replace(leases, { ...standing, spec } as typeof standing);
}

async function standby(bench: BenchWorld): Promise<TestOperator> {
  const operator = await bench.launchOperator({ nodeArguments: ['--inspect=127.0.0.1:0'] });
  await eventually('the operator is ready', async () => (await operator.readiness())?.ready, 180_000, 100);
  return operator;
}

async function heapOf(operator: TestOperator) {
  // As it is by itself, before the collection that the next line asks for.
  const { now, peak } = await residentMiB(operator.pid);
  return { heap: await heapInUse(operator.log()), residentMiB: now, peakMiB: peak };
}

/** Each Agent with the status of the pattern, each pod owned by its Agent, all as the API server would have stored them. */
async function makeCopies({ cluster }: BenchWorld, { agent, pod }: Pair, count: number): Promise<void> {
  const uids = Array.from({ length: count }, () => randomUUID());
  const { server } = cluster.credentials;
  const agents = uids.map((uid, index) => copyOf(agent, `copy-${index}`, uid));
  // The owners first: a pod without one would be collected.
  await putIntoEtcd(
    server,
    agents.map((object) => ({ key: `openos.dev/agents/${namespace}/${object.metadata.name}`, object })),
  );
  const pods = agents.map((owner, index) => podOf(pod, owner, index));
  await putIntoEtcd(
    server,
    pods.map((object) => ({ key: `pods/${namespace}/${object.metadata.name}`, object })),
  );
}

function copyOf<T extends StoredObject>({ metadata, ...rest }: T, name: string, uid: string): T {
  // The version is where it stands in etcd.
  const { resourceVersion: _, ...others } = metadata;
  return { ...rest, metadata: { ...others, name, uid } } as T;
}

function podOf(pattern: BenchPod, { metadata: { name, uid } }: BenchAgent, index: number): BenchPod {
  const { metadata, spec, ...rest } = copyOf(pattern, `${name}-0123456789`, randomUUID());
  const labels = { ...metadata.labels, 'openos.dev/agent': name, 'openos.dev/agent-uid': uid };
  const ownerReferences = [{ ...metadata.ownerReferences?.[0], name, uid }];
  const copy = { ...rest, metadata: { ...metadata, labels, ownerReferences } };
  return { ...copy, spec: { ...spec, nodeName: `fake-${index % nodes}` } } as BenchPod;
}

/** The API server starts anew and knows the old versions no more: everything is listed again. */
async function relist({ cluster }: BenchWorld, operator: TestOperator): Promise<void> {
  const lists = async () => {
    const [agents, pods] = await Promise.all(
      ['agents', 'pods'].map((resource) => operator.metric('openos_watch_lists_total', { resource })),
    );
    return { agents: agents ?? 0, pods: pods ?? 0 };
  };
  const before = await lists();
  // Without a write in between the new server would know the version the watches go on from.
  await cluster.kubectl('create', 'configmap', 'relist', '-n', namespace);
  await cluster.restartApiServer();
  await eventually(
    'Agents and pods are listed again',
    async () => {
      const now = await lists();
      return now.agents > before.agents && now.pods > before.pods && (await operator.readiness())?.ready;
    },
    60_000,
    100,
  );
}

import type { AgentSpec } from '../../operator/api/v1alpha1/agent.ts';
import { KubeClient } from '../../operator/kernel/client.ts';
import { loadKubeConfig } from '../../operator/kernel/credentials.ts';
import { controllerUid } from '../../operator/kernel/object.ts';
import { Transport } from '../../operator/kernel/transport.ts';
import { podResource } from '../../operator/resources/builtin.ts';
import { agentResource } from '../../operator/resources/own.ts';
import { type Cluster, currentCluster, kubectl } from '../lib/cluster.ts';
import { Observer } from './observer.ts';
import { machine, quantile, spread, writesOf } from './stats.ts';
import { agentManifest, type BenchAgent, type BenchPod, barePod, podIsReady } from './workload.ts';

/** `make bench-start`: F1, F2 and F3 of the targets; RUNS, BURST and RUNTIME_CLASS can be set. */
const runs = Number(process.env.RUNS ?? '20');
const burstSize = Number(process.env.BURST ?? '20');
/** Bursts of either kind, in turns: a single one may meet the machine at a bad moment. */
const bursts = 3;
const runtimeClassName = process.env.RUNTIME_CLASS ?? 'gvisor';
const namespace = 'acme-agents';

type World = {
  readonly cluster: Cluster;
  readonly client: KubeClient;
  readonly pods: Observer<BenchPod>;
  readonly agents: Observer<BenchAgent>;
};

const spec: AgentSpec = {
  image: 'openos.dev/sample-agent:dev',
  runtimeClassName,
  // No readiness probe: the kubelet asks once a second, and what is measured here is smaller than that.
  terminationGracePeriodSeconds: 1,
};

type PodRun = { readonly totalMs: number };
type AgentRun = { readonly totalMs: number; readonly beforeMs: number; readonly afterMs: number };

async function startPod({ client, pods }: World, name: string): Promise<PodRun> {
  const ready = pods.first(`pod ${name} Ready`, (pod) => pod.metadata.name === name && podIsReady(pod));
  const started = performance.now();
  await client.create(podResource, barePod(namespace, name, spec));
  return { totalMs: (await ready) - started };
}

async function startAgent({ client, pods, agents }: World, name: string): Promise<AgentRun> {
  const mine = (pod: BenchPod) => pod.metadata.name.startsWith(`${name}-`) && controllerUid(pod) !== undefined;
  const seen = pods.first(`the pod of ${name}`, mine);
  const podReady = pods.first(`the pod of ${name} Ready`, (pod) => mine(pod) && podIsReady(pod));
  const ready = agents.first(
    `Agent ${name} Ready`,
    (agent) => agent.metadata.name === name && agent.status?.phase === 'Ready',
  );
  const started = performance.now();
  await client.create(agentResource, agentManifest(namespace, name, spec));
  const [seenAt, podReadyAt, readyAt] = await Promise.all([seen, podReady, ready]);
  return { totalMs: readyAt - started, beforeMs: seenAt - started, afterMs: readyAt - podReadyAt };
}

/** Starts one after the other, each gone before the next; answers the figures and the API writes per start. */
async function serial<T>(world: World, prefix: string, start: (world: World, name: string) => Promise<T>) {
  const results: T[] = [];
  let writes = 0;
  for (let run = 1; run <= runs; run += 1) {
    const before = await apiWrites(world.cluster);
    results.push(await start(world, `${prefix}-${run}`));
    await settle();
    writes += (await apiWrites(world.cluster)) - before;
    await remove(world);
    process.stderr.write(`\r${prefix}: ${run} of ${runs}  `);
  }
  process.stderr.write('\n');
  return { results, writes: writes / runs };
}

/** Starts `burstSize` at once and answers how long it took until all were Ready, in milliseconds. */
async function burst(
  world: World,
  create: (name: string) => Promise<unknown>,
  allReady: () => Promise<number>,
): Promise<number> {
  const ready = allReady();
  const started = performance.now();
  await Promise.all(Array.from({ length: burstSize }, (_, index) => create(`burst-${index + 1}`)));
  const totalMs = (await ready) - started;
  await remove(world);
  return totalMs;
}

/** Bursts of bare pods and of Agents, one after the other. */
async function burstsInTurns(world: World): Promise<{ readonly pods: number[]; readonly agents: number[] }> {
  const { client, pods, agents } = world;
  const isReady = (agent: BenchAgent) => agent.status?.phase === 'Ready';
  const results = { pods: [] as number[], agents: [] as number[] };
  for (let turn = 1; turn <= bursts; turn += 1) {
    results.pods.push(
      await burst(
        world,
        (name) => client.create(podResource, barePod(namespace, name, spec)),
        () => pods.many('pods of the burst Ready', podIsReady, burstSize),
      ),
    );
    results.agents.push(
      await burst(
        world,
        (name) => client.create(agentResource, agentManifest(namespace, name, spec)),
        () => agents.many('Agents of the burst Ready', isReady, burstSize),
      ),
    );
    process.stderr.write(`\rbursts: ${turn} of ${bursts}  `);
  }
  process.stderr.write('\n');
  return results;
}

// Writes that belong to a start may come a little after it (Kubernetes Events, the kubelet's last status).
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2_000));
}

async function apiWrites(cluster: Cluster): Promise<number> {
  return writesOf(await kubectl(cluster, ['get', '--raw', '/metrics']));
}

async function remove(world: World): Promise<void> {
  const { cluster, pods } = world;
  await kubectl(cluster, ['delete', 'agents', '-n', namespace, '--all', '--wait=false']);
  await kubectl(cluster, ['delete', 'pods', '-n', namespace, '--all', '--wait=false']);
  await pods.none('pods left', () => true, 120_000);
}

async function main(): Promise<void> {
  const cluster = await currentCluster();
  await kubectl(cluster, ['apply', '-f', 'config/samples/tenant.yaml']);
  await kubectl(cluster, ['wait', '--for=condition=Ready', 'tenant/acme', '--timeout=60s']);
  const client = new KubeClient(new Transport({ credentials: loadKubeConfig(cluster.kubeconfig), version: 'bench' }));
  const stop = new AbortController();
  const pods = new Observer<BenchPod>(client, podResource, namespace);
  const agents = new Observer<BenchAgent>(client, agentResource, namespace);
  await Promise.all([pods.start(stop.signal), agents.start(stop.signal)]);
  const world: World = { cluster, client, pods, agents };
  await remove(world);
  await startPod(world, 'warm-up');
  await remove(world);
  const floor = await serial(world, 'pod', startPod);
  await startAgent(world, 'warm-up');
  await remove(world);
  const ours = await serial(world, 'agent', startAgent);
  const together = await burstsInTurns(world);
  stop.abort();
  const version = await client.serverVersion();
  await client.close();
  report(floor, ours, together, version);
}

type Series<T> = { readonly results: readonly T[]; readonly writes: number };

function report(
  floor: Series<PodRun>,
  ours: Series<AgentRun>,
  together: { readonly pods: readonly number[]; readonly agents: readonly number[] },
  version: string,
): void {
  const podTotals = floor.results.map((run) => run.totalMs);
  const totals = ours.results.map((run) => run.totalMs);
  const shares = ours.results.map((run) => run.beforeMs + run.afterMs);
  const ratio = quantile(totals, 0.5) / quantile(podTotals, 0.5);
  process.stdout.write(`
${runs} serial starts, RuntimeClass ${runtimeClassName}; ${machine(version)}

                                            p50    p95  (ms)
bare pod: created → Ready (the floor)    ${spread(podTotals)}
Agent:    created → Ready                ${spread(totals)}
  created → its pod seen                 ${spread(ours.results.map((run) => run.beforeMs))}
  pod Ready → Agent Ready                ${spread(ours.results.map((run) => run.afterMs))}
  both together: our share               ${spread(shares)}   target ≤ 15 / ≤ 30
total / floor (p50)                       ${ratio.toFixed(3)}   target ≤ 1.1
API writes per bare pod                   ${floor.writes.toFixed(2)}
API writes per Agent                      ${ours.writes.toFixed(2)}   target ≤ 13.0

${burstSize} at once, median of ${bursts}: the last is Ready after
bare pods (the floor)                     ${(quantile(together.pods, 0.5) / 1000).toFixed(2)} s
Agents                                    ${(quantile(together.agents, 0.5) / 1000).toFixed(2)} s
Agents / floor                            ${(quantile(together.agents, 0.5) / quantile(together.pods, 0.5)).toFixed(3)}   target ≤ 1.1
`);
}

await main().catch((error: unknown) => {
  process.stderr.write(`bench-start: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});

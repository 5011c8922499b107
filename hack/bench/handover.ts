import { leases } from '../../operator/kernel/leader.ts';
import type { StoredObject } from '../../operator/kernel/object.ts';
import { controllerUid } from '../../operator/kernel/object.ts';
import { podResource } from '../../operator/resources/builtin.ts';
import { agentResource } from '../../operator/resources/own.ts';
import type { TestOperator } from '../../operator/testkit/operator.ts';
import { type BenchWorld, startBenchWorld } from './light.ts';
import { Observer } from './observer.ts';
import { quantile } from './stats.ts';
import { atMost, type Figure, figure, progress, type Result, report } from './table.ts';
import { agentManifest, type BenchPod } from './workload.ts';

/** `make bench-handover`: F8 of the targets; RUNS (told to stop), CRASHES and LEASE_SECONDS can be set. */
const runs = Number(process.env.RUNS || '10');
const crashes = Number(process.env.CRASHES || '3');
const leaseSeconds = Number(process.env.LEASE_SECONDS || '15');
const namespace = 'heirs';

type Lease = StoredObject & { readonly spec?: { readonly holderIdentity?: string } };

/** Milliseconds since the leader was told to stop or killed; `lists`: what the next one listed anew. */
type HandOver = { readonly leadsMs: number; readonly podMs: number; readonly lists: number };

type Stage = {
  readonly world: BenchWorld;
  readonly leases: Observer<Lease>;
  readonly pods: Observer<BenchPod>;
};

let serial = 0;

/** Creates an Agent; resolves with the moment its pod is seen. */
async function podOfNewAgent({ world, pods }: Stage): Promise<number> {
  serial += 1;
  const { client } = world.cluster;
  const manifest = agentManifest(namespace, `agent-${serial}`, { image: 'registry.test/agent:1' });
  const { metadata } = await client.create<StoredObject>(agentResource, manifest);
  return pods.first(`the pod of ${metadata.name}`, (pod) => controllerUid(pod) === metadata.uid);
}

function startOperator({ world }: Stage): Promise<TestOperator> {
  return world.startOperator({ env: { OPENOS_LEASE_SECONDS: `${leaseSeconds}` } });
}

function leads(stage: Stage, { identity }: TestOperator): Promise<number> {
  return stage.leases.first(`${identity} leads`, ({ spec }) => spec?.holderIdentity === identity);
}

/** One leader goes, an Agent is created in that moment, the standby takes over. */
async function handOver(stage: Stage, leader: TestOperator, end: (leader: TestOperator) => Promise<unknown>) {
  const heir = await startOperator(stage);
  const listed = await heir.metric('openos_watch_lists_total');
  const began = performance.now();
  const ended = end(leader);
  const [leadsAt, podAt] = await Promise.all([leads(stage, heir), podOfNewAgent(stage)]);
  await ended;
  const lists = (await heir.metric('openos_watch_lists_total')) - listed;
  return { heir, figures: { leadsMs: leadsAt - began, podMs: podAt - began, lists } satisfies HandOver };
}

async function measure(world: BenchWorld): Promise<Result> {
  const { client } = world.cluster;
  const stop = new AbortController();
  const stage: Stage = {
    world,
    leases: new Observer<Lease>(client, leases, 'default'),
    pods: new Observer<BenchPod>(client, podResource, namespace),
  };
  let leader = await startOperator(stage);
  await world.tenant(namespace);
  await Promise.all([stage.leases.start(stop.signal), stage.pods.start(stop.signal)]);
  await leads(stage, leader);

  const floor: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const began = performance.now();
    floor.push((await podOfNewAgent(stage)) - began);
  }
  const told: HandOver[] = [];
  for (let run = 1; run <= runs; run += 1) {
    progress(`told to stop: ${run} of ${runs}`);
    const { heir, figures } = await handOver(stage, leader, (operator) => operator.stop());
    leader = heir;
    told.push(figures);
  }
  const killed: HandOver[] = [];
  for (let run = 1; run <= crashes; run += 1) {
    progress(`killed: ${run} of ${crashes}`);
    const { heir, figures } = await handOver(stage, leader, (operator) => operator.kill());
    leader = heir;
    killed.push(figures);
  }
  stop.abort();
  return {
    headline: `the leader goes: ${runs} times told to stop, ${crashes} times killed; Lease ${leaseSeconds} s; p50 / worst`,
    kubernetes: await client.serverVersion(),
    figures: figuresOf(floor, told, killed),
  };
}

function figuresOf(
  floor: readonly number[],
  told: readonly HandOver[],
  killed: readonly HandOver[],
): readonly Figure[] {
  const both = (values: readonly number[]) =>
    `${quantile(values, 0.5).toFixed(0)} / ${Math.max(...values).toFixed(0)} ms`;
  const worst = (values: readonly HandOver[]) => Math.max(...values.map(({ leadsMs }) => leadsMs));
  return [
    figure('nobody goes: Agent created → its pod seen (the floor)', both(floor)),
    figure('told to stop → the standby leads', both(told.map(({ leadsMs }) => leadsMs))),
    atMost('  worst', worst(told), 2_000, ' ms'),
    figure('  → an Agent created at that moment has its pod', both(told.map(({ podMs }) => podMs))),
    figure('killed → the standby leads', both(killed.map(({ leadsMs }) => leadsMs))),
    atMost('  worst', worst(killed), leaseSeconds * 1_000 + 2_000, ' ms'),
    figure('  → an Agent created at that moment has its pod', both(killed.map(({ podMs }) => podMs))),
    atMost(
      'lists made by the one that took over (its caches are warm)',
      [...told, ...killed].reduce((sum, { lists }) => sum + lists, 0),
      0,
    ),
  ];
}

async function main(): Promise<void> {
  const world = await startBenchWorld(1);
  try {
    report(await measure(world));
  } finally {
    await world.stop();
  }
}

await main().catch((error: unknown) => {
  process.stderr.write(`bench-handover: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});

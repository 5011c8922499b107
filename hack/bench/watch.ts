import type { KubeClient } from '../../operator/kernel/client.ts';
import { agentResource } from '../../operator/resources/own.ts';
import { type CollectedSpan, startCollector } from '../../operator/testkit/collector.ts';
import { eventually } from '../../operator/testkit/eventually.ts';
import { bareWatch, epochNow } from './bare-watch.ts';
import { type BenchWorld, startBenchWorld } from './light.ts';
import { quantile } from './stats.ts';
import { atMost, type Figure, figure, progress, type Result, report } from './table.ts';
import { agentManifest, type BenchAgent } from './workload.ts';

/** `make bench-watch`: F7 of the targets; WRITES and ROUNDS can be set. Everything is in milliseconds. */
const writes = Number(process.env.WRITES || '300');
const rounds = Number(process.env.ROUNDS || '5');
const namespace = 'burst';
const annotation = 'burst';

/** Moments of the epoch, by UID: all processes of one machine share that clock. */
type Moments = Map<string, number>;

/** Takes the operator's traces: each pass is a span that begins when the pass does. */
async function collectPasses() {
  const starts = new Map<string, number[]>();
  const { url, stop } = await startCollector((spans) => {
    for (const { uid, at } of passesAmong(spans)) starts.set(uid, [...(starts.get(uid) ?? []), at]);
  });
  return {
    url,
    /** The first pass over this agent that began at or after this moment. */
    firstAfter: (uid: string, moment: number) =>
      starts
        .get(uid)
        ?.filter((at) => at >= moment)
        .sort((a, b) => a - b)[0],
    stop,
  };
}

function passesAmong(spans: readonly CollectedSpan[]): readonly { readonly uid: string; readonly at: number }[] {
  return spans
    .filter(({ name }) => name === 'reconcile agent')
    .map(({ attributes, startTimeUnixNano }) => ({
      uid: attributes.find(({ key }) => key === 'openos.key')?.value.stringValue ?? '',
      at: Number(startTimeUnixNano) / 1e6,
    }));
}

/** Agents that are Ready and left alone: a write to one wakes one pass, which finds nothing to do. */
async function steadyAgents({ cluster: { client } }: BenchWorld): Promise<readonly BenchAgent[]> {
  const spec = { image: 'registry.test/agent:1' };
  const names = Array.from({ length: writes }, (_, n) => `agent-${n}`);
  await Promise.all(names.map((name) => client.create(agentResource, agentManifest(namespace, name, spec))));
  const isSteady = ({ status }: BenchAgent) =>
    status?.phase === 'Ready' &&
    status.conditions?.some(({ type, status: is }) => type === 'EventsPublished' && is === 'True') === true;
  return eventually(
    'all are Ready, and all of their events out',
    async () => {
      const { items } = await client.list<BenchAgent>(agentResource, { namespace });
      return items.filter(isSteady).length === writes ? items : undefined;
    },
    180_000,
    1_000,
  );
}

/** When each agent's write of this burst was sent and when two bare watches saw it, by UID. */
type Burst = { readonly sent: Moments; readonly seen: readonly [Moments, Moments] };

/** Writes to all of them at once and waits until both bare watches have seen it. */
async function burst(client: KubeClient, watches: BareWatches, agents: readonly BenchAgent[], round: number) {
  const sent: Moments = new Map();
  await Promise.all(
    agents.map(({ apiVersion, kind, metadata: { name, uid } }) => {
      sent.set(uid, epochNow());
      const metadata = { namespace, name, annotations: { [annotation]: `${round}` } };
      return client.apply(agentResource, { apiVersion, kind, metadata });
    }),
  );
  const seen = await watches.saw(`${round}`, agents.length);
  return { sent, seen } satisfies Burst;
}

type BareWatches = {
  /** When each of the two saw the agents with this mark, once they are so many. */
  readonly saw: (mark: string, count: number) => Promise<Burst['seen']>;
  readonly stop: () => Promise<unknown>;
};

/** Two, for what lies between them is what this machine adds to any two that watch the same. */
async function startBareWatches(kubeconfig: string): Promise<BareWatches> {
  const seen = [new Map<string, Moments>(), new Map<string, Moments>()] as const;
  const options = { kubeconfig, resource: agentResource, namespace, annotation };
  const workers = await Promise.all(
    seen.map((byMark) =>
      bareWatch(options, ({ mark, uid, at }) => {
        const moments = byMark.get(mark) ?? new Map<string, number>();
        if (!moments.has(uid)) byMark.set(mark, moments.set(uid, at));
      }),
    ),
  );
  return {
    saw: (mark, count) =>
      eventually(
        'both bare watches have seen all of them',
        () => {
          const [first, second] = seen.map((byMark) => byMark.get(mark));
          return first?.size === count && second?.size === count ? ([first, second] as const) : undefined;
        },
        30_000,
      ),
    stop: () => Promise.all(workers.map((worker) => worker.terminate())),
  };
}

/** Milliseconds of each write. */
type Samples = {
  readonly floor: number[];
  readonly ours: number[];
  readonly behind: number[];
  readonly apart: number[];
};

async function measure(world: BenchWorld): Promise<Result> {
  const { client } = world.cluster;
  const collector = await collectPasses();
  await world.startOperator({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } });
  await world.tenant(namespace);
  const agents = await steadyAgents(world);
  const watches = await startBareWatches(world.cluster.kubeconfig);
  const samples: Samples = { floor: [], ours: [], behind: [], apart: [] };
  for (let round = 1; round <= rounds; round += 1) {
    progress(`burst ${round} of ${rounds}`);
    const { sent, seen } = await burst(client, watches, agents, round);
    for (const { metadata } of agents) {
      const [began, told, toldTwice] = [sent, ...seen].map((moments) => moments.get(metadata.uid) ?? Number.NaN);
      // Spans come in batches, some seconds later.
      const what = `a pass over ${metadata.name} after its write`;
      const start = await eventually(what, () => collector.firstAfter(metadata.uid, began ?? 0), 30_000);
      add(samples, { began, told, toldTwice, start });
    }
  }
  await watches.stop();
  collector.stop();
  return {
    headline: `${rounds} bursts of ${writes} writes to Agents, all at once; p50 / p99`,
    kubernetes: await client.serverVersion(),
    figures: figuresOf(samples),
  };
}

type Moment = number | undefined;

function add(
  { floor, ours, behind, apart }: Samples,
  { began = 0, told = 0, toldTwice = 0, start = 0 }: Readonly<Record<'began' | 'told' | 'toldTwice' | 'start', Moment>>,
): void {
  const event = Math.min(told, toldTwice);
  floor.push(told - began);
  ours.push(start - began);
  behind.push(start - event);
  apart.push(Math.max(told, toldTwice) - event);
}

function figuresOf({ floor, ours, behind, apart }: Samples): readonly Figure[] {
  const both = (values: readonly number[]) =>
    `${quantile(values, 0.5).toFixed(1)} / ${quantile(values, 0.99).toFixed(1)} ms`;
  return [
    figure('write sent → a bare watch has the event (the floor)', both(floor)),
    figure('write sent → its pass begins', both(ours)),
    figure('  ratio to the floor (p99)', (quantile(ours, 0.99) / quantile(floor, 0.99)).toFixed(3)),
    figure('the first of two bare watches → the second (what the machine adds)', both(apart)),
    figure('the first of two bare watches → the pass begins', both(behind)),
    atMost('  p99', quantile(behind, 0.99), 20, ' ms', 1),
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
  process.stderr.write(
    `bench-watch: ${error instanceof Error ? `${error.message} ${String(error.cause ?? '')}` : String(error)}\n`,
  );
  process.exit(1);
});

import type { AgentSpec } from '../../operator/api/v1alpha1/agent.ts';
import type { ResourceType, StoredObject } from '../../operator/kernel/object.ts';
import { podResource } from '../../operator/resources/builtin.ts';
import { agentResource } from '../../operator/resources/own.ts';
import { eventually } from '../../operator/testkit/eventually.ts';
import type { TestOperator } from '../../operator/testkit/operator.ts';
import { type ApiServerUse, type BenchWorld, startBenchWorld } from './light.ts';
import { Observer } from './observer.ts';
import { cpuSecondsOf, residentMiB } from './process.ts';
import { atMost, figure, progress, type Result } from './table.ts';
import { agentManifest, type BenchAgent, type BenchPod, barePod, podIsReady } from './workload.ts';

const namespace = 'herd';
const spec: AgentSpec = { image: 'registry.test/agent:1', runtimeClassName: 'gvisor' };
const nodes = 10;
const deadlineMs = 180_000;
const idleSeconds = Number(process.env.IDLE_SECONDS || 65);

type World = BenchWorld & { readonly pods: Observer<BenchPod>; readonly agents: Observer<BenchAgent> };

/** F4, F9 and F4b: so many Agents at once beside as many bare pods, an operator that starts among them, their end. */
export async function manyAgents(count: number): Promise<Result> {
  const bench = await startBenchWorld(nodes);
  const stop = new AbortController();
  try {
    const first = await bench.startOperator();
    await bench.tenant(namespace);
    const { client } = bench.cluster;
    const world: World = {
      ...bench,
      pods: new Observer<BenchPod>(client, podResource, namespace),
      agents: new Observer<BenchAgent>(client, agentResource, namespace),
    };
    await Promise.all([world.pods.start(stop.signal), world.agents.start(stop.signal)]);
    const names = Array.from({ length: count }, (_, index) => `a-${index}`);

    progress(`${count} bare pods`);
    const floor = await allReady(
      world,
      world.pods,
      podResource,
      podIsReady,
      names.map((name) => barePod(namespace, name, spec)),
    );
    progress(`${count} bare pods go`);
    const floorGone = await allGone(world, podResource);
    progress(`${count} Agents`);
    const before = await cpuSecondsOf(first.pid);
    const ours = await allReady(
      world,
      world.agents,
      agentResource,
      agentIsReady,
      names.map((name) => agentManifest(namespace, name, spec)),
    );
    const stuck = world.agents.count((agent) => !agentIsReady(agent));
    const ownCpu = (await cpuSecondsOf(first.pid)) - before;
    const { now: memory } = await residentMiB(first.pid);
    progress('until each shows that its newest event was acknowledged');
    const later = await allAcknowledged(world);
    await first.stop();
    progress('the operator starts among them');
    const start = await operatorStart(world);
    progress(`${count} Agents go`);
    const gone = await allGone(world, agentResource);
    return {
      headline: `${count} Agents on ${nodes} KWOK nodes, all at once`,
      kubernetes: await client.serverVersion(),
      figures: [
        figure('F4   bare pods: created → all Ready (the floor)', seconds(floor.readyMs)),
        figure('     Agents:    created → all Ready', seconds(ours.readyMs)),
        atMost('     Agents / bare pods', ours.readyMs / floor.readyMs, 1.15, '', 2),
        figure('     API server CPU per bare pod', `${((floor.use.cpuSeconds / count) * 1000).toFixed(1)} ms`),
        figure('     API server CPU per Agent', `${((ours.use.cpuSeconds / count) * 1000).toFixed(1)} ms`),
        atMost('     Agent / bare pod', ours.use.cpuSeconds / floor.use.cpuSeconds, 2, '', 2),
        figure('     API writes per bare pod', (floor.use.writes / count).toFixed(2)),
        atMost('     API writes per Agent', ours.use.writes / count, 8, '', 2),
        figure('     and later, that its events are acknowledged', (later / count).toFixed(2)),
        atMost('     stuck', stuck, 0),
        figure('     CPU of the operator per Agent', `${((ownCpu / count) * 1000).toFixed(1)} ms`),
        figure('     memory of the operator then', `${memory.toFixed(0)} MiB`),
        atMost('F9   operator start → first reconcile', start.firstReconcileMs / 1000, 3, ' s', 2),
        figure('     operator start → ready', seconds(start.readyMs)),
        figure('     operator start → every Agent looked at', seconds(start.allMs)),
        atMost(`     idle CPU over ${idleSeconds} s`, start.idlePercent, 1, ' %', 2),
        figure('F4b  bare pods: deleted → gone (the floor)', seconds(floorGone.podsMs)),
        figure('     Agents:    deleted → Agents gone', seconds(gone.objectsMs)),
        atMost('     Agents:    deleted → their pods gone too', gone.podsMs / 1000, 10, ' s', 2),
      ],
    };
  } finally {
    stop.abort();
    await bench.stop();
  }
}

function agentIsReady({ status }: BenchAgent): boolean {
  return status?.phase === 'Ready';
}

type Ready = { readonly readyMs: number; readonly use: ApiServerUse };

/** Creates all of them at once; until each was seen Ready, and the API server has nothing left to do for them. */
async function allReady<T extends StoredObject>(
  { cluster, apiServerUse }: World,
  observer: Observer<T>,
  resource: ResourceType,
  isReady: (object: T) => boolean,
  objects: readonly ReturnType<typeof agentManifest>[],
): Promise<Ready> {
  const before = await apiServerUse();
  const ready = observer.many(`${resource.plural} Ready`, isReady, objects.length, deadlineMs);
  const started = performance.now();
  await Promise.all(objects.map((object) => cluster.client.create(resource, object)));
  const readyMs = (await ready) - started;
  const after = await quiet(apiServerUse);
  const use = { writes: after.writes - before.writes, cpuSeconds: after.cpuSeconds - before.cpuSeconds };
  return { readyMs, use };
}

/** The last write of a start, a minute after it: before it nothing is at rest. Returns the API writes until then. */
async function allAcknowledged({ agents, apiServerUse }: World): Promise<number> {
  const before = await apiServerUse();
  const isAwaited = ({ status }: BenchAgent) => status?.consistency?.state !== 'Acknowledged';
  await agents.none('Agents whose newest event is not acknowledged', isAwaited, deadlineMs);
  return (await quiet(apiServerUse)).writes - before.writes;
}

/** Writes that belong to a start come a little after it (Kubernetes Events, statuses): waits until none come. */
async function quiet(apiServerUse: World['apiServerUse']): Promise<ApiServerUse> {
  let last = await apiServerUse();
  return eventually(
    'the API server is quiet',
    async () => {
      const now = await apiServerUse();
      const isQuiet = now.writes === last.writes;
      last = now;
      return isQuiet && now;
    },
    60_000,
    2_000,
  );
}

/** Deletes everything of this kind; when the objects and when all pods are gone. */
async function allGone({ cluster, agents, pods }: World, resource: ResourceType) {
  const { items } = await cluster.client.list(resource, { namespace });
  const started = performance.now();
  const deletions = items.map(({ metadata: { name, uid } }) =>
    cluster.client.delete({ resource, namespace, name }, { uid }),
  );
  const [objectsAt, podsAt] = await Promise.all([
    agents.none('Agents left', () => true, deadlineMs),
    pods.none('pods left', () => true, deadlineMs),
    ...deletions,
  ]);
  return { objectsMs: objectsAt - started, podsMs: podsAt - started };
}

/** An operator that starts where all stands already: until it is ready and reconciles, and what it takes when idle. */
async function operatorStart({ launchOperator, agents }: World) {
  const started = performance.now();
  const operator = await launchOperator();
  const since = async (what: string, isTrue: () => Promise<boolean>, pollMs: number) => {
    await eventually(what, isTrue, 60_000, pollMs);
    return performance.now() - started;
  };
  const firstReconcileMs = await since('the first reconcile', async () => (await passes(operator)) > 0, 25);
  const readyMs = await since('the operator is ready', async () => (await operator.readiness())?.ready === true, 25);
  const count = agents.count(() => true);
  const allMs = await since('every Agent was looked at', async () => (await passes(operator)) >= count, 100);
  await settled(operator);
  const before = await cpuSecondsOf(operator.pid);
  await new Promise((resolve) => setTimeout(resolve, idleSeconds * 1000));
  const idlePercent = (((await cpuSecondsOf(operator.pid)) - before) / idleSeconds) * 100;
  return { firstReconcileMs, readyMs, allMs, idlePercent };
}

function passes(operator: TestOperator): Promise<number> {
  return operator.metric('openos_reconcile_total', { controller: 'agent' });
}

async function settled(operator: TestOperator): Promise<void> {
  let last = -1;
  const isSettled = async () => {
    const now = await passes(operator);
    const same = now === last;
    last = now;
    return same;
  };
  await eventually('the operator has nothing to do', isSettled, 60_000, 3_000);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

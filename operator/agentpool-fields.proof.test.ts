import { afterAll, beforeAll } from 'vitest';
import { type AgentPoolStatus, agentPoolSpecSchema } from './api/v1alpha1/agentpool.ts';
import { findCondition } from './kernel/conditions.ts';
import { agentPoolResource, agentResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import { type Fields, type Outcome, proveFields, type Variant, verdictsOf } from './testkit/fields.ts';
import { poolImage, poolsOf, type StoredPool } from './testkit/pools.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

const maxSeconds = 2_147_483_647;
const spec = { image: poolImage };

const fields: Fields = {
  // Without it a pool keeps what it was last asked for: an autoscaler may have asked.
  replicas: { good: [0, 3], accepted: [100_000], refused: [-1, 1.5, 100_001, 'two'], lasting: true },
  template: {
    good: [
      { metadata: { labels: { team: 'a' }, annotations: { note: 'b' } }, spec },
      { spec: { image: 'registry.test/agent:2' } },
      { spec: { template: { spec: { containers: [{ name: 'agent', image: poolImage }] } } } },
    ],
    bad: [{ metadata: { labels: { 'not a label': 'a' } }, spec }, { spec: { ...spec, nodeSelector: { no: 'such' } } }],
    refused: [undefined, {}, { spec: {} }, { metadata: { labels: { 'openos.dev/tenant': 'a' } }, spec }],
  },
  minReadySeconds: {
    beside: { progressDeadlineSeconds: maxSeconds },
    good: [0, 1],
    accepted: [maxSeconds - 1],
    refused: [-1, maxSeconds, 'soon'],
  },
  updateStrategy: {
    good: [
      { type: 'OnDelete' },
      { type: 'RollingUpdate', rollingUpdate: { maxSurge: '100%', maxUnavailable: 0 } },
      { rollingUpdate: { maxSurge: 0, maxUnavailable: '100%' } },
    ],
    refused: [
      { type: 'Recreate' },
      { type: 'OnDelete', rollingUpdate: { maxSurge: 1 } },
      { rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } },
      { rollingUpdate: { maxSurge: '101%' } },
      { rollingUpdate: { maxUnavailable: -1 } },
    ],
  },
  progressDeadlineSeconds: { good: [1, maxSeconds], refused: [0, maxSeconds + 1, 'soon'] },
  paused: { good: [true, false], refused: ['yes'] },
  scheduling: { good: ['Packed', 'Distributed'], refused: ['Anywhere'] },
  maxConsecutiveFailures: { good: [1, 10_000], refused: [0, 10_001] },
};

const namespace = 'fields';
const settledMs = 60_000;

let world: World;
let pools: ReturnType<typeof poolsOf>;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
  await world.tenant(namespace);
  pools = poolsOf(world, namespace);
});
afterAll(() => world?.stop());

/** Agents as they were made, whatever the pool is called. */
function shapeOf({ metadata: { labels, annotations }, spec }: StoredAgent, pool: string): string {
  return JSON.stringify({ labels, annotations, spec }).replaceAll(pool, 'pool');
}

function outcomeOf(name: string, status: AgentPoolStatus, agents: readonly StoredAgent[], isGood: boolean): Outcome {
  const { conditions, selector, observedGeneration: _, currentRevision: __, ...counts } = status;
  const verdicts = verdictsOf(conditions);
  // A pool whose new template does not work keeps the Agents that do: they tell of the way.
  if (!isGood) return { shown: { verdicts } };
  const shapes = agents.map((agent) => shapeOf(agent, name)).sort();
  return { shown: { verdicts, counts, selector: selector?.replace(name, 'pool'), shapes } };
}

/** Waits until the pool is at rest with its own spec, or says what keeps it from that. */
async function settled(name: string, isGood: boolean, edited?: Variant): Promise<Outcome> {
  // What is made from now on is scheduled in another way; what stands is left where it is.
  if (edited?.field === 'scheduling') await renewed(name);
  const { metadata, status } = await shown(name, isGood);
  return outcomeOf(name, status, await pools.members(metadata.uid), isGood);
}

function shown(name: string, isGood: boolean): Promise<StoredPool & { readonly status: AgentPoolStatus }> {
  return eventually(
    `${name} is ${isGood ? 'at rest' : 'told to be held up'}`,
    async () => {
      const pool = await pools.pool(name);
      const status = pool?.status;
      const ready = findCondition(status?.conditions ?? [], 'Ready');
      const isCurrent = status?.observedGeneration === pool?.metadata.generation;
      const isHeldUp = ready?.status === 'False' && ready.reason !== 'ReplicasNotReady';
      const isThere = isGood ? ready?.status === 'True' : isHeldUp;
      if (pool !== undefined && status !== undefined && isCurrent && isThere) return { ...pool, status };
      throw new Error(JSON.stringify(status));
    },
    settledMs,
    100,
  );
}

/** Every Agent of the pool is deleted, and others stand in their place. */
async function renewed(name: string): Promise<void> {
  const { metadata } = await shown(name, true);
  const before = await pools.members(metadata.uid);
  for (const agent of before) {
    await world.delete({ resource: agentResource, namespace, name: agent.metadata.name });
  }
  await eventually(`the Agents of ${name} are others`, async () => {
    const now = await pools.members(metadata.uid);
    const isOld = (agent: StoredAgent) => before.some((other) => other.metadata.uid === agent.metadata.uid);
    return now.length === before.length && !now.some(isOld);
  });
}

proveFields({
  resource: agentPoolResource,
  namespace,
  schema: agentPoolSpecSchema,
  // An Agent's own fields are tried with Agents.
  elsewhere: ['template.spec'],
  fields,
  base: { template: { spec } },
  world: () => world,
  settled,
});

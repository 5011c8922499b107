import type { AgentSpec } from '../api/v1alpha1/agent.ts';
import type { TenantSpec } from '../api/v1alpha1/tenant.ts';
import { namespaceResource, podResource } from '../resources/builtin.ts';
import { agentPoolResource, agentResource, tenantResource } from '../resources/own.ts';
import type { Lane } from './lane.ts';

/** Something somebody does, and how to see that it has come to what was asked for. Names carry the round. */
export type Step = {
  readonly name: string;
  readonly act: (lane: Lane, round: number) => Promise<unknown>;
  readonly done: (lane: Lane, round: number) => Promise<boolean>;
};

const first: AgentSpec = { image: 'registry.test/agent:1', recovery: { backoffSeconds: { base: 1, max: 1 } } };
const agentOf = (round: number) => `scout-${round}`;
const status = async (lane: Lane, round: number) => (await lane.get(agentResource, agentOf(round)))?.status;
const isPhase = (phase: string) => async (lane: Lane, round: number) => {
  const object = await lane.get(agentResource, agentOf(round));
  return object?.status?.phase === phase && object.status.observedGeneration === object.metadata.generation;
};
const tenantHolds = (lane: Lane, suspend: TenantSpec['suspend']) => lane.edit(tenantResource, lane.name, { suspend });

/** The story of one Agent, its Tenant's hold included. */
export const agentSteps: readonly Step[] = [
  {
    name: 'agent: create',
    act: (lane, round) => lane.create(agentResource, agentOf(round), first),
    done: isPhase('Ready'),
  },
  {
    name: 'agent: recover from a lost pod',
    act: async (lane) => {
      const [pod] = await lane.list(podResource);
      await lane.delete(podResource, pod?.metadata.name ?? '');
    },
    done: async (lane, round) => {
      const shown = await status(lane, round);
      return shown?.phase === 'Ready' && shown.attempts === 2;
    },
  },
  {
    name: 'agent: another spec',
    act: (lane, round) => lane.edit(agentResource, agentOf(round), { image: 'registry.test/agent:2' }),
    done: isPhase('Ready'),
  },
  {
    name: 'agent: suspend',
    act: (lane, round) => lane.edit(agentResource, agentOf(round), { operatingMode: 'Suspended' }),
    done: isPhase('Suspended'),
  },
  {
    name: 'agent: resume',
    act: (lane, round) => lane.edit(agentResource, agentOf(round), { operatingMode: 'Running' }),
    done: isPhase('Ready'),
  },
  { name: 'tenant: hold and drain', act: (lane) => tenantHolds(lane, 'HoldAndDrain'), done: isPhase('Suspended') },
  { name: 'tenant: let go', act: (lane) => tenantHolds(lane, 'None'), done: isPhase('Ready') },
  {
    name: 'agent: delete',
    act: (lane, round) => lane.delete(agentResource, agentOf(round)),
    done: isOver,
  },
];

/** Nothing but the Tenant is left: no object, no pod, and the last row of everything says so. */
async function isOver(lane: Lane): Promise<boolean> {
  const left = await Promise.all(
    [podResource, agentResource, agentPoolResource].map((resource) => lane.list(resource)),
  );
  const rows = (await lane.rows()).filter(({ kind }) => kind !== 'tenant');
  const last = new Map(rows.map(({ id, phase }) => [id, phase]));
  return left.flat().length === 0 && [...last.values()].every((phase) => phase === 'Deleted');
}

const flockOf = (round: number) => `flock-${round}`;
const hasReplicas = (count: number, image: string) => async (lane: Lane, round: number) => {
  const pool = await lane.get(agentPoolResource, flockOf(round));
  const { replicas, availableReplicas, updatedReplicas, terminatingReplicas, observedGeneration } = pool?.status ?? {};
  const counts =
    [replicas, availableReplicas, updatedReplicas].every((each) => each === count) && (terminatingReplicas ?? 0) === 0;
  const agents = await lane.list(agentResource);
  const shown = agents.every(({ spec, status }) => spec?.image === image && status?.phase === 'Ready');
  return (
    counts &&
    observedGeneration === pool?.metadata.generation &&
    agents.length === count &&
    shown &&
    (await lane.list(podResource)).length === count
  );
};
const scaleTo = (replicas: number) => (lane: Lane, round: number) =>
  lane.edit(agentPoolResource, flockOf(round), { replicas });

/** The story of a pool. */
export const poolSteps: readonly Step[] = [
  {
    name: 'pool: create two',
    act: (lane, round) => lane.create(agentPoolResource, flockOf(round), { replicas: 2, template: { spec: first } }),
    done: hasReplicas(2, 'registry.test/agent:1'),
  },
  { name: 'pool: scale up', act: scaleTo(3), done: hasReplicas(3, 'registry.test/agent:1') },
  { name: 'pool: scale down', act: scaleTo(1), done: hasReplicas(1, 'registry.test/agent:1') },
  {
    name: 'pool: another template',
    act: (lane, round) =>
      lane.edit(agentPoolResource, flockOf(round), {
        template: { spec: { ...first, image: 'registry.test/agent:2' } },
      }),
    done: hasReplicas(1, 'registry.test/agent:2'),
  },
  { name: 'pool: delete', act: (lane, round) => lane.delete(agentPoolResource, flockOf(round)), done: isOver },
];

const isTenantReady = async (lane: Lane) => {
  const tenant = await lane.get(tenantResource, lane.name);
  const { observedGeneration, conditions } = tenant?.status ?? {};
  const isReady = (conditions as readonly { type: string; status: string }[] | undefined)?.some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  );
  return isReady === true && observedGeneration === tenant?.metadata.generation;
};

/** The story of a Tenant, whose namespace comes and goes with it. */
export const tenantSteps: readonly Step[] = [
  {
    name: 'tenant: create',
    act: (lane) =>
      lane.create(tenantResource, lane.name, { namespaces: [{ name: lane.name }], deletionPolicy: 'Delete' }),
    done: isTenantReady,
  },
  {
    name: 'tenant: other rules and people',
    act: (lane) =>
      lane.edit(tenantResource, lane.name, {
        network: { allowDNS: false },
        owners: [{ kind: 'User', name: 'mia', role: 'Admin' }],
      }),
    done: isTenantReady,
  },
  {
    name: 'tenant: delete',
    act: (lane) => lane.delete(tenantResource, lane.name),
    done: async (lane) => {
      const left = [lane.get(tenantResource, lane.name), lane.get(namespaceResource, lane.name)];
      return (await Promise.all(left)).every((object) => object === undefined);
    },
  },
];

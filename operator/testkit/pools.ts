import type { AgentPool, AgentPoolSpec, AgentPoolStatus } from '../api/v1alpha1/agentpool.ts';
import { findCondition, isTrue } from '../kernel/conditions.ts';
import type { KubernetesObject, StoredObject } from '../kernel/object.ts';
import { poolUidOf } from '../resources/agentpool/member.ts';
import { agentPoolResource, agentResource } from '../resources/own.ts';
import { eventually } from './eventually.ts';
import type { StoredAgent, World } from './world.ts';

export type StoredPool = StoredObject & Pick<AgentPool, 'spec' | 'status'>;

export const poolImage = 'registry.test/agent:1';
const deadlineMs = 60_000;

/** What tests do with the AgentPools of one namespace. */
export function poolsOf(world: World, namespace: string) {
  const { client, kubectl } = world.cluster;

  /** Waits until the status of the generation that stands satisfies `when`, and answers it. */
  function status(name: string, what: string, when: (status: AgentPoolStatus) => boolean): Promise<AgentPoolStatus> {
    return eventually(
      `AgentPool ${name}: ${what}`,
      async () => {
        const standing = await pool(name);
        const current = standing?.status?.observedGeneration === standing?.metadata.generation;
        if (standing?.status !== undefined && current && when(standing.status)) return standing.status;
        throw new Error(JSON.stringify(standing?.status));
      },
      deadlineMs,
    );
  }

  function pool(name: string): Promise<StoredPool | undefined> {
    return client.get<StoredPool>({ resource: agentPoolResource, namespace, name });
  }

  return {
    pool,
    status,
    /** Answers the UID. */
    create: async (name: string, spec: Partial<AgentPoolSpec> = {}): Promise<string> => {
      const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'AgentPool', metadata: { name, namespace } };
      const object = { ...manifest, spec: { template: { spec: { image: poolImage } }, ...spec } };
      return (await client.create<StoredPool>(agentPoolResource, object as KubernetesObject)).metadata.uid;
    },
    /** Every Agent whose controller is this pool. */
    members: async (uid: string): Promise<readonly StoredAgent[]> => {
      const { items } = await client.list<StoredAgent>(agentResource, { namespace });
      return items.filter((agent) => poolUidOf(agent) === uid);
    },
    ready: (name: string, replicas: number) =>
      status(name, `Ready with ${replicas}`, (shown) => {
        return shown.replicas === replicas && isTrue(shown.conditions ?? [], 'Ready');
      }),
    reasonIs: (name: string, reason: string) =>
      status(name, reason, ({ conditions = [] }) => findCondition(conditions, 'Ready')?.reason === reason),
    scale: (name: string, replicas: number) =>
      kubectl('scale', 'agentpool', name, '-n', namespace, `--replicas=${replicas}`),
    patch: (name: string, spec: object) =>
      kubectl('patch', 'agentpool', name, '-n', namespace, '--type=merge', '-p', JSON.stringify({ spec })),
    remove: (name: string) => world.delete({ resource: agentPoolResource, namespace, name }),
  } as const;
}

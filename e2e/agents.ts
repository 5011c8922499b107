import type { V1Pod } from '@kubernetes/client-node';
import type { Agent, AgentSpec, AgentStatus } from '../operator/api/v1alpha1/agent.ts';
import { apiVersion, labels } from '../operator/api/v1alpha1/names.ts';
import type { Tenant } from '../operator/api/v1alpha1/tenant.ts';
import type { KubeClient } from '../operator/kernel/client.ts';
import { type Condition, findCondition } from '../operator/kernel/conditions.ts';
import type { KubernetesObject, StoredObject } from '../operator/kernel/object.ts';
import { podResource } from '../operator/resources/builtin.ts';
import { agentResource, tenantResource } from '../operator/resources/own.ts';
import { eventually } from '../operator/testkit/eventually.ts';
import type { StoredAgent } from '../operator/testkit/world.ts';
import type { Parts } from './world.ts';

export type StoredPod = StoredObject & Pick<V1Pod, 'spec' | 'status'>;

/** Tenants, their Agents and the Agents' pods. */
export type Agents = {
  /** A Tenant with one namespace, both of this name, Ready and without Agents. */
  tenant(name: string): Promise<void>;
  /** Removes the Agents that an earlier run left in the namespace, and waits until their pods are gone. */
  removeAgents(namespace: string): Promise<void>;
  createAgent(namespace: string, name: string, spec?: Partial<AgentSpec>): Promise<StoredAgent>;
  /** Merges these fields into the spec; null takes one away. */
  patchAgent(namespace: string, name: string, spec: SpecPatch): Promise<void>;
  agent(namespace: string, name: string): Promise<StoredAgent>;
  /** Waits until the Agent's status satisfies `when`, and answers it. */
  status(namespace: string, name: string, what: string, when: (status: AgentStatus) => boolean): Promise<AgentStatus>;
  /** Waits until the condition Ready of the current spec is True, and answers the status. */
  ready(namespace: string, name: string): Promise<AgentStatus>;
  /** Deletes it and waits until its pods are gone. */
  removeAgent(namespace: string, name: string): Promise<void>;
  podsOf(uid: string): Promise<readonly StoredPod[]>;
  /** The one pod of the agent. Throws when there are none or several. */
  podOf(uid: string): Promise<StoredPod>;
};

export type SpecPatch = { readonly [K in keyof AgentSpec]?: AgentSpec[K] | null };

/** Milliseconds; generous, because they cost nothing when all is well. */
const deadlineMs = 120_000;
const pollMs = 100;

export const sampleImage = 'openos.dev/sample-agent:dev';

/**
 * What the tests' Agents are when nothing else is asked for. The probe is patient: on a machine so busy that
 * an answer takes a second they would rightly be NotReady for a while, and their stories would not be exact.
 */
const sampleSpec: AgentSpec = {
  image: sampleImage,
  readinessProbe: {
    httpGet: { path: '/ready', port: 8080 },
    periodSeconds: 1,
    timeoutSeconds: 10,
    failureThreshold: 10,
  },
};

export function agentsOf({ client, kubectl }: Parts): Agents {
  const agent = async (namespace: string, name: string) => {
    const found = await client.get<StoredAgent>({ resource: agentResource, namespace, name });
    if (found === undefined) throw new Error(`there is no Agent ${namespace}/${name}`);
    return found;
  };

  const agentThat = (namespace: string, name: string, what: string, when: (agent: StoredAgent) => boolean) =>
    eventually(
      `Agent ${namespace}/${name}: ${what}`,
      async () => {
        const found = await agent(namespace, name);
        if (when(found)) return found;
        throw new Error(JSON.stringify(found.status));
      },
      deadlineMs,
      pollMs,
    );

  return {
    agent,
    ...podsIn(client),
    ...removalIn({ client, kubectl }),
    createAgent: (namespace, name, spec = {}) =>
      client.create<StoredAgent>(agentResource, agentManifest(namespace, name, { ...sampleSpec, ...spec })),
    patchAgent: async (namespace, name, spec) => {
      await kubectl('patch', 'agent', name, '-n', namespace, '--type=merge', '-p', JSON.stringify({ spec }));
    },
    status: async (namespace, name, what, when) => {
      const found = await agentThat(namespace, name, what, ({ status }) => status !== undefined && when(status));
      return found.status as AgentStatus;
    },
    ready: async (namespace, name) => {
      const isReady = ({ metadata, status }: StoredAgent) => {
        const condition = readyOf(status);
        return condition?.status === 'True' && condition.observedGeneration === metadata.generation;
      };
      return (await agentThat(namespace, name, 'Ready', isReady)).status as AgentStatus;
    },
  };
}

function podsIn(client: KubeClient): Pick<Agents, 'podsOf' | 'podOf'> {
  const podsOf = async (uid: string) =>
    (await client.list<StoredPod>(podResource, { labelSelector: `${labels.agentUid}=${uid}` })).items;
  return {
    podsOf,
    podOf: async (uid) => {
      const [pod, ...others] = await podsOf(uid);
      if (pod === undefined || others.length > 0) throw new Error(`${others.length + (pod ? 1 : 0)} pods of ${uid}`);
      return pod;
    },
  };
}

function removalIn({ client, kubectl }: Pick<Parts, 'client' | 'kubectl'>) {
  const { podsOf } = podsIn(client);
  const podsGone = (uid: string) =>
    eventually(`the pods of ${uid} are gone`, async () => (await podsOf(uid)).length === 0, deadlineMs, pollMs);

  const removeAgents = async (namespace: string) => {
    const { items } = await client.list<StoredAgent>(agentResource, { namespace });
    await kubectl('delete', 'agents', '--all', '-n', namespace);
    for (const { metadata } of items) await podsGone(metadata.uid);
  };

  return {
    removeAgents,
    removeAgent: async (namespace: string, name: string) => {
      const standing = await client.get<StoredAgent>({ resource: agentResource, namespace, name });
      await kubectl('delete', 'agent', name, '-n', namespace);
      if (standing !== undefined) await podsGone(standing.metadata.uid);
    },
    tenant: async (name: string) => {
      await removeAgents(name);
      const tenant: KubernetesObject & Pick<Tenant, 'spec'> = {
        apiVersion,
        kind: 'Tenant',
        metadata: { name },
        spec: { namespaces: [{ name }] },
      };
      await client.apply(tenantResource, tenant);
      await kubectl('wait', '--for=condition=Ready', `tenant/${name}`, '--timeout=120s');
    },
  };
}

function agentManifest(namespace: string, name: string, spec: AgentSpec): KubernetesObject & Pick<Agent, 'spec'> {
  return { apiVersion, kind: 'Agent', metadata: { name, namespace }, spec };
}

export function readyOf(status: AgentStatus | undefined): Condition | undefined {
  return findCondition(status?.conditions ?? [], 'Ready');
}

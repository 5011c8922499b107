import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Agent, AgentSpec, AgentStatus } from '../api/v1alpha1/agent.ts';
import type { Tenant } from '../api/v1alpha1/tenant.ts';
import { NatsBroker } from '../events/nats-broker.ts';
import { type ReceivedEvent, readEvents } from '../events/read-events.ts';
import { silentLogger } from '../kernel/logger.ts';
import type { KubernetesObject, ObjectRef, StoredObject } from '../kernel/object.ts';
import { agentResource, tenantResource } from '../resources/own.ts';
import { type LightCluster, lightCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { startNats, type TestNats } from './nats.ts';
import { runOperator, startOperator, type TestOperator } from './operator.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';

export type StoredAgent = StoredObject & Pick<Agent, 'spec' | 'status'>;
export type StoredTenant = StoredObject & Pick<Tenant, 'spec' | 'status'>;

const crdsFolder = join(import.meta.dirname, '../../crds');

/** A real cluster, Postgres and NATS with the operator as a process: everything but a kubelet. */
export type World = {
  readonly cluster: LightCluster;
  readonly postgres: TestPostgres;
  readonly nats: TestNats;
  /** Starts the operator and waits until it is ready. */
  startOperator(env?: Readonly<Record<string, string>>): Promise<TestOperator>;
  /** Starts it and does not wait: for worlds with a part missing. */
  launchOperator(env?: Readonly<Record<string, string>>): Promise<TestOperator>;
  /** Makes a Tenant with one namespace, both of this name, and waits until it is Ready. */
  tenant(name: string): Promise<void>;
  createAgent(namespace: string, name: string, spec?: AgentSpec): Promise<StoredAgent>;
  agent(namespace: string, name: string): Promise<StoredAgent | undefined>;
  /** Waits until the Agent's status satisfies `when`, and answers it. */
  status(namespace: string, name: string, what: string, when: (status: AgentStatus) => boolean): Promise<AgentStatus>;
  delete(ref: ObjectRef): Promise<void>;
  /** Everything on the stream, or what concerns one agent. */
  events(aggregateId?: string): Promise<readonly ReceivedEvent[]>;
  stop(): Promise<void>;
};

/** A world of its own but for the cluster, which the tests of a run share: use names of your own. Stop it in `afterAll`. */
export async function startWorld(): Promise<World> {
  const [cluster, postgres, nats] = await Promise.all([lightCluster(), startPostgres(), startNats()]);
  await cluster.haveNodes(2);
  for (const crd of await customResourceDefinitions()) await cluster.applyCrd(crd);
  const parts = { kubeconfig: cluster.kubeconfig, databaseUrl: postgres.url, natsUrl: nats.url };
  const migrated = await runOperator('migrate', parts);
  if (migrated.code !== 0) throw new Error(`migrate failed: ${migrated.output}`);
  const operators: TestOperator[] = [];

  async function launch(env: Readonly<Record<string, string>> = {}): Promise<TestOperator> {
    const operator = await startOperator({ ...parts, env });
    operators.push(operator);
    return operator;
  }

  const agent = (namespace: string, name: string) =>
    cluster.client.get<StoredAgent>({ resource: agentResource, namespace, name });

  return {
    cluster,
    postgres,
    nats,
    agent,
    launchOperator: launch,
    startOperator: async (env) => {
      const operator = await launch(env);
      await operator.ready();
      return operator;
    },
    tenant: async (name) => {
      const spec = { namespaces: [{ name }] };
      const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'Tenant', metadata: { name }, spec };
      await cluster.client.create(tenantResource, manifest as KubernetesObject);
      await eventually(`tenant ${name} is Ready`, async () => {
        const tenant = await cluster.client.get<StoredTenant>({ resource: tenantResource, name });
        return tenant?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
      });
    },
    createAgent: (namespace, name, spec = { image: 'registry.test/agent:1' }) => {
      const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'Agent', metadata: { name, namespace }, spec };
      return cluster.client.create<StoredAgent>(agentResource, manifest as KubernetesObject);
    },
    status: (namespace, name, what, when) =>
      eventually(
        `Agent ${namespace}/${name}: ${what}`,
        async () => {
          const status = (await agent(namespace, name))?.status;
          if (status === undefined || !when(status)) throw new Error(JSON.stringify(status));
          return status;
        },
        30_000,
      ),
    delete: async (ref) => {
      const standing = await cluster.client.get(ref);
      if (standing !== undefined) await cluster.client.delete(ref, { uid: standing.metadata.uid });
    },
    events: (aggregateId) => eventsOf(nats, aggregateId),
    stop: async () => {
      await Promise.all(operators.map((operator) => operator.kill()));
      await Promise.all([nats.stop(), postgres.stop(), cluster.close()]);
    },
  };
}

async function customResourceDefinitions(): Promise<readonly KubernetesObject[]> {
  const files = (await readdir(crdsFolder)).filter((file) => file.endsWith('.yaml'));
  return Promise.all(
    files.map(async (file) => parse(await readFile(join(crdsFolder, file), 'utf8')) as KubernetesObject),
  );
}

async function eventsOf(nats: TestNats, aggregateId: string | undefined): Promise<readonly ReceivedEvent[]> {
  const broker = new NatsBroker({ url: nats.url, name: 'test-consumer', log: silentLogger });
  broker.connect();
  try {
    await eventually('the consumer is connected', () => broker.state.available);
    const events: ReceivedEvent[] = [];
    for await (const event of readEvents(broker, aggregateId === undefined ? {} : { aggregateId })) events.push(event);
    return events;
  } finally {
    await broker.close();
  }
}

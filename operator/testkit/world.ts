import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { parse } from 'yaml';
import type { Agent, AgentSpec, AgentStatus } from '../api/v1alpha1/agent.ts';
import { labels } from '../api/v1alpha1/names.ts';
import type { Tenant, TenantSpec, TenantStatus } from '../api/v1alpha1/tenant.ts';
import { NatsBroker } from '../events/nats-broker.ts';
import { type ReceivedEvent, readEvents } from '../events/read-events.ts';
import { leases } from '../kernel/leader.ts';
import { silentLogger } from '../kernel/logger.ts';
import type { KubernetesObject, ObjectRef, StoredObject } from '../kernel/object.ts';
import { podResource } from '../resources/builtin.ts';
import { agentResource, tenantResource } from '../resources/own.ts';
import type { Database } from '../store/db.ts';
import { currentEpoch } from '../store/repositories/leadership.ts';
import { replayAudit } from './audit.ts';
import { operatorKubeconfig } from './chart.ts';
import { type LightCluster, type OwnCluster, ownCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { type NatsOptions, startNats, type TestNats } from './nats.ts';
import { type OperatorOptions, runOperator, startOperator, type TestOperator } from './operator.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';
import { openTestDatabase } from './store.ts';
import { TcpProxy } from './tcp-proxy.ts';

export type StoredAgent = StoredObject & Pick<Agent, 'spec' | 'status'>;
export type StoredTenant = StoredObject & Pick<Tenant, 'spec' | 'status'>;
export type Environment = Readonly<Record<string, string>>;

/** A row of what Postgres holds of an agent, with what became of its event. */
export type Row = {
  readonly seq: number;
  readonly phase: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly published: boolean;
  /** Of the leader who recorded it. */
  readonly epoch: number;
};

const crdsFolder = join(import.meta.dirname, '../../crds');
const statusDeadlineMs = 45_000;
/** A Tenant with a quota is Ready when the cluster counts our kinds, which it finds out within half a minute. */
const tenantDeadlineMs = 75_000;

/** A real cluster, Postgres and NATS with the operator as a process: everything but a kubelet. */
export type World = {
  readonly cluster: OwnCluster;
  readonly postgres: TestPostgres;
  readonly nats: TestNats;
  /** Between the operator and the API server; what the test itself asks does not pass here. */
  readonly apiServer: TcpProxy;
  /** Starts the operator and waits until it is ready. */
  startOperator(env?: Environment): Promise<TestOperator>;
  /** Starts it and does not wait: for worlds with a part missing. */
  launchOperator(env?: Environment): Promise<TestOperator>;
  /** Ends every operator that still runs, whatever the test before did not come to. */
  killOperators(): Promise<void>;
  /** Runs a command of the operator to its end. */
  run(command: 'controller' | 'migrate' | 'prepare-uninstall', env?: Environment): ReturnType<typeof runOperator>;
  /** Makes a Tenant with one namespace, both of this name, and waits until it is Ready. */
  tenant(name: string): Promise<void>;
  createTenant(name: string, spec: TenantSpec): Promise<StoredTenant>;
  /** Waits until the Tenant's status satisfies `when`, and answers it. */
  tenantStatus(name: string, what: string, when: (status: TenantStatus) => boolean): Promise<TenantStatus>;
  createAgent(namespace: string, name: string, spec?: AgentSpec): Promise<StoredAgent>;
  agent(namespace: string, name: string): Promise<StoredAgent | undefined>;
  /** Waits until the Agent's status satisfies `when`, and answers it. */
  status(namespace: string, name: string, what: string, when: (status: AgentStatus) => boolean): Promise<AgentStatus>;
  ready(namespace: string, name: string): Promise<AgentStatus>;
  /** Every pod made for the agent with this UID. */
  podsOf(uid: string): Promise<readonly StoredObject[]>;
  delete(ref: ObjectRef): Promise<void>;
  /** Everything on the stream, or what concerns one agent. */
  events(aggregateId?: string): Promise<readonly ReceivedEvent[]>;
  /** What is recorded of an agent, in order. */
  rows(uid: string): Promise<readonly Row[]>;
  /** Waits until the newest row is of this phase and every event is on the stream. */
  recorded(uid: string, phase: string): Promise<readonly Row[]>;
  /** Makes an empty database of this name on the same server. */
  createDatabase(name: string): Promise<void>;
  /** Who alone may record, by the database. */
  epoch(): Promise<{ readonly epoch: number; readonly holder: string }>;
  /** Who holds the Lease; '' when nobody does. */
  leader(): Promise<string>;
  stop(): Promise<void>;
};

/** A world of its own, its Lease in the namespace default. Stop it in `afterAll`. */
export async function startWorld(options: Pick<NatsOptions, 'syncAlways'> = {}): Promise<World> {
  const [cluster, postgres, nats] = await Promise.all([ownCluster(), startPostgres(), startNats(options)]);
  await cluster.haveNodes(2);
  for (const crd of await customResourceDefinitions()) await cluster.applyCrd(crd);
  const home = await mkdtemp(join(tmpdir(), 'openos-world-'));
  const apiServer = await new TcpProxy(Number(cluster.credentials.server.port)).start();
  // As in a release: an operator with another right than config/rbac gives would prove nothing.
  const kubeconfig = await kubeconfigThrough(apiServer, cluster, home, await operatorKubeconfig(cluster, 'default'));
  const parts = { kubeconfig, databaseUrl: postgres.url, natsUrl: nats.url };
  const migrated = await runOperator('migrate', parts);
  if (migrated.code !== 0) throw new Error(`migrate failed: ${migrated.output}`);
  const database = openTestDatabase(postgres);
  const operators: TestOperator[] = [];
  return {
    cluster,
    postgres,
    nats,
    apiServer,
    ...operatorsOf(parts, operators, cluster.kubeconfig),
    ...tenantsOf(cluster),
    ...agentsOf(cluster),
    ...recordOf(database),
    events: (aggregateId) => eventsOf(nats, aggregateId),
    leader: async () => {
      const lease = await cluster.client.get<StoredObject & { readonly spec: { readonly holderIdentity?: string } }>({
        resource: leases,
        namespace: 'default',
        name: 'openos-controller',
      });
      return lease?.spec.holderIdentity ?? '';
    },
    stop: async () => {
      await killAll(operators);
      const { refused } = await replayAudit(cluster.auditLog);
      await Promise.all([apiServer.close(), database.close()]);
      await Promise.all([nats.stop(), postgres.stop(), cluster.close(), rm(home, { recursive: true })]);
      if (refused.length > 0) throw new Error(`the operator lacks rights: ${[...new Set(refused)].join(', ')}`);
    },
  };
}

function operatorsOf(parts: OperatorOptions, operators: TestOperator[], adminKubeconfig: string) {
  async function launchOperator(env: Environment = {}): Promise<TestOperator> {
    const operator = await startOperator({ ...parts, env });
    operators.push(operator);
    return operator;
  }
  return {
    launchOperator,
    killOperators: () => killAll(operators),
    startOperator: async (env?: Environment) => {
      const operator = await launchOperator(env);
      await operator.ready();
      return operator;
    },
    run: (command: 'controller' | 'migrate' | 'prepare-uninstall', env: Environment = {}) => {
      // The hook of the uninstall has an account of its own.
      const kubeconfig = command === 'prepare-uninstall' ? adminKubeconfig : parts.kubeconfig;
      return runOperator(command, { ...parts, kubeconfig, env });
    },
  };
}

async function killAll(operators: readonly TestOperator[]): Promise<void> {
  await Promise.all(operators.map((operator) => operator.kill()));
}

function tenantsOf({ client }: LightCluster) {
  const createTenant = (name: string, spec: TenantSpec) => {
    const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'Tenant', metadata: { name }, spec };
    return client.create<StoredTenant>(tenantResource, manifest as KubernetesObject);
  };
  const tenantStatus = (name: string, what: string, when: (status: TenantStatus) => boolean) =>
    eventually(
      `Tenant ${name}: ${what}`,
      async () => {
        const status = (await client.get<StoredTenant>({ resource: tenantResource, name }))?.status;
        if (status === undefined || !when(status)) throw new Error(JSON.stringify(status));
        return status;
      },
      tenantDeadlineMs,
    );
  return {
    createTenant,
    tenantStatus,
    tenant: async (name: string) => {
      await createTenant(name, { namespaces: [{ name }] });
      await tenantStatus(name, 'Ready', ({ conditions = [] }) =>
        conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
      );
    },
  };
}

function agentsOf({ client }: LightCluster) {
  const agent = (namespace: string, name: string) =>
    client.get<StoredAgent>({ resource: agentResource, namespace, name });
  const status = (namespace: string, name: string, what: string, when: (status: AgentStatus) => boolean) =>
    eventually(
      `Agent ${namespace}/${name}: ${what}`,
      async () => {
        const shown = (await agent(namespace, name))?.status;
        if (shown === undefined || !when(shown)) throw new Error(JSON.stringify(shown));
        return shown;
      },
      statusDeadlineMs,
    );
  return {
    agent,
    status,
    ready: (namespace: string, name: string) => status(namespace, name, 'Ready', ({ phase }) => phase === 'Ready'),
    createAgent: (namespace: string, name: string, spec: AgentSpec = { image: 'registry.test/agent:1' }) => {
      const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'Agent', metadata: { name, namespace }, spec };
      return client.create<StoredAgent>(agentResource, manifest as KubernetesObject);
    },
    podsOf: async (uid: string) =>
      (await client.list<StoredObject>(podResource, { labelSelector: `${labels.agentUid}=${uid}` })).items,
    delete: async (ref: ObjectRef) => {
      const standing = await client.get(ref);
      if (standing !== undefined) await client.delete(ref, { uid: standing.metadata.uid });
    },
  };
}

function recordOf({ db }: Database): Pick<World, 'rows' | 'recorded' | 'epoch' | 'createDatabase'> {
  async function rows(uid: string): Promise<readonly Row[]> {
    const found = await db
      .selectFrom('transition as t')
      .innerJoin('outbox as o', 'o.event_id', 't.event_id')
      .where('t.aggregate_id', '=', uid)
      .orderBy('t.seq')
      .select([
        't.seq',
        't.to_phase as phase',
        't.event_id as eventId',
        't.event_type as eventType',
        't.leader_epoch as epoch',
        'o.state',
      ])
      .execute();
    return found.map(({ state, ...row }) => ({ ...row, published: state === 'Published' || state === 'Acknowledged' }));
  }
  return {
    rows,
    epoch: () => currentEpoch(db),
    createDatabase: async (name) => {
      await sql`create database ${sql.id(name)}`.execute(db);
    },
    recorded: (uid: string, phase: string) =>
      eventually(
        `agent ${uid} is recorded as ${phase}, its events published`,
        async () => {
          const found = await rows(uid);
          if (found.at(-1)?.phase === phase && found.every(({ published }) => published)) return found;
          throw new Error(JSON.stringify(found));
        },
        statusDeadlineMs,
      ),
  };
}

async function kubeconfigThrough(
  proxy: TcpProxy,
  cluster: LightCluster,
  home: string,
  direct: string,
): Promise<string> {
  const text = await readFile(direct, 'utf8');
  const path = join(home, 'kubeconfig');
  await writeFile(path, text.replaceAll(`:${cluster.credentials.server.port}`, `:${proxy.port}`));
  return path;
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

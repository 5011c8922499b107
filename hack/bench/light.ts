import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubernetesObject } from '../../operator/kernel/object.ts';
import { tenantResource } from '../../operator/resources/own.ts';
import { type OwnCluster, ownCluster, serviceAccounts } from '../../operator/testkit/cluster.ts';
import { eventually } from '../../operator/testkit/eventually.ts';
import { startNats } from '../../operator/testkit/nats.ts';
import {
  type OperatorOptions,
  runOperator,
  startOperator,
  type TestOperator,
} from '../../operator/testkit/operator.ts';
import { startPostgres } from '../../operator/testkit/postgres.ts';
import { bundle, packageVersion } from '../bundle.ts';
import { sampleOf, writesOf } from './stats.ts';

/** A light cluster (KWOK nodes), Postgres and NATS of a benchmark's own, and the operator as it ships: one bundle. */
export type BenchWorld = {
  readonly cluster: OwnCluster;
  /** Starts the operator and waits until it is ready. Its log is at `info`, as in production. */
  startOperator(options?: Pick<OperatorOptions, 'env' | 'nodeArguments'>): Promise<TestOperator>;
  /** Starts it and does not wait. */
  launchOperator(options?: Pick<OperatorOptions, 'env' | 'nodeArguments'>): Promise<TestOperator>;
  /** Makes a Tenant with one namespace, both of this name; needs an operator. */
  tenant(name: string): Promise<void>;
  /** What the API server has done since it started. */
  apiServerUse(): Promise<ApiServerUse>;
  stop(): Promise<void>;
};

export type ApiServerUse = { readonly writes: number; readonly cpuSeconds: number };

/** @param nodes KWOK nodes; each takes 1,000 pods. */
export async function startBenchWorld(nodes: number): Promise<BenchWorld> {
  const home = await mkdtemp(join(tmpdir(), 'openos-bench-'));
  const program = join(home, 'openos.mjs');
  const [cluster, postgres, nats] = await Promise.all([
    // Named as those of test runs are: should this process be killed, the next run removes what is left.
    ownCluster(`test-${process.pid}`),
    startPostgres({ fsync: true }),
    startNats({ syncAlways: true }),
    bundle('operator/main.ts', program, await packageVersion()),
  ]);
  await cluster.haveNodes(nodes);
  await cluster.kubectl('apply', '--server-side', '-f', 'crds');
  // kubectl gives up on one that has no condition at all yet.
  const established = ['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s'] as const;
  await eventually('the CRDs are established', () => cluster.kubectl(...established), 30_000, 200);
  const parts = { kubeconfig: cluster.kubeconfig, databaseUrl: postgres.url, natsUrl: nats.url, program };
  const migrated = await runOperator('migrate', parts);
  if (migrated.code !== 0) throw new Error(`migrate failed: ${migrated.output}`);
  const operators: TestOperator[] = [];
  async function launchOperator(options: Pick<OperatorOptions, 'env' | 'nodeArguments'> = {}): Promise<TestOperator> {
    const env = { OPENOS_LOG_LEVEL: 'info', ...options.env };
    const nodeArguments = [...profiling(), ...(options.nodeArguments ?? [])];
    const operator = await startOperator({ ...parts, nodeArguments, env });
    operators.push(operator);
    return operator;
  }
  return {
    cluster,
    launchOperator,
    startOperator: async (options) => {
      const operator = await launchOperator(options);
      await operator.ready();
      return operator;
    },
    tenant: (name) => makeTenant(cluster, name),
    apiServerUse: async () => {
      const metrics = await cluster.kubectl('get', '--raw', '/metrics');
      return { writes: writesOf(metrics), cpuSeconds: sampleOf(metrics, 'process_cpu_seconds_total') };
    },
    stop: async () => {
      await Promise.all(operators.map((operator) => operator.kill()));
      await Promise.all([cluster.close(), postgres.stop(), nats.stop(), rm(home, { recursive: true })]);
    },
  };
}

/** PROFILE=FOLDER: operators that end by themselves leave a CPU profile there. */
function profiling(): readonly string[] {
  const folder = process.env.PROFILE;
  return folder ? ['--cpu-prof', `--cpu-prof-dir=${folder}`] : [];
}

async function makeTenant({ client, kubectl }: OwnCluster, name: string): Promise<void> {
  const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'Tenant', metadata: { name } };
  await client.create(tenantResource, { ...manifest, spec: { namespaces: [{ name }] } } as KubernetesObject);
  await kubectl('wait', '--for=condition=Ready', `tenant/${name}`, '--timeout=30s');
  const account = { resource: serviceAccounts, namespace: name, name: 'default' };
  await eventually(`namespace ${name} has its default ServiceAccount`, () => client.get(account), 30_000);
}

import { beforeEach } from 'vitest';
import { type Cluster, currentCluster, kubectl } from '../hack/lib/cluster.ts';
import { diagnose } from '../hack/lib/diagnose.ts';
import { KubeClient } from '../operator/kernel/client.ts';
import { loadKubeConfig } from '../operator/kernel/credentials.ts';
import { Transport } from '../operator/kernel/transport.ts';
import { type Agents, agentsOf } from './agents.ts';
import { type Installation, installationOf } from './installation.ts';
import { type Told, toldIn } from './told.ts';

/** A cluster with a real kubelet in which OpenOS is installed, as its users have it. */
export type World = Agents &
  Installation &
  Told & {
    readonly cluster: Cluster;
    readonly client: KubeClient;
    /** kubectl's standard output. Throws CommandFailed. */
    kubectl(...args: readonly string[]): Promise<string>;
    stop(): Promise<void>;
  };

/** The cluster CLUSTER_NAME or KUBECONFIG names, with the chart of this checkout installed. Stop it in `afterAll`. */
export async function startWorld(): Promise<World> {
  const cluster = await currentCluster();
  const credentials = loadKubeConfig(cluster.kubeconfig);
  const client = new KubeClient(new Transport({ credentials, version: 'e2e' }));
  const parts = { cluster, client, kubectl: (...args: readonly string[]) => kubectl(cluster, args) };
  const installation = installationOf(parts);
  await installation.deploy();
  return { ...parts, ...installation, ...agentsOf(parts), ...toldIn(cluster), stop: () => client.close() };
}

/** What the helpers of a world are made of. */
export type Parts = Pick<World, 'cluster' | 'client' | 'kubectl'>;

/** Every test of the file that fails prints what the cluster says of the Agents in this namespace and of the operator. */
export function diagnoseFailures(namespace: string): void {
  beforeEach(({ onTestFailed }) => onTestFailed(async () => diagnose(await currentCluster(), namespace)));
}

/** The same for what a hook does, which Vitest does not count among the tests. */
export async function diagnosed(namespace: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await diagnose(await currentCluster(), namespace);
    throw error;
  }
}

/** Whether the cluster is one that hack/cluster made: only there can a test reach the node itself. */
export const isNodeReachable = process.env.KUBECONFIG === undefined || process.env.KUBECONFIG === '';

import { join } from 'node:path';
import { run } from './process.ts';

/** The cluster in hand and the tools to reach it. */
export type Cluster = {
  readonly kubeconfig: string;
  /** Paths of the pinned tools. */
  readonly kubectl: string;
  readonly helm: string;
};

/** Brings the cluster up (or takes the one KUBECONFIG names) and says where its tools are. */
export async function clusterUp(): Promise<Cluster> {
  await run('hack/cluster/up.sh', [], { output: 'show' });
  return currentCluster();
}

/** The cluster that is up already. Throws CommandFailed with advice when there is none. */
export async function currentCluster(): Promise<Cluster> {
  const kubeconfig = (await run('hack/cluster/kubeconfig.sh', [])).trim();
  const bin = (await run('hack/toolchain/get.sh', ['kubectl', 'helm'], { output: 'keep' })).trim();
  return { kubeconfig, kubectl: join(bin, 'kubectl'), helm: join(bin, 'helm') };
}

/** kubectl against this cluster; answers its standard output. Throws CommandFailed. */
export function kubectl(cluster: Cluster, args: readonly string[], input?: string): Promise<string> {
  const options = { env: { KUBECONFIG: cluster.kubeconfig }, ...(input === undefined ? {} : { input }) };
  return run(cluster.kubectl, args, options);
}

import { run } from '../hack/lib/process.ts';
import { podResource } from '../operator/resources/builtin.ts';
import { eventually } from '../operator/testkit/eventually.ts';
import type { StoredPod } from './agents.ts';
import type { Parts } from './world.ts';

export const system = 'openos-system';

export const servers = ['postgres', 'nats'] as const;
export type Server = (typeof servers)[number];

/** The release and what runs of it. */
export type Installation = {
  /** Installs or upgrades the chart and waits until everything runs. */
  deploy(): Promise<void>;
  /** helm uninstall, its hooks included. */
  uninstall(): Promise<void>;
  /** The operator's pod. Throws while there is not exactly one. */
  operatorPod(): Promise<StoredPod>;
  /** Which process the operator is: another one after every restart. */
  operatorProcess(): Promise<string>;
  /** Deletes the operator's pod without a grace period. */
  forceDeleteOperator(): Promise<void>;
  /** Ends the operator's process as `kill -9` on the node would. Only for clusters that hack/cluster made. */
  sigkillOperator(): Promise<void>;
  /** Scales the server to nothing and waits until its pod is gone. */
  takeAway(server: Server): Promise<void>;
  /** Scales the server back and waits until it is ready; at once when it never was away. */
  bringBack(server: Server): Promise<void>;
};

const deadlineMs = 120_000;
const pollMs = 100;

export function installationOf({ cluster, client, kubectl }: Parts): Installation {
  const podsOf = async (component: string) => {
    const labelSelector = `app.kubernetes.io/name=openos,app.kubernetes.io/component=${component}`;
    return (await client.list<StoredPod>(podResource, { namespace: system, labelSelector })).items;
  };

  const operatorPod = async () => {
    const pods = (await podsOf('controller')).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const [pod] = pods;
    if (pod === undefined || pods.length > 1) throw new Error(`${pods.length} pods of the operator`);
    return pod;
  };

  return {
    ...serversOf({ kubectl }, podsOf),
    operatorPod,
    deploy: async () => {
      await run('hack/deploy.sh', []);
    },
    uninstall: async () => {
      const args = ['uninstall', 'openos', '--namespace', system, '--wait', '--timeout', '2m'];
      await run(cluster.helm, args, { env: { KUBECONFIG: cluster.kubeconfig } });
    },
    operatorProcess: async () => containerId(await operatorPod()),
    forceDeleteOperator: async () => {
      const { metadata } = await operatorPod();
      await kubectl('delete', 'pod', metadata.name, '-n', system, '--grace-period=0', '--force');
    },
    sigkillOperator: async () => {
      const task = containerId(await operatorPod()).replace('containerd://', '');
      await run('hack/cluster/node.sh', ['ctr', '--namespace', 'k8s.io', 'tasks', 'kill', '--signal', 'SIGKILL', task]);
    },
  };
}

function serversOf({ kubectl }: Pick<Parts, 'kubectl'>, podsOf: (component: string) => Promise<readonly StoredPod[]>) {
  const scale = (server: Server, replicas: 0 | 1) =>
    kubectl('scale', `statefulset/openos-${server}`, '-n', system, `--replicas=${replicas}`);
  return {
    takeAway: async (server: Server) => {
      await scale(server, 0);
      await eventually(`${server} is gone`, async () => (await podsOf(server)).length === 0, deadlineMs, pollMs);
    },
    bringBack: async (server: Server) => {
      await scale(server, 1);
      await kubectl('rollout', 'status', `statefulset/openos-${server}`, '-n', system, '--timeout=120s');
    },
  };
}

function containerId({ metadata, status }: StoredPod): string {
  const id = status?.containerStatuses?.[0]?.containerID;
  if (id === undefined) throw new Error(`${metadata.name} has no container yet`);
  return id;
}

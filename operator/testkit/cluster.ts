import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { inject } from 'vitest';
import { KubeClient } from '../kernel/client.ts';
import { type Credentials, loadKubeConfig } from '../kernel/credentials.ts';
import type { KubernetesObject, ResourceType, StoredObject } from '../kernel/object.ts';
import { Transport } from '../kernel/transport.ts';
import { eventually } from './eventually.ts';
import { restartProcess } from './processes.ts';

const run = promisify(execFile);
const light = join(import.meta.dirname, '../../hack/cluster/light.sh');

export const namespaces: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
};
export const pods: ResourceType = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };
export const configMaps: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
};
export const serviceAccounts: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  namespaced: true,
};
export const customResourceDefinitions: ResourceType = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
};

/** A real control plane: API server, etcd, controller manager, scheduler; pods turn Ready on KWOK nodes. */
export type LightCluster = {
  /** Path of its kubeconfig. */
  readonly kubeconfig: string;
  readonly credentials: Credentials;
  /** As cluster administrator. */
  readonly client: KubeClient;
  /** A namespace of the test's own, in which pods can be created at once. */
  createNamespace(labels?: Readonly<Record<string, string>>): Promise<string>;
  /** Has nodes fake-0 … fake-(n-1), Ready. */
  haveNodes(n: number): Promise<void>;
  /** Applies a CustomResourceDefinition and waits until it is served. */
  applyCrd(crd: KubernetesObject): Promise<void>;
  /** Runs kubectl with these arguments; returns what it prints. */
  kubectl(...args: readonly string[]): Promise<string>;
  /** Closes the connections. A cluster of one's own ends; the shared one stays for the other tests of the run. */
  close(): Promise<void>;
};

/** The cluster all integration tests of a run share; starts it if need be. Call in `beforeAll`, close in `afterAll`. */
export function lightCluster(): Promise<LightCluster> {
  return clusterNamed(inject('lightClusterName'), async () => {});
}

export type OwnCluster = LightCluster & {
  /** Path of what the API server wrote down of the operator's requests. */
  readonly auditLog: string;
  /** Ends the API server and starts it again; resolves when it is ready. */
  restartApiServer(): Promise<void>;
};

/** A cluster for one test file alone: for whoever runs an operator, which takes every Agent it sees for its own. */
export async function ownCluster(name = nameInRun()): Promise<OwnCluster> {
  const cluster = await clusterNamed(name, async () => {
    await run(light, ['down', name]);
  });
  return {
    ...cluster,
    auditLog: join(dirname(cluster.kubeconfig), 'audit.log'),
    restartApiServer: async () => {
      await restartProcess('kube-apiserver', `/light-${name}/`, Number(cluster.credentials.server.port));
      await eventually('the API server is ready again', () => cluster.kubectl('get', '--raw', '/readyz'), 60_000);
    },
  };
}

function nameInRun(): string {
  return `${inject('lightClusterName')}-${randomBytes(3).toString('hex')}`;
}

async function clusterNamed(name: string, end: () => Promise<void>): Promise<LightCluster> {
  const { stdout } = await run(light, ['up', name]);
  const kubeconfig = stdout.trim().split('\n').at(-1) ?? '';
  const credentials = loadKubeConfig(kubeconfig);
  const client = new KubeClient(new Transport({ credentials, version: 'test' }));
  const kubectl = await kubectlOf(kubeconfig);
  return {
    kubeconfig,
    credentials,
    client,
    createNamespace: (labels) => createNamespace(client, labels),
    haveNodes: async (n) => {
      await run(light, ['node', name, `${n}`]);
    },
    applyCrd: (crd) => applyCrd(client, crd),
    kubectl,
    close: async () => {
      await client.close();
      await end();
    },
  };
}

async function kubectlOf(kubeconfig: string): Promise<LightCluster['kubectl']> {
  const { stdout } = await run(join(import.meta.dirname, '../../hack/toolchain/get.sh'), ['kubectl']);
  const binary = join(stdout.trim().split('\n').at(-1) ?? '', 'kubectl');
  // The API server's metrics alone are several megabytes.
  const options = { maxBuffer: 64 * 2 ** 20 };
  return async (...args) => (await run(binary, ['--kubeconfig', kubeconfig, ...args], options)).stdout;
}

async function createNamespace(client: KubeClient, labels: Readonly<Record<string, string>> = {}): Promise<string> {
  const name = `test-${randomBytes(5).toString('hex')}`;
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
  const account = { resource: serviceAccounts, namespace: name, name: 'default' };
  await eventually(`namespace ${name} has its default ServiceAccount`, () => client.get(account), 30_000);
  return name;
}

type Crd = StoredObject & {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
};

async function applyCrd(client: KubeClient, crd: KubernetesObject): Promise<void> {
  await client.apply(customResourceDefinitions, crd);
  const ref = { resource: customResourceDefinitions, name: crd.metadata.name };
  await eventually(`${crd.metadata.name} is established`, async () => {
    const stored = await client.get<Crd>(ref);
    return stored?.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True');
  });
}

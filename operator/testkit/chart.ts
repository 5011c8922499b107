import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { LightCluster } from './cluster.ts';

/** The namespace the chart is rendered for. */
export const releaseNamespace = 'openos-system';

const isRight = /^(?:ServiceAccount|Lease|(?:Cluster)?Role(?:Binding)?|ValidatingAdmissionPolicy(?:Binding)?)$/;

/** Who may do what, and what is refused to all: the rights and the admission policies of the rendered chart. */
export async function installRights(
  cluster: LightCluster,
  rendered: readonly { readonly kind: string }[],
): Promise<void> {
  const objects = rendered.filter(({ kind }) => isRight.test(kind));
  const home = await mkdtemp(join(tmpdir(), 'openos-chart-'));
  try {
    const file = join(home, 'rights.yaml');
    await writeFile(file, objects.map((object) => stringify(object)).join('---\n'));
    await cluster.kubectl('create', 'namespace', releaseNamespace);
    await cluster.kubectl('apply', '-f', file);
  } finally {
    await rm(home, { recursive: true });
  }
}

type KubeConfigFile = { readonly users: readonly { readonly name: string }[] };

/** Writes a kubeconfig of a ServiceAccount beside the cluster's own; answers its path. */
export async function kubeconfigOf(cluster: LightCluster, namespace: string, account: string): Promise<string> {
  const token = await cluster.kubectl('create', 'token', account, '-n', namespace, '--duration', '1h');
  const file = parse(await readFile(cluster.kubeconfig, 'utf8')) as KubeConfigFile;
  const users = file.users.map(({ name }) => ({ name, user: { token: token.trim() } }));
  const path = `${cluster.kubeconfig}.${namespace}.${account}`;
  await writeFile(path, stringify({ ...file, users }), { mode: 0o600 });
  return path;
}

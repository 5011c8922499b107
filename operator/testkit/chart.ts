import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { LightCluster } from './cluster.ts';
import { eventually } from './eventually.ts';

/** The namespace the chart is rendered for. */
export const releaseNamespace = 'openos-system';

const isRight = /^(?:ServiceAccount|Lease|(?:Cluster)?Role(?:Binding)?|ValidatingAdmissionPolicy(?:Binding)?)$/;

/** Who may do what, and what is refused to all: the rights and the admission policies of the rendered chart. */
export async function installRights(
  cluster: LightCluster,
  rendered: readonly { readonly kind: string }[],
): Promise<void> {
  await apply(cluster, [releaseNamespaceObject, ...rendered.filter(({ kind }) => isRight.test(kind))]);
}

const releaseNamespaceObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: releaseNamespace } };
const role = join(import.meta.dirname, '../../config/rbac/role.yaml');
const rbac = 'rbac.authorization.k8s.io';
const account = { kind: 'ServiceAccount', name: 'openos-controller', namespace: releaseNamespace };

/**
 * Makes the account the operator has in a release, with the rights of config/rbac, those on its Lease in
 * `leaseNamespace`, and no others. Answers the path of a kubeconfig of it.
 */
export async function operatorKubeconfig(cluster: LightCluster, leaseNamespace: string): Promise<string> {
  const { kind, ...metadata } = account;
  const lease = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] };
  const rules = [
    { ...lease, verbs: ['create'] },
    { ...lease, resourceNames: [account.name], verbs: ['get', 'update'] },
  ];
  const local = { name: account.name, namespace: leaseNamespace };
  await apply(cluster, [
    releaseNamespaceObject,
    { apiVersion: 'v1', kind, metadata },
    parse(await readFile(role, 'utf8')) as object,
    binding('ClusterRole', { name: account.name }),
    { apiVersion: `${rbac}/v1`, kind: 'Role', metadata: local, rules },
    binding('Role', local),
  ]);
  const name = `system:serviceaccount:${releaseNamespace}:${account.name}`;
  // Rights count a moment after they were given, and an operator that came too early would be one that lacks them.
  for (const right of [
    ['list', 'tenants.openos.dev'],
    ['get', `leases/${account.name}`, '-n', leaseNamespace],
  ])
    await eventually(`${name} may ${right.join(' ')}`, () =>
      cluster.kubectl('auth', 'can-i', ...right, `--as=${name}`),
    );
  return kubeconfigOf(cluster, releaseNamespace, account.name);
}

function binding(kind: 'Role' | 'ClusterRole', metadata: object): object {
  const roleRef = { apiGroup: rbac, kind, name: account.name };
  return { apiVersion: `${rbac}/v1`, kind: `${kind}Binding`, metadata, roleRef, subjects: [account] };
}

async function apply(cluster: LightCluster, objects: readonly object[]): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'openos-chart-'));
  try {
    const file = join(home, 'objects.yaml');
    await writeFile(file, objects.map((object) => stringify(object)).join('---\n'));
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

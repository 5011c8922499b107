import type { Cluster } from './cluster.ts';
import { attempt } from './process.ts';

type Section = { readonly title: string; readonly args: readonly string[] };

/** Everything someone would look at first when an Agent is not Ready. */
function sections(namespace: string, name: string | undefined): readonly Section[] {
  const system = ['-n', 'openos-system'];
  const named = name === undefined ? [] : [name];
  return [
    { title: 'The Agent and its conditions', args: ['describe', 'agents', ...named, '-n', namespace] },
    { title: 'The Tenants', args: ['describe', 'tenants'] },
    { title: 'Pods and what happened to them', args: ['get', 'pods,events', '-n', namespace, '-o', 'wide'] },
    { title: 'OpenOS itself', args: ['get', 'pods,pvc', ...system, '-o', 'wide'] },
    { title: 'What happened to OpenOS', args: ['get', 'events', ...system, '--sort-by=.lastTimestamp'] },
    {
      title: 'The log of the operator (last lines)',
      args: ['logs', ...system, '-l', 'app.kubernetes.io/component=controller', '--all-containers', '--tail=40'],
    },
  ];
}

/**
 * Prints what the cluster says about the Agent, or all Agents of the namespace, and about the operator.
 * Never throws: it runs when something has failed already.
 */
export async function diagnose(cluster: Cluster, namespace: string, name?: string): Promise<void> {
  for (const { title, args } of sections(namespace, name)) {
    const answer = await attempt(cluster.kubectl, args, { env: { KUBECONFIG: cluster.kubeconfig } }).catch(String);
    const text = typeof answer === 'string' ? answer : `${answer.stdout}${answer.stderr}`;
    process.stderr.write(`\n── ${title}\n${text.trimEnd().split('\n').slice(-60).join('\n')}\n`);
  }
}

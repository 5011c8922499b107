import type { AgentStatus } from '../../operator/api/v1alpha1/agent.ts';
import { KubeClient } from '../../operator/kernel/client.ts';
import { loadKubeConfig } from '../../operator/kernel/credentials.ts';
import type { StoredObject } from '../../operator/kernel/object.ts';
import { Transport } from '../../operator/kernel/transport.ts';
import { agentResource } from '../../operator/resources/own.ts';
import { timelineLine } from './timeline.ts';

type FollowedAgent = StoredObject & { readonly status?: AgentStatus };

export type Followed = { readonly uid: string; readonly status: AgentStatus };

/** Prints every change of the Agent's status as it comes, until it is Ready. Throws after `deadlineMs` without. */
export async function followUntilReady(
  kubeconfig: string,
  namespace: string,
  name: string,
  deadlineMs: number,
): Promise<Followed> {
  const transport = new Transport({ credentials: loadKubeConfig(kubeconfig), version: 'demo' });
  const client = new KubeClient(transport);
  const started = performance.now();
  const signal = AbortSignal.timeout(deadlineMs);
  const fieldSelector = `metadata.name=${name}`;
  try {
    const { items, resourceVersion } = await client.list<FollowedAgent>(agentResource, {
      namespace,
      fieldSelector,
      signal,
    });
    let status = items[0]?.status;
    const watch = client.watch<FollowedAgent>(
      agentResource,
      { namespace, fieldSelector },
      { resourceVersion, timeoutSeconds: Math.ceil(deadlineMs / 1000), signal },
    );
    for await (const { type, object } of watch) {
      if (type === 'BOOKMARK' || type === 'DELETED') continue;
      const line = timelineLine(status, object.status, Math.round(performance.now() - started));
      if (line !== undefined) process.stdout.write(`${line}\n`);
      status = object.status;
      if (status?.phase === 'Ready') return { uid: object.metadata.uid, status };
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await client.close();
  }
  throw new Error(`the Agent ${namespace}/${name} was not Ready after ${deadlineMs / 1000} s`);
}

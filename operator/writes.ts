import type { OperatorReason } from './api/v1alpha1/reasons.ts';
import type { Action } from './kernel/action.ts';
import type { KubeClient } from './kernel/client.ts';
import { hasCode } from './kernel/errors.ts';
import { execute } from './kernel/execute.ts';
import { leases } from './kernel/leader.ts';
import type { Logger } from './kernel/logger.ts';
import { type ResourceType, refOf, type StoredObject } from './kernel/object.ts';
import type { LeaderParts } from './lead.ts';

/** What concerns no one resource is told by a Kubernetes Event of our Lease, for who runs the operator. */
export async function tellOperators(
  { client, config, log }: LeaderParts,
  reason: OperatorReason,
  note: string,
): Promise<void> {
  const { namespace, lease } = config;
  try {
    const standing = await client.get<StoredObject>({ resource: leases, namespace, name: lease.name });
    if (standing === undefined) return;
    const { name, uid } = standing.metadata;
    const regarding = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name, uid } as const;
    await execute({ kind: 'event', type: 'Warning', regarding, reason, action: 'Audit', note }, { client, log });
  } catch (err) {
    log.debug({ err, reason }, 'a Kubernetes Event was not written');
  }
}

/** A Kubernetes Event is a courtesy: nothing waits for it. */
export async function executeWith(client: KubeClient, log: Logger, action: Action): Promise<void> {
  const done = execute(action, { client, log });
  if (action.kind !== 'event') return done;
  done.catch((err: unknown) => log.debug({ err }, 'a Kubernetes Event was not written'));
}

/** Writes a status over exactly the version that was observed; an object that is gone meanwhile needs none. */
export async function writeStatus<T extends StoredObject>(
  client: KubeClient,
  resource: ResourceType,
  object: StoredObject,
  status: unknown,
): Promise<T | undefined> {
  const { uid, resourceVersion } = object.metadata;
  try {
    return await client.updateStatus<T>({ ref: refOf(resource, object), uid, resourceVersion, status });
  } catch (error) {
    if (hasCode(error, 'NotFound')) return undefined;
    throw error;
  }
}

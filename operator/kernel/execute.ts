import type { Action } from './action.ts';
import type { KubeClient } from './client.ts';
import { classify, hasCode, OperatorError } from './errors.ts';
import { finalizersAfter } from './finalizer.ts';
import type { Logger } from './logger.ts';
import { controllerUid, refOf, type StoredObject } from './object.ts';

/** The writes of the client that actions need. */
export type ExecuteClient = Pick<KubeClient, 'get' | 'create' | 'apply' | 'delete' | 'setFinalizers' | 'createEvent'>;

export type ExecutePorts = {
  readonly client: ExecuteClient;
  readonly log: Logger;
  readonly signal?: AbortSignal;
};

/**
 * Carries out one action. Doing it again is harmless.
 * Throws ApiError, or NameConflict (retryable) when a stranger's object stands under the name ours takes.
 */
export async function execute(action: Action, ports: ExecutePorts): Promise<void> {
  const { client, signal } = ports;
  switch (action.kind) {
    case 'create':
      return create(action, ports);
    case 'apply':
      await client.apply(action.resource, action.object, { signal });
      return;
    case 'delete':
      await client.delete(action.ref, { uid: action.uid, gracePeriodSeconds: action.gracePeriodSeconds, signal });
      return;
    case 'finalizer':
      return setFinalizer(action, ports);
    case 'event':
      return tell(action, ports);
    default:
      action satisfies never;
  }
}

async function create(action: Extract<Action, { kind: 'create' }>, { client, signal }: ExecutePorts): Promise<void> {
  try {
    await client.create(action.resource, action.object, { signal });
  } catch (error) {
    if (!hasCode(error, 'AlreadyExists')) throw error;
    const standing = await client.get(refOf(action.resource, action.object), { signal });
    if (standing === undefined) {
      throw new OperatorError('CreateRaced', 'conflict', 'the object under our name vanished meanwhile', {
        cause: error,
      });
    }
    if (isOurs(action, standing)) return;
    throw new OperatorError('NameConflict', 'retryable', 'an object that is not ours stands under this name', {
      cause: error,
    });
  }
}

/** A create that is repeated, after a crash or on a cache that is behind, meets its own object. */
function isOurs({ object, ownershipAnnotation }: Extract<Action, { kind: 'create' }>, standing: StoredObject): boolean {
  const owner = controllerUid(object);
  if (owner !== undefined) return controllerUid(standing) === owner;
  const mark = ownershipAnnotation === undefined ? undefined : object.metadata.annotations?.[ownershipAnnotation];
  return mark !== undefined && standing.metadata.annotations?.[ownershipAnnotation ?? ''] === mark;
}

async function setFinalizer(
  action: Extract<Action, { kind: 'finalizer' }>,
  { client, signal }: ExecutePorts,
): Promise<void> {
  try {
    await client.setFinalizers(action.ref, finalizersAfter(action), action.observed.resourceVersion, { signal });
  } catch (error) {
    if (action.op === 'remove' && hasCode(error, 'NotFound')) return;
    throw error;
  }
}

// An Event is a courtesy: a namespace that is going refuses it, and that must not stop a plan.
async function tell(action: Extract<Action, { kind: 'event' }>, { client, log, signal }: ExecutePorts): Promise<void> {
  try {
    await client.createEvent(action, { signal });
  } catch (thrown) {
    const error = classify(thrown);
    if (error.code === 'Aborted') throw error;
    log.warn({ code: error.code, reason: action.reason }, 'could not write a Kubernetes Event');
  }
}

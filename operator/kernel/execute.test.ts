import { describe, expect, test } from 'vitest';
import type { Action } from './action.ts';
import { ApiError } from './errors.ts';
import { type ExecuteClient, execute } from './execute.ts';
import { silentLogger } from './logger.ts';
import type { KubernetesObject, ResourceType, StoredObject } from './object.ts';

const pods: ResourceType = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };

function aPod(controller: string | undefined): StoredObject {
  const owner = {
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'Agent',
    name: 'a',
    uid: controller ?? '',
    controller: true,
  };
  const ownerReferences = controller === undefined ? [] : [owner];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'ns', name: 'p', uid: 'u', resourceVersion: '1', ownerReferences },
  };
}

/** A client that answers what it is told, and writes down what it is asked. */
function aClient(answers: {
  readonly create?: ApiError;
  readonly standing?: StoredObject;
  readonly setFinalizers?: ApiError;
  readonly event?: ApiError;
}) {
  const calls: unknown[][] = [];
  const call = <T>(error: ApiError | undefined, value: T, ...args: unknown[]): Promise<T> => {
    calls.push(args);
    return error === undefined ? Promise.resolve(value) : Promise.reject(error);
  };
  const client = {
    get: () => Promise.resolve(answers.standing),
    create: (_resource: ResourceType, object: KubernetesObject) => call(answers.create, object, 'create'),
    apply: (resource: ResourceType, object: KubernetesObject) => call(undefined, object, 'apply', resource, object),
    delete: (ref: unknown, options: unknown) => call(undefined, 'gone' as const, 'delete', ref, options),
    setFinalizers: (_ref: unknown, finalizers: unknown, version: unknown) =>
      call(answers.setFinalizers, undefined, 'finalizers', finalizers, version),
    createEvent: (event: unknown) => call(answers.event, undefined, 'event', event),
  };
  return { calls, ports: { client: client as ExecuteClient, log: silentLogger } };
}

const taken = new ApiError('POST /pods', 409, { reason: 'AlreadyExists' });

describe('create', () => {
  const create: Action = { kind: 'create', resource: pods, object: aPod('agent-1') };

  test('of what is already there and ours is done', async () => {
    const { ports } = aClient({ create: taken, standing: aPod('agent-1') });
    await expect(execute(create, ports)).resolves.toBeUndefined();
  });

  test.each([
    ['another controller', aPod('agent-2')],
    ['nobody', aPod(undefined)],
  ])('under a name whose object belongs to %s is NameConflict', async (_, standing) => {
    const { ports } = aClient({ create: taken, standing });
    await expect(execute(create, ports)).rejects.toMatchObject({ code: 'NameConflict', kind: 'retryable' });
  });

  test('of an object without a controller never takes over a namesake', async () => {
    const { ports } = aClient({ create: taken, standing: aPod(undefined) });
    const orphan: Action = { ...create, object: aPod(undefined) };
    await expect(execute(orphan, ports)).rejects.toMatchObject({ code: 'NameConflict' });
  });

  test.each([
    ['our value of the ownership annotation is our own, met again', 'mine', undefined],
    ['another value of it is NameConflict', 'theirs', 'NameConflict'],
  ])('of an object without an owner that carries %s', async (_, value, code) => {
    const free = aPod(undefined);
    const marked = (mark: string) => ({ ...free, metadata: { ...free.metadata, annotations: { mark } } });
    const { ports } = aClient({ create: taken, standing: marked(value) });
    const done = execute({ ...create, object: marked('mine'), ownershipAnnotation: 'mark' }, ports);
    if (code === undefined) await expect(done).resolves.toBeUndefined();
    else await expect(done).rejects.toMatchObject({ code });
  });

  test('whose namesake vanished meanwhile is looked at again', async () => {
    const { ports } = aClient({ create: taken });
    await expect(execute(create, ports)).rejects.toMatchObject({ code: 'CreateRaced', kind: 'conflict' });
  });

  test('that is refused says so', async () => {
    const { ports } = aClient({ create: new ApiError('POST /pods', 403, {}) });
    await expect(execute(create, ports)).rejects.toMatchObject({ code: 'Forbidden' });
  });
});

describe('other actions', () => {
  const ref = { resource: pods, namespace: 'ns', name: 'p' };

  test('delete names the UID it means', async () => {
    const { calls, ports } = aClient({});
    await execute({ kind: 'delete', ref, uid: 'u', gracePeriodSeconds: 0 }, ports);
    expect(calls).toEqual([['delete', ref, { uid: 'u', gracePeriodSeconds: 0, signal: undefined }]]);
  });

  test('finalizers are set as a whole, at the observed version; removing from what is gone is done', async () => {
    const { calls, ports } = aClient({ setFinalizers: new ApiError('PATCH /x', 404, {}) });
    const observed = { finalizers: ['x/y', 'o/p'], resourceVersion: '5' };
    await execute({ kind: 'finalizer', op: 'remove', ref, finalizer: 'o/p', observed }, ports);
    expect(calls).toEqual([['finalizers', ['x/y'], '5']]);
    const add = execute({ kind: 'finalizer', op: 'add', ref, finalizer: 'o/p', observed }, ports);
    await expect(add).rejects.toMatchObject({ code: 'NotFound' });
  });

  test('an Event that is refused stops nothing', async () => {
    const { calls, ports } = aClient({ event: new ApiError('POST /events', 403, {}) });
    const regarding = { apiVersion: 'v1', kind: 'Pod', namespace: 'ns', name: 'p', uid: 'u' };
    await execute({ kind: 'event', type: 'Normal', regarding, reason: 'R', action: 'A', note: 'n' }, ports);
    expect(calls).toHaveLength(1);
  });
});

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configMaps, type LightCluster, lightCluster, namespaces, pods } from '../testkit/cluster.ts';
import { eventually } from '../testkit/eventually.ts';
import { KubeClient } from './client.ts';
import { execute } from './execute.ts';
import { removeFinalizer } from './finalizer.ts';
import { silentLogger } from './logger.ts';
import { type KubernetesObject, type ObjectRef, type ResourceType, refOf, type StoredObject } from './object.ts';
import { type RequestSample, Transport } from './transport.ts';

// A custom resource like ours: status subresource, conditions as a list map, defaults inside the status.
const widgets: ResourceType = {
  group: 'kernel.test',
  version: 'v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
};
const conditionSchema = {
  type: 'object',
  required: ['type', 'status'],
  properties: { type: { type: 'string' }, status: { type: 'string' }, reason: { type: 'string' } },
};
const widgetSchema = {
  type: 'object',
  properties: {
    spec: { type: 'object', properties: { size: { type: 'integer', maximum: 10 } } },
    status: {
      type: 'object',
      default: {},
      properties: {
        observedGeneration: { type: 'integer', default: -1 },
        phase: { type: 'string' },
        podIPs: { type: 'array', items: { type: 'string' } },
        podRef: { type: 'object', properties: { name: { type: 'string' }, uid: { type: 'string' } } },
        conditions: {
          type: 'array',
          items: conditionSchema,
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['type'],
        },
      },
    },
  },
};
const crd = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.kernel.test' },
  spec: {
    group: 'kernel.test',
    scope: 'Namespaced',
    names: { kind: 'Widget', plural: 'widgets', singular: 'widget', listKind: 'WidgetList' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: { openAPIV3Schema: widgetSchema },
      },
    ],
  },
};

type Widget = StoredObject & { readonly spec?: { readonly size?: number }; readonly status?: unknown };
type ConfigMap = StoredObject & { readonly data?: Readonly<Record<string, string>> };

let cluster: LightCluster;
let client: KubeClient;
let namespace: string;
let serial = 0;

beforeAll(async () => {
  cluster = await lightCluster();
  client = cluster.client;
  namespace = await cluster.createNamespace();
  await cluster.applyCrd(crd);
});

afterAll(() => cluster.close());

function aConfigMap(data: Readonly<Record<string, string>> = {}): KubernetesObject & { readonly data: unknown } {
  serial += 1;
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: `map-${serial}` }, data };
}

async function aWidget(): Promise<{ readonly ref: ObjectRef; readonly widget: Widget }> {
  serial += 1;
  const object = {
    apiVersion: 'kernel.test/v1',
    kind: 'Widget',
    metadata: { namespace, name: `widget-${serial}` },
    spec: { size: 1 },
  };
  return { ref: refOf(widgets, object), widget: await client.create<Widget>(widgets, object) };
}

function statusOn(ref: ObjectRef, { metadata: { uid, resourceVersion } }: StoredObject, status: unknown) {
  return client.updateStatus<Widget>({ ref, uid, resourceVersion, status });
}

/** What is managed by this manager, as the server has it. */
function fieldsOf({ metadata }: StoredObject, manager: string): readonly unknown[] {
  const { managedFields } = metadata as unknown as {
    readonly managedFields: readonly { readonly manager: string; readonly fieldsV1: unknown }[];
  };
  return managedFields.filter((entry) => entry.manager === manager).map(({ fieldsV1 }) => fieldsV1);
}

describe('objects', () => {
  test('are created once; a taken name is AlreadyExists; what is not there is undefined', async () => {
    const object = aConfigMap({ a: '1' });
    const created = await client.create<ConfigMap>(configMaps, object);
    expect(created.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    await expect(client.create(configMaps, object)).rejects.toMatchObject({ code: 'AlreadyExists', kind: 'conflict' });
    expect((await client.get<ConfigMap>(refOf(configMaps, object)))?.data).toEqual({ a: '1' });
    expect(await client.get({ resource: configMaps, namespace, name: 'nowhere' })).toBeUndefined();
  });

  test('that break the schema are Invalid and terminal, with the server’s words apart', async () => {
    const object = {
      apiVersion: 'kernel.test/v1',
      kind: 'Widget',
      metadata: { namespace, name: 'w' },
      spec: { size: 11 },
    };
    await expect(client.create(widgets, object)).rejects.toMatchObject({
      code: 'Invalid',
      kind: 'terminal',
      serverMessage: expect.stringContaining('spec.size'),
      message: expect.not.stringContaining('spec.size'),
    });
  });

  test('are listed over several pages, each with its kind', async () => {
    const label = 'paged';
    const create = (i: number) =>
      client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { namespace, name: `${label}-${i}`, labels: { set: label } },
      });
    await Promise.all(Array.from({ length: 1_050 }, (_, i) => create(i)));
    const sizes: number[] = [];
    for await (const page of client.pages(configMaps, { namespace, labelSelector: `set=${label}` })) {
      sizes.push(page.items.length);
    }
    expect(sizes).toEqual([500, 500, 50]);
    const { items, resourceVersion } = await client.list(configMaps, { namespace, labelSelector: `set=${label}` });
    expect(new Set(items.map(({ metadata }) => metadata.uid)).size).toBe(1_050);
    expect(items[0]).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
    expect(Number(resourceVersion)).toBeGreaterThan(0);
  });

  test('that are replaced at an old version are a conflict', async () => {
    const created = await client.create<ConfigMap>(configMaps, aConfigMap({ a: '1' }));
    const replaced = await client.replace<ConfigMap>(configMaps, { ...created, data: { a: '2' } } as ConfigMap);
    expect(replaced.data).toEqual({ a: '2' });
    await expect(client.replace(configMaps, created)).rejects.toMatchObject({ code: 'Conflict', kind: 'conflict' });
  });
});

describe('apply', () => {
  test('owns what it gives, takes away what it gives no longer, and leaves the rest alone', async () => {
    const object = aConfigMap({ ours: '1', alsoOurs: '1' });
    const first = await client.apply<ConfigMap>(configMaps, object);
    await cluster.kubectl('patch', 'configmap', object.metadata.name, '-n', namespace, '-p', '{"data":{"theirs":"1"}}');
    const second = await client.apply<ConfigMap>(configMaps, { ...object, data: { ours: '2' } } as KubernetesObject);
    expect(second.data).toEqual({ ours: '2', theirs: '1' });
    expect(second.metadata.uid).toBe(first.metadata.uid);
  });

  test('of the same again writes nothing', async () => {
    const object = aConfigMap({ a: '1' });
    const first = await client.apply<ConfigMap>(configMaps, object);
    const second = await client.apply<ConfigMap>(configMaps, object);
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
  });

  test('takes a field back from whoever changed it', async () => {
    const object = aConfigMap({ a: 'ours' });
    await client.apply(configMaps, object);
    await cluster.kubectl('patch', 'configmap', object.metadata.name, '-n', namespace, '-p', '{"data":{"a":"theirs"}}');
    expect((await client.apply<ConfigMap>(configMaps, object)).data).toEqual({ a: 'ours' });
  });
});

describe('status', () => {
  const ready = { type: 'Ready', status: 'True', reason: 'AgentReady' };
  const reconciling = { type: 'Reconciling', status: 'True', reason: 'Starting' };

  test('is exactly what was written last: fields, list items, nested objects and conditions vanish', async () => {
    const { ref, widget } = await aWidget();
    expect(widget.status).toEqual({ observedGeneration: -1 });
    const full = {
      observedGeneration: 1,
      phase: 'Starting',
      podIPs: ['10.0.0.1', 'fd00::1'],
      podRef: { name: 'p', uid: 'u' },
      conditions: [{ ...ready, status: 'False' }, reconciling],
    };
    const one = await statusOn(ref, widget, full);
    expect(one.status).toEqual(full);
    const less = {
      observedGeneration: 1,
      phase: 'Ready',
      podIPs: ['10.0.0.2'],
      podRef: { name: 'p' },
      conditions: [ready],
    };
    const two = await statusOn(ref, one, less);
    expect(two.status).toEqual(less);
    const three = await statusOn(ref, two, { observedGeneration: 2 });
    expect(three.status).toEqual({ observedGeneration: 2 });
    expect(three.metadata.generation).toBe(1);
    expect(three.spec).toEqual({ size: 1 });
  });

  test('keeps nothing of what somebody else wrote into it, and leaves the rest of the object to its managers', async () => {
    const { ref, widget } = await aWidget();
    const one = await statusOn(ref, widget, { observedGeneration: 1, phase: 'Starting', conditions: [ready] });
    const status = { phase: 'Forged', podIPs: ['6.6.6.6'], conditions: [ready, { ...ready, type: 'Theirs' }] };
    const args = ['-n', namespace, '--type', 'merge', '--field-manager', 'them', '-p'];
    const forge = JSON.stringify({ status });
    await cluster.kubectl('patch', 'widget', ref.name, '--subresource', 'status', ...args, forge);
    await cluster.kubectl('patch', 'widget', ref.name, ...args, '{"metadata":{"labels":{"a":"b"}},"spec":{"size":2}}');
    await expect(statusOn(ref, one, { phase: 'Ready' })).rejects.toMatchObject({ code: 'Conflict' });
    const forged = await client.get<Widget>(ref);
    const healed = await statusOn(ref, forged ?? one, { observedGeneration: 1, phase: 'Ready', conditions: [ready] });
    expect(healed.status).toEqual({ observedGeneration: 1, phase: 'Ready', conditions: [ready] });
    expect(healed).toMatchObject({ spec: { size: 2 }, metadata: { generation: 2, labels: { a: 'b' } } });
    expect(fieldsOf(healed, 'them')).toEqual([{ 'f:metadata': expect.anything(), 'f:spec': { 'f:size': {} } }]);
    expect(fieldsOf(healed, 'openos-status')).toEqual([{ 'f:status': expect.anything() }]);
  });

  test('at an old version is a conflict, and writing the same again writes nothing', async () => {
    const { ref, widget } = await aWidget();
    const one = await statusOn(ref, widget, { observedGeneration: 1, phase: 'Starting' });
    await expect(statusOn(ref, widget, { phase: 'Ready' })).rejects.toMatchObject({
      code: 'Conflict',
      kind: 'conflict',
    });
    const again = await statusOn(ref, one, { observedGeneration: 1, phase: 'Starting' });
    expect(again.metadata.resourceVersion).toBe(one.metadata.resourceVersion);
  });

  test('never lands on a namesake and never brings back what is gone', async () => {
    const { ref, widget } = await aWidget();
    await client.delete(ref, { uid: widget.metadata.uid });
    const gone = await statusOn(ref, widget, { phase: 'Ready' }).catch((error: unknown) => error);
    expect(gone).toMatchObject({ status: expect.toBeOneOf([404, 409]) });
    const object = { apiVersion: 'kernel.test/v1', kind: 'Widget', metadata: { namespace, name: ref.name } };
    await client.create<Widget>(widgets, object);
    await expect(statusOn(ref, widget, { phase: 'Ready' })).rejects.toMatchObject({ code: 'Conflict' });
    expect((await client.get<Widget>(ref))?.status).toEqual({ observedGeneration: -1 });
  });
});

describe('delete', () => {
  test('takes exactly the UID it names; twice is harmless', async () => {
    const object = aConfigMap();
    const ref = refOf(configMaps, object);
    const { metadata } = await client.create(configMaps, object);
    expect(await client.delete(ref, { uid: '00000000-0000-4000-8000-000000000000' })).toBe('gone');
    expect(await client.get(ref)).toBeDefined();
    expect(await client.delete(ref, { uid: metadata.uid })).toBe('deleted');
    expect(await client.delete(ref, { uid: metadata.uid })).toBe('gone');
    expect(await client.get(ref)).toBeUndefined();
  });

  test('of a namespace that is on its way already is no error', async () => {
    const name = await cluster.createNamespace();
    const ref = { resource: namespaces, name };
    const uid = (await client.get(ref))?.metadata.uid ?? '';
    expect(await client.delete(ref, { uid })).toBe('deleted');
    expect(await client.delete(ref, { uid })).toBeOneOf(['deleted', 'gone']);
  });
});

test('finalizers change only at the version that was observed', async () => {
  const object = {
    ...aConfigMap(),
    metadata: { namespace, name: 'held', finalizers: ['x.test/other', 'x.test/ours'] },
  };
  const ref = refOf(configMaps, object);
  const created = await client.create<ConfigMap>(configMaps, object);
  await cluster.kubectl('label', 'configmap', 'held', '-n', namespace, 'touched=yes');
  const run = (held: StoredObject) =>
    Promise.all(
      removeFinalizer(ref, held, 'x.test/ours').map((action) => execute(action, { client, log: silentLogger })),
    );
  await expect(run(created)).rejects.toMatchObject({ code: 'Conflict' });
  const fresh = await client.get(ref);
  await run(fresh ?? created);
  expect((await client.get(ref))?.metadata.finalizers).toEqual(['x.test/other']);
  const now = await client.get(ref);
  await client.setFinalizers(ref, [], now?.metadata.resourceVersion ?? '');
});

test('a create over a stranger’s pod is NameConflict and leaves it alone; over our own it is done', async () => {
  const owner = await client.create<ConfigMap>(configMaps, aConfigMap());
  const ownerReferences = [
    { apiVersion: 'v1', kind: 'ConfigMap', name: owner.metadata.name, uid: owner.metadata.uid, controller: true },
  ];
  const pod = (name: string, references: typeof ownerReferences, image: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, ownerReferences: references },
    spec: { containers: [{ name: 'c', image }] },
  });
  const ports = { client, log: silentLogger };
  const stranger = await client.create(pods, pod('taken', [], 'stranger'));
  const create = (name: string) =>
    execute({ kind: 'create', resource: pods, object: pod(name, ownerReferences, 'ours') }, ports);
  await expect(create('taken')).rejects.toMatchObject({ code: 'NameConflict', kind: 'retryable' });
  const standing = await client.get(refOf(pods, stranger));
  expect(standing?.metadata.uid).toBe(stranger.metadata.uid);
  expect(standing).toMatchObject({ spec: { containers: [{ image: 'stranger' }] } });
  await create('free');
  await create('free');
});

test('an Event is what kubectl describe shows', async () => {
  const object = aConfigMap();
  const { metadata } = await client.create(configMaps, object);
  const { name } = metadata;
  const regarding = { apiVersion: 'v1', kind: 'ConfigMap', namespace, name, uid: metadata.uid };
  const note = `It is ready. ${'ü'.repeat(1_000)}`;
  await client.createEvent({
    kind: 'event',
    type: 'Normal',
    regarding,
    reason: 'AgentReady',
    action: 'Reconcile',
    note,
  });
  await eventually('kubectl describe shows it', async () => {
    const shown = await cluster.kubectl('describe', 'configmap', name, '-n', namespace);
    return /Normal\s+AgentReady\s+\S+s\s+openos\.dev\/controller\s+It is ready\./.test(shown);
  });
});

test('an Event about a cluster-scoped object is in the default namespace; a going namespace refuses', async () => {
  const name = await cluster.createNamespace();
  const uid = (await client.get({ resource: namespaces, name }))?.metadata.uid ?? '';
  const event = { kind: 'event', type: 'Warning', reason: 'R', action: 'A', note: 'n' } as const;
  await client.createEvent({ ...event, regarding: { apiVersion: 'v1', kind: 'Namespace', name, uid } });
  expect(
    await cluster.kubectl('get', 'events', '-n', 'default', '--field-selector', `involvedObject.uid=${uid}`),
  ).toContain('Warning');
  await cluster.kubectl('delete', 'namespace', name, '--wait=false');
  const regarding = { apiVersion: 'v1', kind: 'ConfigMap', namespace: name, name: 'x', uid: 'u' };
  await eventually('the namespace refuses', () =>
    client.createEvent({ ...event, regarding }).then(
      () => false,
      ({ code }) => code === 'Forbidden' || code === 'NotFound',
    ),
  );
  await execute({ ...event, regarding }, { client, log: silentLogger });
});

test('the version is told, and every request is counted', async () => {
  const samples: RequestSample[] = [];
  const onRequest = (sample: RequestSample) => void samples.push(sample);
  const counted = new KubeClient(new Transport({ credentials: cluster.credentials, version: 'test', onRequest }));
  expect(await counted.serverVersion()).toMatch(/^v1\.\d+\.\d+/);
  await counted.get({ resource: pods, namespace, name: 'nowhere' });
  await counted.close();
  expect(samples.map(({ verb, resource, status }) => [verb, resource, status])).toEqual([
    ['GET', 'other', 200],
    ['GET', 'pods', 404],
  ]);
});

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ScriptedApiServer } from '../testkit/api-server.ts';
import { eventually } from '../testkit/eventually.ts';
import type { EventAction } from './action.ts';
import { KubeClient } from './client.ts';
import type { KubernetesObject, ResourceType, StoredObject } from './object.ts';
import { Transport } from './transport.ts';

const things: ResourceType = { group: 'x.dev', version: 'v1', kind: 'Thing', plural: 'things', namespaced: true };
const metadata = { namespace: 'ns', name: 'one', uid: 'u', resourceVersion: '1' };
const thing: StoredObject & KubernetesObject = { apiVersion: 'x.dev/v1', kind: 'Thing', metadata };
const event: EventAction = {
  kind: 'event',
  type: 'Normal',
  regarding: { apiVersion: 'x.dev/v1', kind: 'Thing', namespace: 'ns', name: 'one', uid: 'u' },
  reason: 'Tested',
  action: 'Test',
  note: 'none',
};
const ref = { resource: things, namespace: 'ns', name: 'one' };

let server: ScriptedApiServer;
let transport: Transport;
let broken: AbortController;
let holds: boolean;
let client: KubeClient;

beforeEach(async () => {
  server = await new ScriptedApiServer().start();
  transport = new Transport({ credentials: server.credentials, version: 'test', connections: 1 });
  broken = new AbortController();
  holds = true;
  client = new KubeClient(transport).behind({ holds: () => holds, broken: broken.signal });
});

afterEach(async () => {
  await transport.close();
  await server.close();
});

const writes: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['create', () => client.create(things, thing)],
  ['replace', () => client.replace(things, thing)],
  ['apply', () => client.apply(things, thing)],
  ['updateStatus', () => client.updateStatus({ ref, uid: 'u', resourceVersion: '1', status: {} })],
  ['delete', () => client.delete(ref, { uid: 'u' })],
  ['setFinalizers', () => client.setFinalizers(ref, [], '1')],
  ['createEvent', () => client.createEvent(event)],
];

describe('behind a fence', () => {
  test.each(writes)('%s passes while it holds, and not a byte leaves when it is down', async (_, write) => {
    await write();
    expect(server.requests).toHaveLength(1);
    holds = false;
    await expect(write()).rejects.toMatchObject({ code: 'NotLeader', kind: 'conflict' });
    expect(server.requests).toHaveLength(1);
  });

  test('reading goes on', async () => {
    holds = false;
    await client.get(ref);
    await client.list(things);
    expect(server.requests).toHaveLength(2);
  });

  test('a write that waited for a connection is looked at again when it gets one', async () => {
    const answered = Promise.withResolvers<void>();
    server.answers.push(() => {
      holds = false;
      answered.resolve();
      return { body: {} };
    });
    const reading = client.get(ref);
    const writing = client.create(things, thing);
    await expect(writing).rejects.toMatchObject({ code: 'NotLeader' });
    await Promise.all([reading, answered.promise]);
    expect(server.requests.map(({ method }) => method)).toEqual(['GET']);
  });

  test('a write in flight is given up when the fence breaks', async () => {
    server.answers.push({ silent: true });
    const writing = client.create(things, thing);
    const given = expect(writing).rejects.toMatchObject({ code: 'Aborted' });
    await eventually('the server has the request', () => server.requests.length === 1);
    broken.abort();
    await given;
  });
});

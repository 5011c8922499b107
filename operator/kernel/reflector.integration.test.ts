import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { listOf, ScriptedApiServer, statusOf, type WatchStream } from '../testkit/api-server.ts';
import { eventually } from '../testkit/eventually.ts';
import { KubeClient } from './client.ts';
import { systemClock } from './clock.ts';
import { silentLogger } from './logger.ts';
import type { ResourceType, StoredObject } from './object.ts';
import { Reflector, type ReflectorOptions } from './reflector.ts';
import { Transport } from './transport.ts';

const things: ResourceType = { group: 'x.dev', version: 'v1', kind: 'Thing', plural: 'things', namespaced: true };

function aThing(uid: string, resourceVersion: string, name = uid): StoredObject {
  return { apiVersion: 'x.dev/v1', kind: 'Thing', metadata: { namespace: 'ns', name, uid, resourceVersion } };
}

let server: ScriptedApiServer;
let transport: Transport;
let stop: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  server = await new ScriptedApiServer().start();
  transport = new Transport({ credentials: server.credentials, version: 'test', answerTimeoutMs: 2_000 });
  stop = new AbortController();
  running = Promise.resolve();
});

afterEach(async () => {
  stop.abort();
  await running;
  await transport.close();
  await server.close();
});

type Change = readonly [type: string, uid: string, version: string, initial: boolean];

function start(options: Partial<ReflectorOptions<StoredObject>> = {}) {
  const changes: Change[] = [];
  const errors: string[] = [];
  const events: string[] = [];
  const reflector = new Reflector<StoredObject>({
    client: new KubeClient(transport),
    resource: things,
    clock: systemClock,
    log: silentLogger,
    hooks: { onError: (code) => void errors.push(code), onEvent: (type) => void events.push(type) },
    timings: { backoffMs: [5, 50] },
    ...options,
  });
  reflector.onChange((type, object, _, initial) => {
    changes.push([type, object.metadata.uid, object.metadata.resourceVersion, initial]);
  });
  running = reflector.run(stop.signal);
  return { reflector, changes, errors, events };
}

const openWatch = (n: number): Promise<WatchStream> =>
  eventually(`watch number ${n} is open`, () => server.watchRequests.length >= n && [...server.openWatches].at(-1));

const have = (reflector: Reflector<StoredObject>, ...uids: string[]) =>
  eventually(`the cache holds ${uids}`, () => {
    const held = reflector.list().map(({ metadata }) => metadata.uid);
    return JSON.stringify(held.sort()) === JSON.stringify([...uids].sort());
  });

describe('list and watch', () => {
  test('lists in pages, then goes on from the version of the list', async () => {
    server.answers.push(listOf([aThing('a', '3')], '9', 'more'), listOf([aThing('b', '4')], '9'));
    const { reflector, changes } = start({ selection: { labelSelector: 'x=y', fieldSelector: 'metadata.name=a' } });
    expect(reflector.synced).toBe(false);
    await reflector.whenSynced;
    expect(reflector.synced).toBe(true);
    const stream = await openWatch(1);
    const { query } = stream;
    expect([query.get('resourceVersion'), query.get('allowWatchBookmarks')]).toEqual(['9', 'true']);
    expect(Number(query.get('timeoutSeconds'))).toBeGreaterThanOrEqual(300);
    expect(Number(query.get('timeoutSeconds'))).toBeLessThanOrEqual(600);
    for (const { query: asked } of server.requests) expect(asked.get('labelSelector')).toBe('x=y');
    stream.send('MODIFIED', aThing('a', '10'));
    stream.send('ADDED', aThing('c', '11'));
    stream.send('DELETED', aThing('b', '12'));
    await have(reflector, 'a', 'c');
    expect(changes).toEqual([
      ['added', 'a', '3', true],
      ['added', 'b', '4', true],
      ['modified', 'a', '10', false],
      ['added', 'c', '11', false],
      ['deleted', 'b', '12', false],
    ]);
  });

  test('a watch that ends or breaks goes on after the last event or bookmark, without a list', async () => {
    const { reflector, errors, events } = start();
    const first = await openWatch(1);
    first.send('ADDED', aThing('a', '5'));
    await have(reflector, 'a');
    first.end();
    const second = await openWatch(2);
    expect(second.query.get('resourceVersion')).toBe('5');
    second.bookmark('70');
    await eventually('the bookmark has arrived', () => events.includes('bookmark'));
    second.destroy();
    const third = await openWatch(3);
    expect(third.query.get('resourceVersion')).toBe('70');
    third.send('ADDED', aThing('b', '71'));
    await have(reflector, 'a', 'b');
    expect(errors).toEqual(['ApiServerUnavailable']);
    expect(server.lists).toHaveLength(1);
  });

  test('a character that is cut in two by the network arrives whole', async () => {
    const { reflector } = start();
    const stream = await openWatch(1);
    const line = Buffer.from(`${JSON.stringify({ type: 'ADDED', object: aThing('grün', '5') })}\n`);
    const cut = line.indexOf(0xc3) + 1;
    stream.raw(line.subarray(0, cut));
    await new Promise((resolve) => setImmediate(resolve));
    stream.raw(line.subarray(cut));
    await have(reflector, 'grün');
  });
});

describe('faults: events again, at most one list', () => {
  test('410 on the watch: one list, and what vanished meanwhile is deleted', async () => {
    server.answers.push(listOf([aThing('a', '3'), aThing('b', '4'), aThing('c', '5')], '9'));
    const { reflector, changes } = start();
    await reflector.whenSynced;
    changes.length = 0;
    server.otherwise = listOf([aThing('a', '3'), aThing('b', '20'), aThing('c2', '21', 'c')], '30');
    (await openWatch(1)).error(410, 'Expired');
    await have(reflector, 'a', 'b', 'c2');
    expect(changes).toEqual([
      ['modified', 'b', '20', false],
      ['deleted', 'c', '5', false],
      ['added', 'c2', '21', false],
    ]);
    expect((await openWatch(2)).query.get('resourceVersion')).toBe('30');
    expect(server.lists).toHaveLength(2);
  });

  test('410 instead of the watch; a version from the future (restored backup): one list each', async () => {
    const future = statusOf(504, 'Timeout');
    const body = { code: 504, reason: 'Timeout', details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } };
    server.watches.push(statusOf(410, 'Expired'), { ...future, body });
    const { reflector, errors } = start();
    await openWatch(3);
    expect(errors).toEqual(['Expired', 'Timeout']);
    expect(server.lists).toHaveLength(3);
    expect(reflector.synced).toBe(true);
  });

  test('410 between two pages: the list starts over', async () => {
    server.answers.push(listOf([aThing('a', '3')], '9', 'more'), statusOf(410, 'Expired'));
    server.otherwise = listOf([aThing('b', '12')], '12');
    const { reflector } = start();
    await have(reflector, 'b');
    expect(reflector.synced).toBe(true);
    expect(server.lists).toHaveLength(2);
  });

  test('429 with Retry-After: not before that time', async () => {
    server.answers.push(statusOf(429, 'TooManyRequests', { 'retry-after': '1' }));
    const began = performance.now();
    const { reflector, errors } = start();
    await reflector.whenSynced;
    expect(performance.now() - began).toBeGreaterThanOrEqual(1_000);
    expect(errors).toEqual(['TooManyRequests']);
    expect(server.requests).toHaveLength(2);
  });

  test('500, HTML from a proxy, truncated JSON, a connection that breaks: tried again until it works', async () => {
    server.answers.push(
      statusOf(500, 'InternalError'),
      { status: 502, text: '<html>Bad Gateway</html>' },
      { text: '{"metadata":{"resourceV' },
    );
    server.watches.push(
      (stream) => stream.destroy(),
      statusOf(500, 'InternalError'),
      (stream) => {
        stream.raw('{"type":"ADDED","obj');
        stream.end();
      },
    );
    const { reflector, errors } = start();
    const stream = await openWatch(4);
    stream.send('ADDED', aThing('a', '5'));
    await have(reflector, 'a');
    expect(errors).toEqual([
      'InternalError',
      'BadGateway',
      'MalformedAnswer',
      'ApiServerUnavailable',
      'InternalError',
      'MalformedAnswer',
    ]);
    expect(server.lists).toHaveLength(4);
  });

  test('a line that is no JSON ends the watch, and the next one goes on', async () => {
    server.watches.push((stream) => stream.raw('{"type":"ADDED","obj\n'));
    const { reflector, errors } = start();
    (await openWatch(2)).send('ADDED', aThing('a', '5'));
    await have(reflector, 'a');
    expect(errors).toEqual(['MalformedAnswer']);
  });

  test('a stream that goes silent without closing is given up at the deadline', async () => {
    const { reflector, errors } = start({ timings: { backoffMs: [5, 50], stallMs: 200 } });
    const silent = await openWatch(1);
    silent.send('ADDED', aThing('a', '5'));
    await silent.closed;
    const next = await openWatch(2);
    expect(next.query.get('resourceVersion')).toBe('5');
    next.send('ADDED', aThing('b', '6'));
    await have(reflector, 'a', 'b');
    expect(errors[0]).toBe('WatchStalled');
    expect(server.lists).toHaveLength(1);
  });

  test('a list that is never answered is given up', async () => {
    server.answers.push({ silent: true });
    const { reflector, errors } = start();
    await reflector.whenSynced;
    expect(errors).toEqual(['ApiServerUnavailable']);
  });

  test('a server that ends every watch at once is not hammered', async () => {
    server.watches.push(...Array.from({ length: 200 }, () => (stream: WatchStream) => stream.end()));
    const { reflector } = start({ timings: { backoffMs: [40, 400] } });
    await reflector.whenSynced;
    const began = performance.now();
    await eventually('a second has passed', () => performance.now() - began > 1_000);
    expect(server.watchRequests.length).toBeLessThan(20);
    expect(server.lists).toHaveLength(1);
  });

  test('while the server is away that can be seen, and it is found again within the longest wait', async () => {
    const { reflector } = start();
    const stream = await openWatch(1);
    stream.send('ADDED', aThing('a', '5'));
    await have(reflector, 'a');
    expect(reflector.disconnectedSince).toBeUndefined();
    server.watches.push(...Array.from({ length: 5 }, () => statusOf(503, 'ServiceUnavailable')));
    stream.destroy();
    await eventually('the break is noticed', () => reflector.disconnectedSince !== undefined);
    expect(reflector.get('a')).toBeDefined();
    await openWatch(7);
    await eventually('the connection is back', () => reflector.disconnectedSince === undefined);
  });
});

describe('handlers', () => {
  test('one that throws harms nobody', async () => {
    server.answers.push(listOf([aThing('a', '3')], '9'));
    const { reflector, changes } = start();
    reflector.onChange(() => {
      throw new Error('a bug');
    });
    await reflector.whenSynced;
    (await openWatch(1)).send('ADDED', aThing('b', '10'));
    await have(reflector, 'a', 'b');
    expect(changes).toHaveLength(2);
  });

  test('see the previous object, without managedFields and as transformed; the old one is frozen', async () => {
    const seen: unknown[] = [];
    const { reflector } = start({
      transform: (object) => ({ ...object, slim: true }),
      indexers: { first: ({ metadata }) => [metadata.uid[0] ?? ''] },
    });
    reflector.onChange((type, object, previous) => void seen.push([type, object, previous]));
    const stream = await openWatch(1);
    const object = aThing('a1', '5');
    stream.send('ADDED', { ...object, metadata: { ...object.metadata, managedFields: [{}] } });
    stream.send('MODIFIED', aThing('a1', '6'));
    await eventually('both have arrived', () => seen.length === 2);
    const slim = (version: string) => ({ ...aThing('a1', version), slim: true });
    expect(seen).toEqual([
      ['added', slim('5'), undefined],
      ['modified', slim('6'), slim('5')],
    ]);
    expect(reflector.byIndex('first', 'a')).toEqual([slim('6')]);
    expect(reflector.getByName('ns', 'a1')).toEqual(slim('6'));
    expect(Object.isFrozen(reflector.get('a1')?.metadata)).toBe(true);
  });

  test('hear nothing after the end', async () => {
    const { reflector, changes } = start();
    const stream = await openWatch(1);
    stream.send('ADDED', aThing('a', '5'));
    await have(reflector, 'a');
    stop.abort();
    await running;
    await stream.closed;
    expect(changes).toHaveLength(1);
    expect(server.openWatches.size).toBe(0);
  });
});

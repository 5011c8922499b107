import { describe, expect, test } from 'vitest';
import { FakeClock, settle } from '../testkit/clock.ts';
import { ApiError } from './errors.ts';
import { LeaderElector, type LeaderElectorOptions, type Leadership } from './leader.ts';
import { silentLogger } from './logger.ts';
import type { StoredObject } from './object.ts';

type Lease = StoredObject & { readonly spec?: Readonly<Record<string, unknown>> };
type Client = LeaderElectorOptions['client'];

/** One Lease on a server that checks versions as the real one does. */
function aServer() {
  const server = { lease: undefined as Lease | undefined, version: 0, down: false, writes: 0 };
  const answer = <T>(value: () => T): Promise<T> =>
    server.down ? Promise.reject(new ApiError('x', 503, {})) : Promise.resolve().then(value);
  const store = (object: { readonly metadata: object }) => {
    server.version += 1;
    server.writes += 1;
    server.lease = {
      ...object,
      metadata: { ...object.metadata, uid: 'u', resourceVersion: `${server.version}` },
    } as Lease;
    return server.lease;
  };
  const client = {
    get: () => answer(() => server.lease),
    create: (_: unknown, object: Lease) =>
      answer(() => {
        if (server.lease !== undefined) throw new ApiError('x', 409, { reason: 'AlreadyExists' });
        return store(object);
      }),
    replace: (_: unknown, object: Lease) =>
      answer(() => {
        if (object.metadata.resourceVersion !== `${server.version}`) throw new ApiError('x', 409, {});
        return store(object);
      }),
  };
  return { server, client: client as Client, store };
}

function anElector(client: Client, clock: FakeClock, options: Partial<LeaderElectorOptions> = {}) {
  const log: string[] = [];
  const stop = new AbortController();
  const elector = new LeaderElector({
    client,
    clock,
    namespace: 'ns',
    name: 'lease',
    identity: 'me',
    log: silentLogger,
    random: () => 1,
    onStartedLeading: async ({ ending }) => {
      log.push('leads');
      await new Promise((resolve) => ending.addEventListener('abort', resolve));
    },
    onStoppedLeading: () => void log.push('stopped'),
    ...options,
  });
  const running = elector.run(stop.signal);
  return { elector, log, stop, running };
}

const held = (by: string, renewTime: string) => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { namespace: 'ns', name: 'lease' },
  spec: { holderIdentity: by, leaseDurationSeconds: 15, renewTime, leaseTransitions: 4 },
});

describe('a candidate', () => {
  test('judges the holder by changes it sees, not by the time written in the Lease', async () => {
    const clock = new FakeClock();
    const { client, store } = aServer();
    // The holder's clock is a year behind; it renews every ten seconds by everybody's time.
    store(held('other', '2029-01-01T00:00:00.000000Z'));
    const { elector, log, stop, running } = anElector(client, clock);
    for (let i = 1; i <= 5; i += 1) {
      await clock.advance(10_000);
      store(held('other', `2029-01-01T00:00:${i}0.000000Z`));
    }
    expect(log).toEqual([]);
    // Seen changed at the latest 2 s from now; 15 s without a change after that.
    await clock.advance(14_999);
    expect(elector.isLeading).toBe(false);
    await clock.advance(2_100);
    expect(log).toEqual(['leads']);
    stop.abort();
    await clock.advance(0);
    await running;
  });

  test('takes a Lease that was given back at its next look', async () => {
    const clock = new FakeClock();
    const { client, server, store } = aServer();
    store(held('other', 'a'));
    const { log, stop, running } = anElector(client, clock);
    await settle();
    store(held('', 'b'));
    await clock.advance(2_000);
    expect(log).toEqual(['leads']);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'me', leaseTransitions: 5 });
    stop.abort();
    await running;
    expect(server.lease?.spec).toMatchObject({ holderIdentity: '' });
  });

  test('keeps looking while the server is away', async () => {
    const clock = new FakeClock();
    const { client, server } = aServer();
    server.down = true;
    const { log, stop, running } = anElector(client, clock);
    await clock.advance(60_000);
    server.down = false;
    await clock.advance(2_000);
    expect(log).toEqual(['leads']);
    stop.abort();
    await running;
  });
});

describe('the leader', () => {
  test('renews every two seconds with one write and no read', async () => {
    const clock = new FakeClock();
    const { client, server } = aServer();
    const { stop, running } = anElector(client, clock);
    await settle();
    const before = server.writes;
    await clock.advance(20_000);
    expect(server.writes - before).toBe(10);
    stop.abort();
    await running;
  });

  test('stops when it could not renew for ten seconds, before anybody else may start', async () => {
    const clock = new FakeClock();
    const { client, server } = aServer();
    const { elector, log, running } = anElector(client, clock);
    await settle();
    server.down = true;
    await clock.advance(9_999);
    expect(elector.isLeading).toBe(true);
    await clock.advance(2_001);
    await running;
    expect(log).toEqual(['leads', 'stopped']);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'me' });
  });

  test('that was frozen past the deadline knows on waking, before any timer or answer', async () => {
    const clock = new FakeClock();
    let offset = 0;
    const warped = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic() + offset,
      setTimer: clock.setTimer.bind(clock),
    };
    const { client, server } = aServer();
    const { elector, log, running } = anElector(client, clock, { clock: warped });
    await settle();
    const writes = server.writes;
    offset = 11_000;
    expect(elector.isLeading).toBe(false);
    await clock.advance(2_000);
    await running;
    expect(log).toEqual(['leads', 'stopped']);
    expect(server.writes).toBe(writes);
  });

  test('finishes its work before it gives the Lease back, and keeps it when the work does not end', async () => {
    const clock = new FakeClock();
    const { client, server } = aServer();
    const work = Promise.withResolvers<void>();
    const first = anElector(client, clock, { onStartedLeading: () => work.promise });
    await settle();
    first.stop.abort();
    await settle();
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'me' });
    work.resolve();
    await first.running;
    expect(server.lease?.spec).toMatchObject({ holderIdentity: '' });

    const endless = anElector(client, clock, { onStartedLeading: () => new Promise(() => {}) });
    await clock.advance(2_000);
    endless.stop.abort();
    await clock.advance(10_000);
    await endless.running;
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'me' });
  });

  test('that lost the Lease returns only when its work has ended, so that it may run again', async () => {
    const clock = new FakeClock();
    const { client, store } = aServer();
    const work = Promise.withResolvers<void>();
    const { elector, log, running } = anElector(client, clock, { onStartedLeading: () => work.promise });
    await settle();
    store(held('other', 'a'));
    await clock.advance(30_000);
    expect(elector.isLeading).toBe(false);
    expect(log).toEqual([]);
    work.resolve();
    await running;
    expect(log).toEqual(['stopped']);
  });

  test('whose work throws gives the Lease back', async () => {
    const clock = new FakeClock();
    const { client, server } = aServer();
    const { running, log } = anElector(client, clock, { onStartedLeading: () => Promise.reject(new Error('a bug')) });
    await running;
    expect(log).toEqual(['stopped']);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: '' });
  });

  test('told to stop may go on writing until the renewal deadline, and not after it', async () => {
    const clock = new FakeClock();
    const { client } = aServer();
    const term = Promise.withResolvers<Leadership>();
    const onStartedLeading = (leadership: Leadership) => {
      term.resolve(leadership);
      return new Promise<void>(() => {});
    };
    const { stop, running } = anElector(client, clock, { onStartedLeading });
    const { ending, fence } = await term.promise;
    expect([ending.aborted, fence.holds(), fence.broken.aborted]).toEqual([false, true, false]);
    stop.abort();
    await clock.advance(9_000);
    expect([ending.aborted, fence.holds(), fence.broken.aborted]).toEqual([true, true, false]);
    await clock.advance(1_000);
    expect([fence.holds(), fence.broken.aborted]).toEqual([false, true]);
    await running;
  });

  test('that lost the Lease may not write: neither its old term nor while the next one runs', async () => {
    const clock = new FakeClock();
    const { client, store } = aServer();
    const terms: Leadership[] = [];
    const onStartedLeading = (leadership: Leadership) => {
      terms.push(leadership);
      return new Promise<void>((resolve) => leadership.ending.addEventListener('abort', () => resolve()));
    };
    const { elector, running } = anElector(client, clock, { onStartedLeading });
    await settle();
    store(held('other', 'a'));
    await clock.advance(2_000);
    await running;
    expect(terms.map(({ fence }) => [fence.holds(), fence.broken.aborted])).toEqual([[false, true]]);
    const stop = new AbortController();
    const again = elector.run(stop.signal);
    await clock.advance(20_000);
    expect(terms.map(({ fence }) => fence.holds())).toEqual([false, true]);
    stop.abort();
    await again;
  });
});

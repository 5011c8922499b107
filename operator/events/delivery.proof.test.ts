import { randomInt, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { sql } from 'kysely';
import { connect } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pause, systemClock } from '../kernel/clock.ts';
import { silentLogger } from '../kernel/logger.ts';
import { outboxOf, outboxStats } from '../store/repositories/outbox.ts';
import { recordTransitions } from '../store/repositories/recording.ts';
import { unitOfWork } from '../store/unit-of-work.ts';
import {
  encodedRecording,
  everythingIn,
  firstAppearances,
  openTestBroker,
  streamSettings,
  untilAvailable,
  upTo,
} from '../testkit/events.ts';
import { eventually } from '../testkit/eventually.ts';
import { startNats, type TestNats } from '../testkit/nats.ts';
import { ServerProcess } from '../testkit/server-process.ts';
import { openTestDatabase, startStore, type TestStore } from '../testkit/store.ts';
import { TcpProxy } from '../testkit/tcp-proxy.ts';
import { Publisher } from './publisher.ts';
import { eventStream } from './streams.ts';

const writers = 64;
const leaseMs = 1_500;
const publisherProcess = join(import.meta.dirname, '../testkit/publisher-process.ts');

let store: TestStore;
let nats: TestNats;
const cleanup: (() => Promise<void>)[] = [];

beforeAll(async () => {
  store = await startStore({ poolSize: writers + 8 });
});
afterAll(() => store?.stop());
beforeEach(async () => {
  nats = await startNats();
  cleanup.push(() => nats.stop());
  // As the operator makes it, but for the shortest window in which the server recognises a repeat.
  const admin = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  await (await jetstreamManager(admin)).streams.add({ ...eventStream(streamSettings), duplicate_window: 100_000_000 });
  await admin.close();
});
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
  for (const table of ['outbox', 'transition'] as const) await db().deleteFrom(table).execute();
});

const db = () => store.database.db;
const drained = () => eventually('all is published', async () => (await outboxStats(db())).pending === 0, 120_000, 50);
const rest = (ms: number) => pause(systemClock, ms, new AbortController().signal);

async function startPublisher(
  ports: { readonly database?: number; readonly broker?: number } = {},
): Promise<ServerProcess> {
  const { database = store.postgres.port, broker = nats.port } = ports;
  const urls = [
    store.postgres.url.replace(`:${store.postgres.port}/`, `:${database}/`),
    nats.url.replace(`:${nats.port}`, `:${broker}`),
  ];
  const args = [publisherProcess, ...urls, `${leaseMs}`];
  const started = await ServerProcess.start({ command: process.execPath, args, readyText: 'publishing' });
  cleanup.push(() => started.end('SIGKILL'));
  return started;
}

/** Moves an agent forward in a transaction that stays open for this long after its statements; false when it was rolled back. */
function move(id: string, lastSeq: number, count: number, openMs: number, isRolledBack = false): Promise<boolean> {
  return unitOfWork(db(), store.epoch, async (trx) => {
    await recordTransitions(trx, encodedRecording({ epoch: store.epoch, id, lastSeq, count }));
    await rest(openMs);
    if (isRolledBack) throw new Error('rolled back');
  }).then(
    () => true,
    () => false,
  );
}

/** A writer with agents of its own, whose transactions overlap with everybody's; every fifth is rolled back. */
async function write(steps: number): Promise<void> {
  const last = new Map<string, number>(upTo(3).map(() => [randomUUID(), 0]));
  for (const step of upTo(steps)) {
    const [id = '', lastSeq = 0] = [...last][step % last.size] ?? [];
    const count = 1 + (step % 3);
    if (await move(id, lastSeq, count, randomInt(0, 200), step % 5 === 0)) last.set(id, lastSeq + count);
  }
}

/** What an independent consumer found, and what the record says of it. */
async function judged(): Promise<{ readonly events: number; readonly repeats: number }> {
  const rows = await db()
    .selectFrom('outbox')
    .select(['event_id', 'aggregate_id', 'aggregate_seq', 'attempts', 'state'])
    .orderBy('aggregate_id')
    .orderBy('aggregate_seq')
    .execute();
  const received = await everythingIn(nats);
  const told = firstAppearances(received);
  const recorded = Map.groupBy(rows, ({ aggregate_id }) => aggregate_id);
  for (const [id, events] of recorded) {
    expect(told.get(id), `first appearances of ${id}`).toEqual(events.map(({ aggregate_seq }) => aggregate_seq));
  }
  const ids = new Set(received.map(({ event }) => event.event_id));
  expect(ids).toEqual(new Set(rows.map(({ event_id }) => event_id)));
  expect(rows.filter(({ attempts, state }) => attempts > 0 || state !== 'Published')).toEqual([]);
  return { events: rows.length, repeats: received.length - ids.size };
}

function report(what: string, { events, repeats }: Awaited<ReturnType<typeof judged>>): void {
  process.stdout.write(`${what}: ${events} events, 0 lost, 0 out of order, ${repeats} repeats under the same id\n`);
}

test('64 writers, transactions of 0 to 200 ms, rollbacks, three publishers, no dedupe: nothing lost, nothing out of order', async () => {
  await Promise.all(upTo(3).map(() => startPublisher()));
  await Promise.all(upTo(writers).map(() => write(60)));
  await drained();
  const found = await judged();
  report('64 writers', found);
  expect(found.events).toBeGreaterThan(writers * 60);
  // Nobody died: three publishers at a time tell nothing twice.
  expect(found.repeats).toBe(0);
});

test('publishers that are told to stop under load lose and repeat nothing', async () => {
  const writing = Promise.all(upTo(16).map(() => write(60)));
  let handOvers = 0;
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  void writing.then(over, over);
  for (let current = await startPublisher(); !isOver; handOvers += 1) {
    const published = (await outboxCount('Published')) + 20;
    await eventually('it publishes', async () => isOver || (await outboxCount('Published')) > published, 30_000);
    const next = await startPublisher();
    await current.end('SIGTERM');
    current = next;
  }
  await writing;
  await drained();
  const found = await judged();
  report(`${handOvers} publishers told to stop`, found);
  expect(handOvers).toBeGreaterThan(2);
  expect(found.repeats).toBe(0);
});

async function outboxCount(state: 'Pending' | 'Published'): Promise<number> {
  const { count } = await db()
    .selectFrom('outbox')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('state', '=', state)
    .executeTakeFirstOrThrow();
  return count;
}

describe('a publisher that ends', () => {
  type Between = { readonly toDatabase: TcpProxy; readonly toBroker: TcpProxy };
  const leased = async () =>
    (await db().selectFrom('outbox').select('event_id').where('lease_owner', 'is not', null).execute()).length;
  const inStream = async () => (await everythingIn(nats)).length;
  const agents = 8;

  /** Each begins with a publisher that waits for work, and ends with its events in exactly this state. */
  const states: Readonly<Record<string, (between: Between, record: () => Promise<void>) => Promise<void>>> = {
    'with what it has claimed and not published': async ({ toBroker }, record) => {
      toBroker.hold('toServer');
      await record();
      await eventually('it publishes into nothing', async () => toBroker.held('toServer').includes('HPUB'));
      expect(await leased()).toBeGreaterThan(0);
      expect(await inStream()).toBe(0);
    },
    'with what is published, before the ack': async ({ toBroker }, record) => {
      toBroker.hold('toClient');
      await record();
      await eventually('the stream has them', async () => (await inStream()) === agents);
      expect(await outboxCount('Published')).toBe(0);
    },
    'with acks in hand, before they are marked': async ({ toBroker, toDatabase }, record) => {
      toBroker.hold('toClient');
      await record();
      await eventually('the stream has them', async () => (await inStream()) === agents);
      toDatabase.hold('toServer');
      toBroker.release();
      await eventually('it would mark them', () => toDatabase.held('toServer').includes('mark_published'));
      expect(await outboxCount('Published')).toBe(0);
    },
    'with marks it does not know of': async ({ toBroker, toDatabase }, record) => {
      toBroker.hold('toClient');
      await record();
      await eventually('the stream has them', async () => (await inStream()) === agents);
      toDatabase.hold('toClient');
      toBroker.release();
      await eventually('the first are marked', async () => (await outboxCount('Published')) > 0);
    },
  };

  /** Two events each: the second waits for the first. */
  async function recordAll(): Promise<void> {
    await Promise.all(upTo(agents).map(() => move(randomUUID(), 0, 2, 0)));
  }

  async function between(): Promise<Between> {
    const toDatabase = await new TcpProxy(store.postgres.port).start();
    const toBroker = await new TcpProxy(nats.port).start();
    cleanup.push(
      () => toDatabase.close(),
      () => toBroker.close(),
    );
    return { toDatabase, toBroker };
  }

  async function anHeir(): Promise<void> {
    const broker = openTestBroker(nats);
    await untilAvailable(broker);
    const publisher = new Publisher({ outbox: outboxOf(db()), broker, log: silentLogger, leaseMs });
    publisher.start();
    cleanup.push(async () => {
      await publisher.stop();
      await broker.close();
    });
  }

  async function aVictimIn(state: (between: Between, record: () => Promise<void>) => Promise<void>) {
    const proxies = await between();
    const victim = await startPublisher({ database: proxies.toDatabase.port, broker: proxies.toBroker.port });
    // One event on its way through says that it is connected to both.
    await move(randomUUID(), 0, 1, 0);
    await drained();
    const before = await inStream();
    expect(before).toBe(1);
    await db().deleteFrom('outbox').execute();
    await purge();
    await state(proxies, recordAll);
    return { victim, proxies };
  }

  async function purge(): Promise<void> {
    const admin = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
    await (await jetstreamManager(admin)).streams.purge('OPENOS_EVENTS');
    await admin.close();
  }

  test.each(Object.entries(states))('by SIGKILL %s: another one delivers all, in order', async (what, state) => {
    const { victim } = await aVictimIn(state);
    await victim.end('SIGKILL');
    await anHeir();
    await drained();
    const found = await judged();
    report(`SIGKILL ${what}`, found);
    expect(found.events).toBe(agents * 2);
  });

  test.each(
    Object.entries(states),
  )('for longer than its lease, by SIGSTOP, %s: the same, and its return changes nothing', async (what, state) => {
    const { victim, proxies } = await aVictimIn(state);
    victim.signal('SIGSTOP');
    await anHeir();
    await drained();
    await judged();
    victim.signal('SIGCONT');
    for (const proxy of Object.values(proxies)) proxy.release();
    // What it still had to say has been said when it publishes new events, behind it on the same connections.
    await recordAll();
    await drained();
    await victim.end('SIGTERM');
    const found = await judged();
    report(`SIGSTOP ${what}`, found);
    expect(found.events).toBe(agents * 4);
  });
});

describe('a Postgres that fails under load', () => {
  async function underLoad(fault: () => Promise<unknown>): Promise<void> {
    await startPublisher();
    const writing = Promise.all(upTo(16).map(() => write(40)));
    for (const round of upTo(3)) {
      await eventually('some are published', async () => (await outboxCount('Published')) > round * 100, 30_000);
      await fault();
    }
    await writing;
    await drained();
  }

  test('by restarting delivers all', async () => {
    await underLoad(async () => {
      await store.postgres.restart();
      await eventually('Postgres is back', () => store.database.ping().then(() => true));
    });
    report('Postgres restarted three times', await judged());
  });

  test('by ending every backend of the publisher delivers all', async () => {
    // After the last round it may have none for a moment: it connects anew when it next wants to claim.
    const isAnyEnded = async () => {
      const { rows } = await sql<{ ended: boolean }>`select pg_terminate_backend(pid) as ended from pg_stat_activity
        where application_name = 'publisher-process'`.execute(db());
      return rows.length > 0;
    };
    await underLoad(() => eventually('a backend of the publisher is ended', isAnyEnded, 10_000));
    report('backends killed three times', await judged());
  });
});

test('a publisher without a free connection waits, and delivers all when there is one', async () => {
  const crowded = openTestDatabase(store.postgres, 2);
  cleanup.push(() => crowded.close());
  const broker = openTestBroker(nats);
  await untilAvailable(broker);
  const publisher = new Publisher({ outbox: outboxOf(crowded.db), broker, log: silentLogger, leaseMs });
  cleanup.push(async () => {
    await publisher.stop();
    await broker.close();
  });
  const { promise: free, resolve: leave } = Promise.withResolvers<void>();
  const occupants = upTo(2).map(() =>
    crowded.db.transaction().execute(async (trx) => {
      await sql`set local idle_in_transaction_session_timeout = 0`.execute(trx);
      await free;
    }),
  );
  await eventually('no connection is free', async () => {
    const { rows } = await sql<{ count: number }>`select count(*)::integer as count from pg_stat_activity
      where state = 'idle in transaction'`.execute(db());
    return rows[0]?.count === 2;
  });
  publisher.start();
  await Promise.all(upTo(8).map(() => write(10)));
  await eventually('the publisher gave up waiting', () => !crowded.available, 20_000);
  expect(await outboxCount('Published')).toBe(0);
  leave();
  await Promise.all(occupants);
  await drained();
  report('no connection free', await judged());
});

import { randomUUID } from 'node:crypto';
import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  jetstreamManager,
} from '@nats-io/jetstream';
import { connect } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import { acknowledgementStoreOf } from '../store/repositories/acknowledgement.ts';
import { outboxOf } from '../store/repositories/outbox.ts';
import { recordTransitions } from '../store/repositories/recording.ts';
import { encodedRecording, openTestBroker, streamSettings, untilAvailable } from '../testkit/events.ts';
import { eventually } from '../testkit/eventually.ts';
import { startNats, type TestNats } from '../testkit/nats.ts';
import { startStore, type TestStore } from '../testkit/store.ts';
import { type AckObstacle, AckWatcher } from './ack-watcher.ts';
import type { NatsBroker } from './nats-broker.ts';
import { natsObserver } from './nats-observer.ts';
import { Publisher } from './publisher.ts';
import { eventStream, streamName } from './streams.ts';

let store: TestStore;
let nats: TestNats;
let broker: NatsBroker;
let publisher: Publisher;
const cleanup: (() => Promise<void>)[] = [];
const watchers = new Set<AckWatcher>();

beforeAll(async () => {
  store = await startStore();
});
afterAll(() => store.stop());
beforeEach(async () => {
  nats = await startNats();
  cleanup.push(() => nats.stop());
  broker = openTestBroker(nats);
  await untilAvailable(broker);
  publisher = new Publisher({
    outbox: outboxOf(db()),
    broker,
    log: silentLogger,
    onSettled: () => watchers.forEach((watcher) => void watcher.nudge()),
  });
  publisher.start();
  cleanup.push(async () => {
    await publisher.stop();
    await broker.close();
  });
});
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
  watchers.clear();
  for (const table of ['outbox', 'stream_watermark', 'required_consumer'] as const)
    await db().deleteFrom(table).execute();
});

const db = () => store.database.db;

type Watched = {
  readonly acknowledged: ReadonlySet<string>;
  readonly obstacle: () => AckObstacle | undefined;
  /** Resolves when the watcher has looked so often that what it would acknowledge is acknowledged. */
  readonly settled: () => Promise<void>;
};

function watch(required: readonly string[] = ['billing']): Watched {
  const acknowledged = new Set<string>();
  let obstacle: AckObstacle | undefined;
  let rounds = 0;
  const watcher = new AckWatcher({
    store: acknowledgementStoreOf(db()),
    observer: natsObserver(broker),
    broker,
    limits: streamSettings,
    required,
    log: silentLogger,
    pollMs: 20,
    onAcknowledged: (events) => events.forEach(({ aggregateId }) => void acknowledged.add(aggregateId)),
    onObstacle: (now) => {
      obstacle = now;
    },
    metrics: {
      unacknowledged: () => {
        rounds += 1;
      },
      eventsAcknowledged: () => undefined,
      consumerLag: () => undefined,
      consumerBacklog: () => undefined,
      consumerMissed: () => undefined,
    },
  });
  watcher.start();
  watchers.add(watcher);
  cleanup.push(() => watcher.stop());
  return {
    acknowledged,
    obstacle: () => obstacle,
    settled: async () => {
      const enough = rounds + 5;
      await eventually('the watcher has looked again', () => {
        watcher.nudge();
        return rounds >= enough;
      });
    },
  };
}

type Admin = { readonly manager: JetStreamManager; readonly client: JetStreamClient };

async function anAdmin(): Promise<Admin> {
  const connection = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  cleanup.push(() => connection.close());
  const manager = await jetstreamManager(connection);
  return { manager, client: manager.jetstream() };
}

async function aConsumer(admin: Admin, over: Partial<ConsumerConfig> = {}): Promise<void> {
  await admin.manager.consumers.add(streamName, {
    durable_name: 'billing',
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ...over,
  });
}

/** Takes `count` messages and acknowledges those it is not told to leave. */
async function consume(admin: Admin, count: number, leave: (seq: number) => boolean = () => false): Promise<void> {
  const consumer = await admin.client.consumers.get(streamName, 'billing');
  let taken = 0;
  while (taken < count) {
    for await (const message of await consumer.fetch({ max_messages: count - taken, expires: 1_000 })) {
      taken += 1;
      if (!leave(message.seq)) await message.ackAck();
    }
  }
}

const floorAt = (admin: Admin, seq: number) =>
  eventually(`the ack floor is at ${seq}`, async () => {
    const { ack_floor } = await admin.manager.consumers.info(streamName, 'billing');
    return ack_floor.stream_seq >= seq;
  });

/** Records events one after the other, each of an agent of its own, and waits until they are on the stream. */
async function publish(count: number): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const id = randomUUID();
    await recordTransitions(db(), encodedRecording({ epoch: store.epoch, id }));
    publisher.nudge(id);
    await eventually('it is published', async () => (await stateOf(id)) !== 'Pending');
    ids.push(id);
  }
  return ids;
}

async function stateOf(id: string | undefined): Promise<string | undefined> {
  const row = await db()
    .selectFrom('outbox')
    .select('state')
    .where('aggregate_id', '=', id ?? '')
    .executeTakeFirst();
  return row?.state;
}

const statesOf = (ids: readonly string[]) => Promise.all(ids.map(stateOf));
const become = (ids: readonly string[], state: string) =>
  eventually(`all are ${state}`, async () => (await statesOf(ids)).every((each) => each === state));

describe('an event is acknowledged', () => {
  test('when every required consumer has acknowledged it, and its agent is told', async () => {
    const admin = await anAdmin();
    await aConsumer(admin);
    await aConsumer(admin, { durable_name: 'search' });
    const watched = watch(['billing', 'search']);
    const ids = await publish(3);
    await consume(admin, 3);
    await watched.settled();
    expect(await statesOf(ids)).toEqual(['Published', 'Published', 'Published']);
    const search = await admin.client.consumers.get(streamName, 'search');
    for await (const message of await search.fetch({ max_messages: 2, expires: 1_000 })) await message.ackAck();
    await become(ids.slice(0, 2), 'Acknowledged');
    expect(await stateOf(ids[2])).toBe('Published');
    expect([...watched.acknowledged].sort()).toEqual(ids.slice(0, 2).toSorted());
    expect(watched.obstacle()).toBeUndefined();
  });

  test('by the thousand, and by a watcher that begins late', async () => {
    const admin = await anAdmin();
    await aConsumer(admin);
    await recordTransitions(db(), encodedRecording({ epoch: store.epoch, count: 1_300 }));
    publisher.nudge();
    await consume(admin, 1_300);
    watch();
    await eventually('all are acknowledged', async () => {
      const rows = await db().selectFrom('outbox').select('state').distinct().execute();
      return rows.length === 1 && rows[0]?.state === 'Acknowledged';
    });
    // Written last: who dies in between marks the same rows again, and none is left out.
    await eventually('the watermark is where they end', async () => {
      const mark = await db().selectFrom('stream_watermark').selectAll().executeTakeFirstOrThrow();
      expect(mark).toMatchObject({ greatest_seq: 1_300, acknowledged_seq: 1_300, halted_reason: null });
      return true;
    });
  });

  test('not while a required consumer is missing, and again when it is back', async () => {
    const watched = watch();
    const ids = await publish(1);
    await eventually('it is noticed', () => watched.obstacle()?.reason === 'ConsumerMissing');
    const admin = await anAdmin();
    await aConsumer(admin);
    await consume(admin, 1);
    await become(ids, 'Acknowledged');
    expect(watched.obstacle()).toBeUndefined();
  });
});

describe('an ack floor is not believed', () => {
  test('for a message whose deliveries are used up', async () => {
    const admin = await anAdmin();
    await aConsumer(admin, { max_deliver: 1, ack_wait: 100_000_000 });
    const watched = watch();
    const [lost, ...others] = await publish(3);
    await consume(admin, 3, (seq) => seq === 1);
    const consumer = await admin.client.consumers.get(streamName, 'billing');
    await eventually('the server has given it up', async () => {
      // It notices when it would deliver it once more.
      expect(await consumer.next({ expires: 1_000 })).toBeNull();
      return (await admin.manager.streams.info('OPENOS_ADVISORIES')).state.messages === 1;
    });
    others.push(...(await publish(1)));
    await consume(admin, 1);
    await floorAt(admin, 4);
    await become(others, 'Acknowledged');
    await watched.settled();
    expect(await stateOf(lost)).toBe('Published');
  });

  test('for a message that the consumer ended', async () => {
    const admin = await anAdmin();
    await aConsumer(admin);
    const watched = watch();
    const [ended, other] = await publish(2);
    const consumer = await admin.client.consumers.get(streamName, 'billing');
    for await (const message of await consumer.fetch({ max_messages: 2, expires: 1_000 })) {
      if (message.seq === 1) message.term('unreadable');
      else await message.ackAck();
    }
    await floorAt(admin, 2);
    await become([other ?? ''], 'Acknowledged');
    await watched.settled();
    expect(await stateOf(ended)).toBe('Published');
  });

  test('for what a purge took', async () => {
    const admin = await anAdmin();
    await aConsumer(admin);
    const purged = await publish(3);
    await admin.manager.streams.purge(streamName);
    await floorAt(admin, 3);
    const watched = watch();
    const later = await publish(1);
    await consume(admin, 1);
    await become(later, 'Acknowledged');
    await watched.settled();
    expect(await statesOf(purged)).toEqual(['Published', 'Published', 'Published']);
  });

  test('for one message that was deleted', async () => {
    const admin = await anAdmin();
    await aConsumer(admin);
    const [first, deleted, last] = await publish(3);
    await admin.manager.streams.deleteMessage(streamName, 2);
    const watched = watch();
    await consume(admin, 2);
    await floorAt(admin, 3);
    await become([first ?? '', last ?? ''], 'Acknowledged');
    await watched.settled();
    expect(await stateOf(deleted)).toBe('Published');
  });

  test('for what the consumer filters out', async () => {
    const admin = await anAdmin();
    await aConsumer(admin, { filter_subject: 'openos.events.other.>' });
    const watched = watch();
    const unseen = await publish(2);
    const seen = randomUUID();
    await recordTransitions(db(), encodedRecording({ epoch: store.epoch, id: seen, tenantId: 'other' }));
    publisher.nudge(seen);
    await consume(admin, 1);
    await floorAt(admin, 3);
    await become([seen], 'Acknowledged');
    await watched.settled();
    expect(await statesOf(unseen)).toEqual(['Published', 'Published']);
    expect(watched.obstacle()?.reason).toBe('ConsumerUnfit');
  });

  test('for what was there before a consumer of new messages', async () => {
    const admin = await anAdmin();
    const before = await publish(2);
    await aConsumer(admin, { deliver_policy: DeliverPolicy.New });
    await floorAt(admin, 2);
    const watched = watch();
    await watched.settled();
    const after = await publish(1);
    await consume(admin, 1);
    await become(after, 'Acknowledged');
    await watched.settled();
    expect(await statesOf(before)).toEqual(['Published', 'Published']);
  });

  test.each([
    ['at once', true],
    ['when it is past where it was', false],
  ])('for what a store that was put back has lost, noticed %s', async (_, atOnce) => {
    const admin = await anAdmin();
    await aConsumer(admin);
    await publish(2);
    await consume(admin, 2);
    await nats.backUp();
    await eventually('the broker is back', () => broker.state.available);
    const lost = await publish(3);
    const early = atOnce ? watch() : undefined;
    await nats.putBack();
    if (early) await eventually('it is noticed', () => early.obstacle()?.reason === 'StreamDiscontinuity');
    await eventually('the broker is back', () => broker.state.available);
    const later = await publish(5);
    const again = await anAdmin();
    await consume(again, 5);
    await floorAt(again, 7);
    const watched = early ?? watch();
    await eventually('it is noticed', () => watched.obstacle()?.reason === 'StreamDiscontinuity');
    await watched.settled();
    expect(await statesOf(lost)).toEqual(['Published', 'Published', 'Published']);
    expect(await statesOf(later.slice(0, 3))).toEqual(['Published', 'Published', 'Published']);
  });

  test('for what was in a stream that another has taken the place of', async () => {
    const admin = await anAdmin();
    await aConsumer(admin);
    const gone = await publish(3);
    await admin.manager.streams.delete(streamName);
    await admin.manager.streams.add(eventStream(streamSettings));
    await aConsumer(admin);
    const watched = watch();
    const unaware = await publish(4);
    await consume(admin, 4);
    await floorAt(admin, 4);
    // Nobody told the publisher, so those look as if they were in the old stream as well, until the watcher has looked.
    await watched.settled();
    const aware = await publish(1);
    await consume(admin, 1);
    await become(aware, 'Acknowledged');
    await watched.settled();
    expect(await statesOf(gone)).toEqual(['Published', 'Published', 'Published']);
    expect(await statesOf(unaware)).not.toContain('Pending');
  });
});

import { randomUUID } from 'node:crypto';
import { AckPolicy, jetstreamManager } from '@nats-io/jetstream';
import { connect } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import { acknowledgementStoreOf } from '../store/repositories/acknowledgement.ts';
import { auditStoreOf } from '../store/repositories/audit.ts';
import { greatestStreamSeq, outboxOf } from '../store/repositories/outbox.ts';
import { recordTransitions } from '../store/repositories/recording.ts';
import {
  encodedRecording,
  everythingIn,
  openTestBroker,
  streamSettings,
  untilAvailable,
  upTo,
} from '../testkit/events.ts';
import { eventually } from '../testkit/eventually.ts';
import { startNats, type TestNats } from '../testkit/nats.ts';
import { startStore, type TestStore } from '../testkit/store.ts';
import { AckWatcher } from './ack-watcher.ts';
import { Auditor } from './auditor.ts';
import type { Discontinuity } from './auditor-checks.ts';
import type { NatsBroker } from './nats-broker.ts';
import { natsObserver } from './nats-observer.ts';
import { Publisher } from './publisher.ts';
import { eventStream, streamName } from './streams.ts';

/** As R10 has it: noticed within a minute, whatever the pace of the audit. */
const noticeDeadlineMs = 60_000;
/** So that the tests are short; the pace of production has a unit test. */
const auditMs = 1_000;

let store: TestStore;
let nats: TestNats;
let broker: NatsBroker;
let publisher: Publisher;
let watcher: AckWatcher;
let auditor: Auditor;
let found: (Discontinuity & { readonly lost: number })[];
const cleanup: (() => Promise<void>)[] = [];

const db = () => store.database.db;

beforeAll(async () => {
  store = await startStore();
});
afterAll(() => store.stop());

beforeEach(async () => {
  found = [];
  nats = await startNats({ syncAlways: true });
  cleanup.push(() => nats.stop());
  broker = openTestBroker(nats, { firstSequence: async () => (await greatestStreamSeq(db())) + 1 });
  await untilAvailable(broker);
  publisher = new Publisher({
    outbox: outboxOf(db()),
    broker,
    log: silentLogger,
    onSettled: () => watcher.nudge(),
    onSequenceReused: (message) => auditor.suspect(message),
  });
  const observer = natsObserver(broker);
  watcher = new AckWatcher({
    store: acknowledgementStoreOf(db()),
    observer,
    broker,
    limits: streamSettings,
    required: ['billing'],
    log: silentLogger,
    pollMs: 50,
  });
  auditor = new Auditor({
    store: auditStoreOf(db(), { actor: 'test', detail: {} }),
    observer,
    broker,
    limits: streamSettings,
    required: ['billing'],
    log: silentLogger,
    auditMs,
    onDiscontinuity: (discontinuity, lost) => found.push({ ...discontinuity, lost }),
    onReturned: () => publisher.nudge(),
  });
  publisher.start();
  watcher.start();
  auditor.start();
  cleanup.push(async () => {
    await Promise.all([publisher.stop(), watcher.stop(), auditor.stop()]);
    await broker.close();
  });
});
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
  for (const table of ['outbox', 'transition', 'stream_watermark', 'required_consumer'] as const)
    await db().deleteFrom(table).execute();
});

async function manage<Answer>(
  work: (manager: Awaited<ReturnType<typeof jetstreamManager>>) => Promise<Answer>,
): Promise<Answer> {
  const connection = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  try {
    return await work(await jetstreamManager(connection));
  } finally {
    await connection.close();
  }
}

/** The required consumer, which comes back whatever becomes of the stream. Answers the ids it has acknowledged. */
function bill(): ReadonlySet<string> {
  const had = new Set<string>();
  let isOver = false;
  const consume = () =>
    manage(async (manager) => {
      await manager.consumers.add(streamName, { durable_name: 'billing', ack_policy: AckPolicy.Explicit });
      const consumer = await manager.jetstream().consumers.get(streamName, 'billing');
      for await (const message of await consumer.fetch({ max_messages: 100, expires: 1_000 })) {
        // First: what it has acknowledged without our knowledge would look as if it were acknowledged for nothing.
        had.add(message.headers?.get('ce-id') ?? '');
        await message.ackAck();
      }
    });
  const running = (async () => {
    while (!isOver) await consume().catch(() => undefined);
  })();
  cleanup.push(async () => {
    isOver = true;
    await running;
  });
  return had;
}

type Traffic = { readonly end: () => Promise<ReadonlyMap<string, number>> };

/** Events of a few agents, one after the other, until it is ended; answers how many each has. */
function traffic(): Traffic {
  const recorded = new Map(Array.from({ length: 5 }, () => [randomUUID(), 0]));
  let isOver = false;
  const running = (async () => {
    while (!isOver) {
      for (const [id, lastSeq] of recorded) {
        await recordTransitions(db(), encodedRecording({ epoch: store.epoch, id, lastSeq }));
        recorded.set(id, lastSeq + 1);
        publisher.nudge(id);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const end = async () => {
    isOver = true;
    await running;
    return recorded;
  };
  cleanup.push(async () => void (await end()));
  return { end };
}

const compared = () =>
  eventually('the record was compared with the stream', async () => {
    const rows = await db().selectFrom('stream_watermark').select('first_seq').execute();
    return rows.some(({ first_seq }) => first_seq > 0);
  });
const outbox = () => db().selectFrom('outbox').select(['event_id', 'state', 'stream_seq']).execute();
const acknowledgedIds = async () =>
  (await outbox()).filter(({ state }) => state === 'Acknowledged').map(({ event_id }) => event_id);
const published = (count: number) =>
  eventually(
    `${count} are out`,
    async () => (await outbox()).filter(({ state }) => state !== 'Pending').length >= count,
    20_000,
  );
const acknowledged = (count: number) =>
  eventually(`${count} are acknowledged`, async () => (await acknowledgedIds()).length >= count, 20_000);
const noticed = (...reasons: readonly string[]) =>
  eventually(`${reasons} is noticed`, () => found.find(({ reason }) => reasons.includes(reason)), noticeDeadlineMs);

/** What was recorded is on the stream and recorded as being where it is. */
async function expectRebuilt(recorded: ReadonlyMap<string, number>): Promise<void> {
  await eventually(
    'everything recorded is on the stream, where the record says',
    async () => {
      const there = new Map((await everythingIn(nats)).map(({ event, streamSeq }) => [`${streamSeq}`, event.event_id]));
      const rows = await outbox();
      const missing = rows.filter(({ event_id, stream_seq }) => there.get(`${stream_seq}`) !== event_id);
      if (missing.length === 0) return true;
      throw new Error(`${missing.length} of ${rows.length}: ${JSON.stringify(missing.slice(0, 5))}`);
    },
    30_000,
    100,
  );
  const told = await everythingIn(nats);
  for (const [id, count] of recorded) {
    const sequences = told.filter(({ event }) => event.agent_id === id).map(({ event }) => event.sequence);
    expect([...new Set(sequences)].sort((a, b) => a - b)).toEqual(upTo(count));
  }
}

async function expectNothingFalselyAcknowledged(had: ReadonlySet<string>): Promise<void> {
  expect((await acknowledgedIds()).filter((id) => !had.has(id))).toEqual([]);
}

describe('amnesia of the broker is noticed and the stream rebuilt under traffic', { timeout: 180_000 }, () => {
  test.each<[string, readonly string[], () => Promise<unknown>]>([
    ['the stream is deleted', ['StreamReplaced'], () => manage(({ streams }) => streams.delete(streamName))],
    ['its store is wiped', ['StreamReplaced'], () => nats.wipe()],
    ['it is purged', ['MessagesPurged'], () => manage(({ streams }) => streams.purge(streamName))],
    [
      'one message is deleted',
      ['MessagesDeleted'],
      () => manage(({ streams }) => streams.deleteMessage(streamName, 7)),
    ],
    [
      'a stranger makes it again',
      // The publisher sees at once that numbers begin anew; when it missed the stream in between, the auditor that it is another.
      ['SequenceReused', 'StreamReplaced'],
      () =>
        manage(({ streams }) =>
          // As often as it takes: in between we may have made it again ourselves.
          eventually('the stream is the stranger’s', async () => {
            await streams.delete(streamName);
            return streams.add(eventStream(streamSettings)).then(
              () => true,
              () => false,
            );
          }),
        ),
    ],
  ])('when %s', async (_, reasons, forget) => {
    const had = bill();
    const { end } = traffic();
    await Promise.all([acknowledged(60), compared()]);
    await forget();
    const { lost } = await noticed(...reasons);
    expect(lost).toBeGreaterThan(0);
    const recorded = await end();
    await expectRebuilt(recorded);
    const total = (await outbox()).length;
    await acknowledged(total);
    await expectNothingFalselyAcknowledged(had);
    const watermark = await db().selectFrom('stream_watermark').selectAll().execute();
    expect(watermark.map((row) => row.halted_reason)).not.toContain(expect.any(String));
  });

  test('when its store is rolled back', async () => {
    const had = bill();
    const { end } = traffic();
    await Promise.all([acknowledged(40), compared()]);
    await nats.backUp();
    await eventually('the broker is back', () => broker.state.available);
    const before = (await outbox()).length;
    await published(before + 60);
    await nats.putBack();
    await eventually(
      'it is noticed',
      () => found.some(({ reason, isDeep, lost }) => isDeep && lost > 0 && reason !== 'StreamReplaced'),
      noticeDeadlineMs,
    );
    await published((await outbox()).length);
    const recorded = await end();
    await expectRebuilt(recorded);
    await eventually('the doubt is over', async () => {
      const rows = await db().selectFrom('stream_watermark').selectAll().execute();
      return rows.length > 0 && rows.every((row) => row.halted_reason === null);
    });
    // Only what may have stood under a number with another message is left as it is.
    const [{ doubt_from: from, doubt_through: through } = { doubt_from: 0, doubt_through: 0 }] = await db()
      .selectFrom('stream_watermark')
      .selectAll()
      .execute();
    await eventually(
      'all beyond the doubt are acknowledged',
      async () => {
        const open = (await outbox()).filter(({ state }) => state !== 'Acknowledged');
        const late = open.filter(({ stream_seq: seq }) => seq === null || seq < (from ?? 1) || seq > (through ?? 0));
        if (late.length === 0) return true;
        throw new Error(`${late.length} outside of ${from}–${through}: ${JSON.stringify(late.slice(0, 3))}`);
      },
      30_000,
    );
    await expectNothingFalselyAcknowledged(had);
  });
});

test('an audit of a stream that has everything changes nothing', async () => {
  bill();
  const { end } = traffic();
  await acknowledged(100);
  await end();
  const total = (await outbox()).length;
  await acknowledged(total);
  const before = await outbox();
  auditor.nudge();
  await eventually('it has been compared', async () => {
    const row = await db().selectFrom('stream_watermark').selectAll().executeTakeFirst();
    return (row?.first_seq ?? 0) > 0;
  });
  expect(found).toEqual([]);
  expect(await outbox()).toEqual(before);
});

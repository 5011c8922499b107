import { randomUUID } from 'node:crypto';
import { AckPolicy, DeliverPolicy, DiscardPolicy, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../kernel/clock.ts';
import { type Logger, silentLogger } from '../kernel/logger.ts';
import { acknowledgementStoreOf } from '../store/repositories/acknowledgement.ts';
import { auditStoreOf } from '../store/repositories/audit.ts';
import { outboxOf } from '../store/repositories/outbox.ts';
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
import { eventsInvocation } from './commands/index.ts';
import type { NatsBroker } from './nats-broker.ts';
import { natsObserver } from './nats-observer.ts';
import { Publisher } from './publisher.ts';
import { streamName } from './streams.ts';

type Line = {
  readonly code?: string;
  readonly command?: string;
  readonly firstSeq?: number;
  readonly lastSeq?: number;
};

/** Some thirty events. */
const small = { ...streamSettings, maxBytes: 32 * 2 ** 10 };

let store: TestStore;
let nats: TestNats;
let broker: NatsBroker;
let publisher: Publisher;
let warnings: Line[];
let alarms: string[];
const cleanup: (() => Promise<void>)[] = [];

const db = () => store.database.db;
const log: Logger = { ...silentLogger, warn: (fields) => warnings.push(fields as Line), child: () => log };

beforeAll(async () => {
  store = await startStore();
});
afterAll(() => store.stop());
beforeEach(async () => {
  [warnings, alarms] = [[], []];
  nats = await startNats();
  cleanup.push(() => nats.stop());
});
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
  for (const table of ['outbox', 'transition', 'stream_watermark', 'required_consumer'] as const)
    await db().deleteFrom(table).execute();
});

async function open(stream: typeof streamSettings): Promise<void> {
  broker = openTestBroker(nats, { stream, log });
  cleanup.push(() => broker.close());
  await untilAvailable(broker);
  publisher = new Publisher({ outbox: outboxOf(db()), broker, log });
  publisher.start();
  cleanup.push(() => publisher.stop());
}

/** The leader's far side, at a quicker pace. Answers how to end it. */
function watch(limits: typeof streamSettings): () => Promise<void> {
  const parts = { observer: natsObserver(broker), broker, limits, required: ['billing'], log };
  const onAlarm = ({ reason }: { readonly reason: string }) => void alarms.push(reason);
  const watcher = new AckWatcher({
    ...parts,
    store: acknowledgementStoreOf(db()),
    pollMs: 20,
    idleMs: 100,
    onAlarm,
  });
  const auditStore = auditStoreOf(db(), { actor: 'test', detail: {} });
  const auditor = new Auditor({ ...parts, store: auditStore, auditMs: 100, onAlarm });
  watcher.start();
  auditor.start();
  const stop = async () => {
    await Promise.all([watcher.stop(), auditor.stop()]);
  };
  cleanup.push(stop);
  return stop;
}

async function anAdmin(): Promise<JetStreamManager> {
  const connection = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  cleanup.push(() => connection.close());
  return jetstreamManager(connection);
}

const require = (admin: JetStreamManager, deliver_policy: DeliverPolicy = DeliverPolicy.All) =>
  admin.consumers.add(streamName, { durable_name: 'billing', ack_policy: AckPolicy.Explicit, deliver_policy });

/** Takes and acknowledges what there is. Answers the ids. */
async function bill(admin: JetStreamManager): Promise<readonly string[]> {
  const consumer = await admin.jetstream().consumers.get(streamName, 'billing');
  const had: string[] = [];
  for (let left = 1; left > 0; left = (await consumer.info()).num_pending) {
    for await (const message of await consumer.fetch({ max_messages: 100, expires: 1_000 })) {
      had.push(message.headers?.get('ce-id') ?? '');
      await message.ackAck();
    }
  }
  return had;
}

async function record(id: string, lastSeq: number, count: number): Promise<void> {
  await recordTransitions(db(), encodedRecording({ epoch: store.epoch, id, lastSeq, count }));
  publisher.nudge(id);
}

async function states(): Promise<readonly string[]> {
  const rows = await db().selectFrom('outbox').select('state').orderBy('pos').execute();
  return rows.map(({ state }) => state);
}

const all = (state: string) =>
  eventually(`every event is ${state}`, async () => (await states()).every((each) => each === state), 20_000);

async function run(command: string): Promise<readonly string[]> {
  const [, , ...args] = command.split(' ');
  const lines: string[] = [];
  const invocation = eventsInvocation([...args, '--output', 'json'], Date.now());
  if (invocation.kind !== 'run') throw new Error('asked for help');
  const print = (line: string) => void lines.push(line);
  const by = { actor: 'test', detail: {} };
  await invocation.run({ db: db(), broker, clock: systemClock, print, progress: () => undefined, by });
  return lines;
}

describe('a stream that is full', () => {
  test('takes new events all the same, and tells of the consumer that is overtaken, with the way back', async () => {
    await open(small);
    const admin = await anAdmin();
    await require(admin);
    const stop = watch(small);
    const id = randomUUID();
    await record(id, 0, 4);
    await all('Published');
    await bill(admin);
    await all('Acknowledged');

    // Nobody watches meanwhile, so that all of it is told at once.
    await stop();
    await record(id, 4, 56);
    await eventually('all are published', async () => !(await states()).includes('Pending'), 20_000);
    watch(small);
    await eventually('it is told', () => alarms.includes('ConsumerOvertaken'), 20_000);
    expect(new Set(alarms)).toEqual(new Set(['StreamFull', 'ConsumerLagging', 'ConsumerOvertaken']));
    const { state } = await admin.streams.info(streamName);
    const told = warnings.find(({ code }) => code === 'ConsumerOvertaken');
    expect(told).toMatchObject({ firstSeq: 5, lastSeq: state.first_seq - 1 });
    expect((await states()).filter((each) => each === 'Expired')).toHaveLength(state.first_seq - 5);

    const rest = await bill(admin);
    const replayed = await run(told?.command ?? '');
    expect(replayed).toHaveLength(state.first_seq - 5);
    publisher.nudge(id);
    await eventually('all are published again', async () => !(await states()).includes('Pending'), 20_000);
    const missed = await bill(admin);
    await all('Acknowledged');
    expect(new Set([...rest, ...missed]).size).toBe(56);
  });

  test('by rule of somebody else refuses events: they wait, count no attempt, and go out in order when there is room', async () => {
    await open(small);
    const admin = await anAdmin();
    const { config } = await admin.streams.info(streamName);
    await admin.streams.update(streamName, { ...config, discard: DiscardPolicy.New });
    const id = randomUUID();
    await record(id, 0, 100);
    await record(randomUUID(), 0, 1);
    await eventually('it is told', () => warnings.some(({ code }) => code === 'StreamFull'), 20_000);
    expect(broker.state.available).toBe(true);
    const waiting = db().selectFrom('outbox').where('state', '=', 'Pending').select(['attempts', 'last_error']);
    expect(new Set((await waiting.execute()).map((row) => JSON.stringify(row)))).toEqual(
      new Set([JSON.stringify({ attempts: 0, last_error: null })]),
    );
    expect(await states()).not.toContain('DeadLettered');

    await admin.streams.update(streamName, { ...config, discard: DiscardPolicy.New, max_bytes: 2 ** 20 });
    await all('Published');
    const found = (await everythingIn(nats)).filter(({ event }) => event.agent_id === id);
    expect(found.map(({ event }) => event.sequence)).toEqual(upTo(100));
    expect(warnings.filter(({ code }) => code === 'StreamFull')).toHaveLength(1);
  });
});

describe('a required consumer in a quiet cluster', () => {
  test('that is deleted is told of, and so is what it is not given when it is made anew behind it', async () => {
    await open(streamSettings);
    const admin = await anAdmin();
    await require(admin);
    watch(streamSettings);
    const id = randomUUID();
    await record(id, 0, 2);
    await all('Published');
    await bill(admin);
    await all('Acknowledged');
    await admin.consumers.delete(streamName, 'billing');
    await eventually('it is told', () => alarms.includes('ConsumerMissing'), 20_000);

    await record(id, 2, 3);
    await eventually('all are published', async () => !(await states()).includes('Pending'));
    await require(admin, DeliverPolicy.New);
    await eventually('it is told', () => alarms.includes('ConsumerOvertaken'), 20_000);
    const told = warnings.find(({ code }) => code === 'ConsumerOvertaken');
    expect(told).toMatchObject({ consumer: 'billing', events: 3, firstSeq: 3, lastSeq: 5 });
    expect(told?.command).toBe('openos events replay --stream-seq 3-5 --again');
    expect(await run(`${told?.command} --dry-run`)).toHaveLength(3);
    expect(alarms).toEqual(['ConsumerMissing', 'ConsumerOvertaken']);
  });

  test('that was overtaken by a purge is not told of: what went before its time is published again by itself', async () => {
    await open(streamSettings);
    const admin = await anAdmin();
    await require(admin);
    watch(streamSettings);
    const id = randomUUID();
    await record(id, 0, 3);
    await all('Published');
    await admin.streams.purge(streamName);
    await eventually('all are there again', async () => (await everythingIn(nats)).length === 3, 20_000);
    await bill(admin);
    await all('Acknowledged');
    expect(alarms).toEqual([]);
  });
});

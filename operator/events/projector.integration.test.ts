import { randomUUID } from 'node:crypto';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, headers } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../kernel/clock.ts';
import { silentLogger } from '../kernel/logger.ts';
import { outboxOf } from '../store/repositories/outbox.ts';
import {
  forgetProjection,
  listProjected,
  projectedHistory,
  projectionPosition,
  projectionStoreOf,
} from '../store/repositories/projection.ts';
import { recordTransitions } from '../store/repositories/recording.ts';
import { createLogger } from '../telemetry/log.ts';
import { startTracing, withSpan } from '../telemetry/tracing.ts';
import { aDraft, encodedRecording, openTestBroker, untilAvailable, upTo } from '../testkit/events.ts';
import { eventually } from '../testkit/eventually.ts';
import { startNats, type TestNats } from '../testkit/nats.ts';
import { openTestDatabase, startStore, type TestStore } from '../testkit/store.ts';
import { eventsInvocation } from './commands/index.ts';
import { eventId } from './event-id.ts';
import type { NatsBroker } from './nats-broker.ts';
import { natsConsumer } from './nats-consumer.ts';
import { Projector, type ProjectorOptions } from './projector.ts';
import { Publisher } from './publisher.ts';
import { rebuildProjection } from './rebuild.ts';
import { encode } from './registry.ts';
import { projectorName } from './required-consumers.ts';
import { streamName } from './streams.ts';

let store: TestStore;
let nats: TestNats;
let broker: NatsBroker;
let publisher: Publisher;
const cleanup: (() => Promise<void>)[] = [];

beforeAll(async () => {
  store = await startStore();
});
afterAll(() => store.stop());
beforeEach(async () => {
  nats = await startNats();
  cleanup.push(() => nats.stop());
  broker = openTestBroker(nats);
  await untilAvailable(broker);
  publisher = new Publisher({ outbox: outboxOf(db()), broker, log: silentLogger });
  publisher.start();
  cleanup.push(async () => {
    await publisher.stop();
    await broker.close();
  });
});
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
  const tables = [
    'outbox',
    'projected_event',
    'projected_resource',
    'projection_position',
    'projection_parked',
  ] as const;
  for (const table of tables) await db().deleteFrom(table).execute();
});

const db = () => store.database.db;

function project(database = store.database, more: Partial<ProjectorOptions> = {}): Projector {
  const projector = new Projector({
    consumer: natsConsumer(broker, projectorName),
    store: projectionStoreOf(database.db),
    broker,
    log: silentLogger,
    ...more,
  });
  projector.start();
  cleanup.push(() => projector.stop());
  return projector;
}

async function record(id: string, lastSeq: number, count: number): Promise<void> {
  await recordTransitions(db(), encodedRecording({ epoch: store.epoch, id, lastSeq, count }));
  publisher.nudge(id);
}

const projectedTo = (streamSeq: number) =>
  eventually(
    `the projection is at ${streamSeq}`,
    async () => (await projectionPosition(db()))?.streamSeq === streamSeq,
  );

async function model(): Promise<unknown> {
  const events = await db()
    .selectFrom('projected_event')
    .selectAll()
    .orderBy('aggregate_id')
    .orderBy('sequence')
    .execute();
  return { events, resources: await listProjected(db(), 'agent') };
}

/** Puts text on the stream as nobody should. */
async function smuggle(payload: string, traceparent?: string): Promise<void> {
  const admin = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  const options = { headers: headers() };
  if (traceparent !== undefined) options.headers.set('traceparent', traceparent);
  await (await jetstreamManager(admin)).jetstream().publish('openos.events.acme.agent.ready.v1', payload, options);
  await admin.close();
}

const pendingAcks = async (): Promise<number> => {
  const info = await broker.use(async ({ client }) =>
    (await client.jetstreamManager(false)).consumers.info(streamName, projectorName),
  );
  return info.num_ack_pending + info.num_pending;
};

describe('the projection', () => {
  test('has the present and the history of every resource, and acknowledges what it has', async () => {
    project();
    const ids = upTo(3).map(() => randomUUID());
    for (const [index, id] of ids.entries()) await record(id, 0, index + 1);
    await projectedTo(6);
    const history = await projectedHistory(db(), ids[2] ?? '');
    expect(history.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
    expect(history[0]).toMatchObject({
      eventId: eventId({ kind: 'agent', id: ids[2] ?? '' }, 1),
      eventType: 'agent.scheduled',
      kind: 'agent',
      tenantId: 'acme',
      occurredAt: new Date('2030-01-01T00:00:00.123Z'),
      data: { namespace: 'team', name: 'writer', phase: 'Scheduled' },
    });
    const agents = await listProjected(db(), 'agent', 'acme');
    expect(agents.map(({ aggregateId, sequence }) => [aggregateId, sequence])).toEqual(
      ids.map((id, index) => [id, index + 1]).toSorted(),
    );
    expect(agents[0]).toMatchObject({ namespace: 'team', name: 'writer', phase: 'Scheduled', reason: 'PodScheduled' });
    expect(await listProjected(db(), 'agent', 'other')).toEqual([]);
    await eventually('all is acknowledged', async () => (await pendingAcks()) === 0);
  });

  test('is what it was after everything was told a second time', async () => {
    const projector = project();
    const ids = upTo(4).map(() => randomUUID());
    for (const id of ids) await record(id, 0, 5);
    await projectedTo(20);
    const before = await model();
    // Replayed by the outbox: the same events under new numbers, and out of the order in which they first came.
    await nats.wipe();
    await eventually('the broker is back', () => broker.state.available);
    await db().updateTable('outbox').set({ state: 'Pending' }).where('aggregate_seq', '>', 2).execute();
    publisher.nudge();
    await eventually('they are told', async () => (await projectionPosition(db()))?.streamSeq === 12);
    await projector.stop();
    expect(await model()).toEqual(before);
  });

  test('rebuilt from the stream is what it was', async () => {
    const projector = project();
    const ids = upTo(5).map(() => randomUUID());
    for (const lastSeq of [0, 3, 6]) for (const id of ids) await record(id, lastSeq, 3);
    await projectedTo(45);
    await smuggle('{"event_type":"unheard.of"}');
    await projectedTo(46);
    const before = await model();
    // Nobody is to repair it by other means.
    await db().updateTable('projected_resource').set({ phase: 'Nonsense' }).execute();
    await db().deleteFrom('projected_event').where('sequence', '=', 4).execute();
    const rebuild = await rebuildProjection({
      consumer: natsConsumer(broker, projectorName),
      forget: (from) => forgetProjection(db(), from),
    });
    expect(rebuild).toMatchObject({ streamSeq: 1 });
    await projectedTo(46);
    await eventually('all is acknowledged', async () => (await pendingAcks()) === 0);
    expect(await model()).toEqual(before);
    expect(await db().selectFrom('projection_parked').select('stream_seq').execute()).toEqual([{ stream_seq: 46 }]);
    await projector.stop();
  });

  test('is rebuilt by the command, which says what it would do, follows the projector, and can be run again', async () => {
    project();
    const id = randomUUID();
    await record(id, 0, 4);
    await projectedTo(4);
    const before = await model();
    const run = async (...args: readonly string[]): Promise<unknown> => {
      const lines: string[] = [];
      const invocation = eventsInvocation(['rebuild', '--output', 'json', ...args], Date.now());
      if (invocation.kind !== 'run') throw new Error('asked for help');
      await invocation.run({
        db: db(),
        broker,
        clock: systemClock,
        print: (line) => lines.push(line),
        progress: () => undefined,
        by: { actor: 'test', detail: {} },
      });
      return JSON.parse(lines.join('\n'));
    };
    expect(await run('--dry-run')).toMatchObject({ dryRun: true, firstSeq: 1, lastSeq: 4 });
    expect(await model()).toEqual(before);
    expect(await run()).toMatchObject({ forgotten: 4, reached: 4 });
    expect(await run()).toMatchObject({ forgotten: 4, reached: 4 });
    expect(await model()).toEqual(before);
  });

  test('rebuilt keeps what the stream has let go of', async () => {
    project();
    const id = randomUUID();
    await record(id, 0, 4);
    await projectedTo(4);
    const before = await model();
    await broker.use(async ({ client }) =>
      (await client.jetstreamManager(false)).streams.purge(streamName, { seq: 3 }),
    );
    const consumer = natsConsumer(broker, projectorName);
    const rebuild = await rebuildProjection({ consumer, forget: (from) => forgetProjection(db(), from) });
    expect(rebuild).toMatchObject({ streamSeq: 3, forgotten: 2 });
    await projectedTo(4);
    expect(await model()).toEqual(before);
  });

  test('puts aside what it cannot read or write, and goes on', async () => {
    project();
    const id = randomUUID();
    await record(id, 0, 1);
    await projectedTo(1);
    await smuggle('not JSON \u0000');
    const unwritable = { ...aDraft().data, name: 'nul\u0000' };
    await smuggle(encode(aDraft({ data: unwritable })).envelope);
    await record(id, 1, 1);
    await projectedTo(4);
    const parked = await db().selectFrom('projection_parked').selectAll().orderBy('stream_seq').execute();
    expect(parked.map(({ stream_seq, error }) => [stream_seq, error.split(':', 1)[0]])).toEqual([
      [2, 'EnvelopeInvalid'],
      [3, 'DatabaseRefused'],
    ]);
    expect(parked[0]?.payload.toString()).toBe('not JSON \u0000');
    expect((await projectedHistory(db(), id)).map(({ sequence }) => sequence)).toEqual([1, 2]);
    await eventually('all is acknowledged', async () => (await pendingAcks()) === 0);
  });
});

test('what is logged of a message is part of its trace', async () => {
  const lines: { readonly trace_id?: string; readonly level: string }[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const tracing = await startTracing({ serviceVersion: '0', instance: 'i', log: silentLogger });
  cleanup.push(() => tracing.stop());
  project(store.database, { inSpan: withSpan, log: createLogger({ level: 'info', destination }) });
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  await smuggle('not JSON', `00-${traceId}-b7ad6b7169203331-01`);
  await projectedTo(1);
  expect(lines).toEqual([expect.objectContaining({ level: 'error', trace_id: traceId })]);
});

describe('the projection goes on', () => {
  test('after Postgres and NATS were away, with nothing missing', async () => {
    const database = openTestDatabase(store.postgres, 4);
    cleanup.push(() => database.close());
    project(database);
    const id = randomUUID();
    await record(id, 0, 2);
    await projectedTo(2);
    await store.postgres.restart();
    await eventually('Postgres is back', () => store.database.ping().then(() => true));
    await record(id, 2, 2);
    await projectedTo(4);
    await nats.kill();
    await record(id, 4, 2);
    await nats.restart();
    await eventually(
      'the projection is at the end',
      async () => (await projectedHistory(db(), id)).length === 6,
      20_000,
    );
  });

  test('when its consumer was removed', async () => {
    project();
    const id = randomUUID();
    await record(id, 0, 2);
    await projectedTo(2);
    await broker.use(async ({ client }) =>
      (await client.jetstreamManager(false)).consumers.delete(streamName, projectorName),
    );
    await record(id, 2, 2);
    await projectedTo(4);
  });

  test('where another one stopped', async () => {
    const first = project();
    const id = randomUUID();
    await record(id, 0, 20);
    await first.stop();
    project();
    await eventually('nothing is missing', async () => (await projectedHistory(db(), id)).length === 20, 20_000);
    expect((await projectedHistory(db(), id)).map(({ sequence }) => sequence)).toEqual(upTo(20));
  });
});

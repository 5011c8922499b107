import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { AckPolicy, DeliverPolicy, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { bundle } from '../../../hack/bundle.ts';
import { systemClock } from '../../kernel/clock.ts';
import { silentLogger } from '../../kernel/logger.ts';
import { outboxOf, outboxStats } from '../../store/repositories/outbox.ts';
import { recordTransitions } from '../../store/repositories/recording.ts';
import {
  encodedRecording,
  everythingIn,
  firstAppearances,
  openTestBroker,
  openTestConsumer,
  upTo,
} from '../../testkit/events.ts';
import { eventually } from '../../testkit/eventually.ts';
import { startNats, type TestNats } from '../../testkit/nats.ts';
import { startStore, type TestStore } from '../../testkit/store.ts';
import { eventId } from '../event-id.ts';
import { Publisher } from '../publisher.ts';
import { streamName } from '../streams.ts';
import { eventsInvocation } from './index.ts';

let store: TestStore;
let nats: TestNats;
const cleanup: (() => Promise<void>)[] = [];

beforeAll(async () => {
  store = await startStore();
});
afterAll(() => store.stop());
beforeEach(async () => {
  nats = await startNats({ denyPublish: ['openos.events.forbidden.agent.scheduled.>'] });
  cleanup.push(() => nats.stop());
});
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
  await store.database.db.deleteFrom('outbox').execute();
});

type Answer = { readonly lines: readonly string[]; readonly progress: readonly string[] };

/** Runs the command line as a person would, on a connection of its own. */
async function events(...args: readonly string[]): Promise<Answer> {
  const lines: string[] = [];
  const progress: string[] = [];
  const invocation = eventsInvocation(args, Date.now());
  if (invocation.kind !== 'run') throw new Error('asked for help');
  const broker = openTestConsumer(nats);
  try {
    await invocation.run({
      db: store.database.db,
      broker,
      clock: systemClock,
      print: (line) => lines.push(line),
      progress: (line) => progress.push(line),
      by: { actor: 'test', detail: {} },
    });
  } finally {
    await broker.close();
  }
  return { lines, progress };
}

const json = (answer: Answer) => answer.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
const states = async (id: string) => json(await events('list', '--agent', id, '-o', 'json')).map(({ state }) => state);

async function record(count: number, tenantId = 'acme'): Promise<string> {
  const id = randomUUID();
  await recordTransitions(store.database.db, encodedRecording({ epoch: store.epoch, id, count, tenantId }));
  return id;
}

function publish(maxAttempts = 1): void {
  const broker = openTestBroker(nats);
  const publisher = new Publisher({ outbox: outboxOf(store.database.db), broker, log: silentLogger, maxAttempts });
  publisher.start();
  cleanup.push(async () => {
    await publisher.stop();
    await broker.close();
  });
}

const idOf = (id: string, seq: number) => eventId({ kind: 'agent', id }, seq);
const settled = (what: string, check: () => Promise<boolean>) => eventually(what, check, 20_000);
const drained = () =>
  settled('the outbox is drained', async () => (await outboxStats(store.database.db)).pending === 0);

test('list tells where the events stand, and only those that were asked for', async () => {
  const [mine, other] = [await record(3), await record(1, 'other')];
  expect(await states(mine)).toEqual(['Pending', 'Pending', 'Pending']);
  publish();
  await drained();
  expect(await states(mine)).toEqual(['Published', 'Published', 'Published']);
  const sequences = async (...args: readonly string[]) =>
    json(await events('list', '-o', 'json', ...args)).map(({ aggregateId, seq }) => `${aggregateId}/${seq}`);
  expect(await sequences('--tenant', 'other')).toEqual([`${other}/1`]);
  expect(await sequences('--agent', mine, '--limit', '1')).toEqual([`${mine}/3`]);
  expect(await sequences('--state', 'pending')).toEqual([]);
  expect(await sequences('--type', 'agent.ready')).toEqual([]);
  expect(await sequences('--from', '2030-01-01', '--to', '2030-01-02')).toHaveLength(4);
  expect(await sequences('--from', '2030-01-02')).toEqual([]);
  // One header and a row each.
  expect((await events('list')).lines).toHaveLength(5);
});

test('what the broker refuses is listed with the reason, explained, and published once the cause is mended', async () => {
  const id = await record(3, 'forbidden');
  publish();
  await settled('the first is dead-lettered', async () => (await states(id))[0] === 'DeadLettered');
  const [letter] = json(await events('dead-letters', '-o', 'json'));
  expect(letter).toMatchObject({ eventId: idOf(id, 1), waitingBehind: 2, attempts: 1 });
  const [waiting] = json(await events('show', idOf(id, 3), '-o', 'json'));
  expect(waiting).toMatchObject({ state: 'Pending', openBefore: [idOf(id, 1), idOf(id, 2)] });

  expect((await events('requeue', '--all', '--dry-run')).lines).toHaveLength(1);
  expect(await states(id)).toEqual(['DeadLettered', 'Pending', 'Pending']);

  for (const end of cleanup.splice(0).reverse()) await end();
  nats = await startNats();
  cleanup.push(() => nats.stop());
  expect((await events('requeue', '--tenant', 'forbidden')).lines).toHaveLength(1);
  expect((await events('requeue', '--tenant', 'forbidden')).lines).toHaveLength(0);
  publish();
  await drained();
  expect(firstAppearances(await everythingIn(nats)).get(id)).toEqual([1, 2, 3]);
  const audit = await store.database.db.selectFrom('audit_log').selectAll().where('aggregate_id', '=', id).execute();
  expect(audit.map(({ actor, action }) => [actor, action])).toContainEqual(['test', 'event.requeued']);
});

test('a skipped event leaves a tombstone in its place, and those behind it go out', async () => {
  const id = await record(1, 'forbidden');
  publish();
  await settled('it is dead-lettered', async () => (await states(id))[0] === 'DeadLettered');
  await recordTransitions(store.database.db, {
    ...encodedRecording({ epoch: store.epoch, id, lastSeq: 1, tenantId: 'acme' }),
  });
  await expect(events('skip', idOf(id, 1))).rejects.toMatchObject({ code: 'UsageInvalid' });
  await expect(events('skip', idOf(id, 2), '--reason', 'no')).rejects.toMatchObject({ code: 'EventNotDeadLettered' });
  expect((await events('skip', idOf(id, 1), '--reason', 'no', '--dry-run')).lines).toHaveLength(1);
  expect(await states(id)).toEqual(['DeadLettered', 'Pending']);

  await events('skip', idOf(id, 1), '--reason', 'the tenant is gone');
  await drained();
  expect(await states(id)).toEqual(['Skipped', 'Published']);
  const [tombstone, next] = (await everythingIn(nats)).map(({ event }) => event);
  expect(tombstone).toMatchObject({
    event_type: 'agent.skipped',
    sequence: 1,
    data: { skippedEventId: idOf(id, 1), skippedEventType: 'agent.scheduled', reason: 'the tenant is gone' },
  });
  expect(tombstone?.event_id).not.toBe(idOf(id, 1));
  expect(next).toMatchObject({ event_type: 'agent.scheduled', sequence: 2 });
  expect((await events('skip', idOf(id, 1), '--reason', 'again')).lines).toEqual([]);
  expect(await everythingIn(nats)).toHaveLength(2);
});

test('what the stream has lost is published again, in order and with the same ids; what it has is left alone', async () => {
  const [lost, kept] = [await record(3), await record(2, 'kept')];
  publish();
  await drained();
  const before = await everythingIn(nats);
  await purge('openos.events.acme.>');
  const [explained] = json(await events('show', idOf(lost, 2), '-o', 'json'));
  expect(explained).toMatchObject({ state: 'Published', inStream: false });

  expect((await events('replay', '--all', '--dry-run')).lines).toHaveLength(3);
  expect(await everythingIn(nats)).toHaveLength(2);
  expect((await events('replay', '--all')).lines).toHaveLength(3);
  await drained();
  const after = await everythingIn(nats);
  expect(firstAppearances(after)).toEqual(
    new Map([
      [kept, [1, 2]],
      [lost, [1, 2, 3]],
    ]),
  );
  const ids = (received: typeof before) => received.map(({ event }) => event.event_id).sort();
  expect(ids(after)).toEqual(ids(before));
  expect((await events('replay', '--all')).lines).toHaveLength(0);
});

test('a long replay says how far it is, takes every page, and is in order', async () => {
  const agents = [await record(300), await record(300)].sort();
  publish();
  await drained();
  await purge('openos.events.>');
  const { lines, progress } = await events('replay', '--tenant', 'acme', '-o', 'json');
  const told = lines.map((line) => JSON.parse(line) as { readonly aggregateId: string; readonly seq: number });
  expect(told.map(({ aggregateId, seq }) => [aggregateId, seq])).toEqual(
    agents.flatMap((agent) => upTo(300).map((seq) => [agent, seq])),
  );
  expect(progress.map((line) => Number.parseInt(line, 10))).toEqual([500, 600, 600]);
  await drained();
  expect(firstAppearances(await everythingIn(nats))).toEqual(new Map(agents.map((agent) => [agent, upTo(300)])));
});

describe('what the broker gave up to deliver to a consumer', () => {
  /** A consumer that is given each message once, and has taken all of them but the first two. */
  async function aForgetfulConsumer(): Promise<JetStreamManager> {
    const manager = await anAdmin();
    const taken = {
      durable_name: 'billing',
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      max_deliver: 1,
      ack_wait: 500_000_000,
    };
    await manager.consumers.add(streamName, taken);
    await consume(manager, (seq) => seq > 2);
    await settled('both are given up', async () => (await lettersOf('billing')).length === 2);
    return manager;
  }

  /** Takes what there is; what is not acknowledged is given up when somebody asks again. */
  async function consume(manager: JetStreamManager, isTaken: (seq: number) => boolean): Promise<readonly string[]> {
    const consumer = await manager.jetstream().consumers.get(streamName, 'billing');
    const ids: string[] = [];
    for (let isEmpty = false; !isEmpty; ) {
      isEmpty = true;
      for await (const message of await consumer.fetch({ max_messages: 10, expires: 1_000 })) {
        isEmpty = false;
        ids.push(message.headers?.get('ce-id') ?? '');
        if (isTaken(message.seq)) await message.ackAck();
      }
    }
    return ids;
  }

  const lettersOf = async (consumer: string) =>
    json(await events('dead-letters', '--consumer', consumer, '-o', 'json'));

  test('is listed with how often and when, and sent to it again, once', async () => {
    const id = await record(4);
    publish();
    await drained();
    const manager = await aForgetfulConsumer();
    expect(await lettersOf('billing')).toMatchObject([
      {
        eventId: idOf(id, 1),
        seq: 1,
        consumer: 'billing',
        deliveries: 1,
        givenUpAt: expect.any(String),
        givenUpSeq: 1,
      },
      { eventId: idOf(id, 2), seq: 2, consumer: 'billing', deliveries: 1 },
    ]);

    const again = (...more: readonly string[]) => events('redeliver', '--consumer', 'billing', ...more);
    expect((await again('--all', '--dry-run')).lines).toHaveLength(2);
    expect(await everythingIn(nats)).toHaveLength(4);
    expect((await again(idOf(id, 1))).lines).toHaveLength(1);
    expect((await again(idOf(id, 1))).lines).toHaveLength(0);
    expect(await lettersOf('billing')).toMatchObject([{ eventId: idOf(id, 2) }]);
    expect((await again('--all')).lines).toHaveLength(1);
    expect((await again('--all')).lines).toHaveLength(0);
    expect(await lettersOf('billing')).toEqual([]);

    expect(await consume(manager, () => true)).toEqual([idOf(id, 1), idOf(id, 2)]);
    const places = json(await events('list', '--agent', id, '-o', 'json')).map(({ streamSeq }) => streamSeq);
    expect(places).toEqual([5, 6, 3, 4]);
    expect(firstAppearances(await everythingIn(nats)).get(id)).toEqual([1, 2, 3, 4]);
    const audit = await store.database.db.selectFrom('audit_log').selectAll().where('aggregate_id', '=', id).execute();
    expect(audit.filter(({ action }) => action === 'event.redelivered')).toHaveLength(2);
  });

  test('who dies before it is noted sends nothing twice', async () => {
    const id = await record(3);
    publish();
    await drained();
    await aForgetfulConsumer();
    await events('redeliver', '--consumer', 'billing', '--all');
    await store.database.db.updateTable('outbox').set({ stream_seq: 1 }).where('event_id', '=', idOf(id, 1)).execute();
    expect((await events('redeliver', '--consumer', 'billing', '--all')).lines).toHaveLength(1);
    expect(await everythingIn(nats)).toHaveLength(5);
  });

  test('is asked of a consumer that exists, and changed only for events that are named', async () => {
    publish();
    await record(1);
    await drained();
    await expect(lettersOf('nobody')).rejects.toMatchObject({ code: 'ConsumerNotFound' });
    await expect(events('redeliver', '--consumer', 'billing')).rejects.toMatchObject({ code: 'UsageInvalid' });
    await expect(events('redeliver', '--all')).rejects.toMatchObject({ code: 'UsageInvalid' });
  });
});

test('without a broker what needs none still answers', async () => {
  const id = await record(1);
  await nats.kill();
  expect(await states(id)).toEqual(['Pending']);
  await expect(events('replay', '--all')).rejects.toMatchObject({ code: 'BrokerUnavailable' });
});

test('ids that do not exist are told', async () => {
  await expect(events('show', randomUUID())).rejects.toMatchObject({ code: 'EventNotFound' });
  await expect(events('requeue', randomUUID())).rejects.toMatchObject({ code: 'EventNotFound' });
});

describe('the file that ships', () => {
  const away = '127.0.0.1:1';
  let known: string;
  let program: string;
  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'openos-'));
    program = join(folder, 'openos.mjs');
    await bundle('operator/main.ts', program, 'test');
  });
  afterAll(() => rm(dirname(program), { recursive: true }));

  async function openos(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const child = spawn(process.execPath, [program, 'events', ...args], {
      env: {
        OPENOS_DATABASE_URL: store.postgres.url,
        OPENOS_NATS_URL: nats.url,
        OPENOS_ALLOW_UNSAFE_DATABASE: 'true',
        ...env,
      },
    });
    const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code, out, err };
  }

  beforeEach(async () => {
    known = idOf(await record(1), 1);
  });

  test('answers on its standard output, one object per line, and exits with 0', async () => {
    const { code, out } = await openos(['show', known, '--output', 'json']);
    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ eventId: known, state: 'Pending' }]);
  });

  test.each<[string, number, readonly string[], Readonly<Record<string, string>>]>([
    ['helps without a configuration', 0, ['replay', '--help'], { OPENOS_DATABASE_URL: '' }],
    ['refuses an option it does not know', 2, ['list', '--nonsense'], {}],
    ['refuses an option that would be left aside', 2, ['adopt', '--tenant', 'acme'], {}],
    ['refuses a configuration that is not complete', 2, ['list'], { OPENOS_NATS_URL: '' }],
    ['fails for an event that does not exist', 1, ['requeue', randomUUID()], {}],
    ['fails without a database', 1, ['list'], { OPENOS_DATABASE_URL: `postgres://openos:pass@${away}/openos` }],
    ['fails without a broker', 1, ['replay', '--all'], { OPENOS_NATS_URL: `nats://openos:pass@${away}` }],
  ])('%s: exit code %i', async (_, expected, args, env) => {
    const { code, out, err } = await openos(args, env);
    expect([code, err]).toEqual([expected, expected === 0 ? '' : expect.stringMatching(/^openos: \S/)]);
    if (expected !== 0) expect(out).toBe('');
    expect(err).not.toMatch(/\n\s+at |:pass@/);
  });
});

async function anAdmin(): Promise<JetStreamManager> {
  const connection = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  cleanup.push(() => connection.close());
  return jetstreamManager(connection);
}

// The last: it takes the record over.
test('what the database has lost is adopted from the stream, once, and shown before', async () => {
  const id = await record(2);
  publish();
  await drained();
  await store.database.db.deleteFrom('outbox').where('aggregate_id', '=', id).execute();
  await store.database.db.deleteFrom('transition').where('aggregate_id', '=', id).execute();
  const ids = json(await events('adopt', '--dry-run', '-o', 'json')).map(({ eventId }) => eventId);
  expect(ids).toEqual([idOf(id, 1), idOf(id, 2)]);
  expect(await states(id)).toEqual([]);
  expect((await events('adopt')).lines).toHaveLength(2);
  expect(await states(id)).toEqual(['Published', 'Published']);
  expect((await events('adopt')).lines).toEqual([]);
});

async function purge(filter: string): Promise<void> {
  await (await anAdmin()).streams.purge(streamName, { filter });
}

import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from 'nats';
import { afterEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import { aDraft, openTestBroker, openTestConsumer, streamSettings, untilAvailable } from '../testkit/events.ts';
import { eventually } from '../testkit/eventually.ts';
import { startNats, type TestNats } from '../testkit/nats.ts';
import type { BrokerState, OutgoingMessage } from './broker.ts';
import { NatsBroker } from './nats-broker.ts';
import { readEvents } from './read-events.ts';
import { encode } from './registry.ts';
import { streamName } from './streams.ts';

const cleanup: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
});

async function aServer(options: Parameters<typeof startNats>[0] = {}): Promise<TestNats> {
  const nats = await startNats(options);
  cleanup.push(() => nats.stop());
  return nats;
}

function closing<Closable extends NatsBroker>(broker: Closable): Closable {
  cleanup.push(() => broker.close());
  return broker;
}

function aMessage(id: string, over: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    subject: 'openos.events.acme.agent.ready.v1',
    payload: `{"id":"${id}"}`,
    headers: { 'ce-id': id },
    messageId: id,
    ...over,
  };
}

const unavailable = (code: string) => ({ available: false, reason: { code } });

describe('connecting', () => {
  test('to a server that is not there returns at once, and succeeds when it comes', async () => {
    const nats = await aServer({ startStopped: true });
    const broker = closing(openTestBroker(nats));
    await expect(broker.publish(aMessage('1'))).rejects.toMatchObject({ code: 'BrokerUnavailable', kind: 'retryable' });
    await nats.restart();
    await untilAvailable(broker);
    expect(await broker.publish(aMessage('1'))).toMatchObject({ streamSeq: 1, duplicate: false });
  });

  test('with a wrong password says so, without the password, and goes on trying', async () => {
    const nats = await aServer();
    const url = nats.url.replace('secret', 'hunter2');
    const broker = closing(new NatsBroker({ url, name: 'test', log: silentLogger }));
    broker.connect();
    await eventually(
      'the refusal is seen',
      () => !broker.state.available && broker.state.reason.code === 'BrokerAuthFailed',
    );
    expect(JSON.stringify(broker.state)).not.toContain('hunter2');
  });

  test('makes the stream as it is configured, and changes one that is not', async () => {
    const nats = await aServer();
    const first = closing(openTestBroker(nats));
    await untilAvailable(first);
    const wider = { ...streamSettings, maxAgeMs: 7_200_000 };
    const second = closing(new NatsBroker({ url: nats.url, name: 'test', stream: wider, log: silentLogger }));
    second.connect();
    await untilAvailable(second);

    const admin = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
    const { config } = await (await jetstreamManager(admin)).streams.info(streamName);
    await admin.close();
    expect(config).toMatchObject({
      subjects: ['openos.events.>'],
      max_age: 7_200_000_000_000,
      storage: 'file',
      discard: 'old',
      duplicate_window: 120_000_000_000,
    });
  });

  test('what the server cannot give is a state with a reason', async () => {
    const nats = await aServer();
    const stream = { ...streamSettings, replicas: 3 };
    const broker = closing(new NatsBroker({ url: nats.url, name: 'test', stream, log: silentLogger }));
    broker.connect();
    await eventually(
      'the refusal is seen',
      () => !broker.state.available && broker.state.reason.code === 'StreamConfigMismatch',
    );
  });
});

describe('publishing', () => {
  test('a repeat within the window is a duplicate at the sequence of the first', async () => {
    const nats = await aServer();
    const broker = closing(openTestBroker(nats));
    await untilAvailable(broker);
    const first = await broker.publish(aMessage('1'));
    expect(await broker.publish(aMessage('1'))).toEqual({ ...first, duplicate: true });
    expect(await broker.messageAt(first.streamSeq)).toMatchObject({ payload: '{"id":"1"}', headers: { 'ce-id': '1' } });
    expect(await broker.messageAt(99)).toBeUndefined();
  });

  test('what the broker refuses for what it is, is told apart from a broker that is away', async () => {
    const nats = await aServer({ denyPublish: ['openos.events.forbidden.>'] });
    const broker = closing(openTestBroker(nats));
    await untilAvailable(broker);
    const refused = { code: 'MessageRefused', kind: 'terminal' };
    const forbidden = aMessage('1', { subject: 'openos.events.forbidden.agent.ready.v1' });
    await expect(broker.publish(forbidden)).rejects.toMatchObject(refused);
    await expect(broker.publish(aMessage('2', { payload: 'x'.repeat(2 ** 21) }))).rejects.toMatchObject(refused);
    await expect(broker.publish(aMessage('3', { subject: 'openos.events.a b' }))).rejects.toMatchObject(refused);
    expect(broker.state.available).toBe(true);
    expect(await broker.publish(aMessage('4'))).toMatchObject({ duplicate: false });
  });

  test('into a stream that was deleted is unavailability; the stream is made again above what was seen', async () => {
    const nats = await aServer();
    const broker = closing(openTestBroker(nats, { firstSequence: async () => 42 }));
    await untilAvailable(broker);
    expect((await broker.publish(aMessage('1'))).streamSeq).toBe(42);
    const admin = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
    await (await jetstreamManager(admin)).streams.delete(streamName);
    await admin.close();

    await expect(broker.publish(aMessage('2'))).rejects.toMatchObject({ code: 'BrokerUnavailable' });
    await untilAvailable(broker);
    expect((await broker.publish(aMessage('2'))).streamSeq).toBe(42);
  });
});

test('a stream of another name that takes our subjects gets none of our events, and none is refused for it', async () => {
  const nats = await aServer();
  const broker = closing(openTestBroker(nats));
  await untilAvailable(broker);
  const admin = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'openos', pass: 'secret' });
  cleanup.push(() => admin.close());
  const { streams } = await jetstreamManager(admin);
  await streams.delete(streamName);
  await streams.add({ name: 'STRANGER', subjects: ['openos.events.>'] });
  await expect(broker.publish(aMessage('1'))).rejects.toMatchObject({ code: 'StreamMissing', kind: 'retryable' });
  expect((await streams.info('STRANGER')).state.messages).toBe(0);
});

describe('an outage', () => {
  test('ends what is in flight at once, is told to listeners, and so is the return', async () => {
    const nats = await aServer();
    const broker = closing(openTestBroker(nats));
    await untilAvailable(broker);
    const seen: BrokerState[] = [];
    broker.onState((state) => seen.push(state));
    nats.pause();
    const inFlight = expect(broker.publish(aMessage('1'))).rejects.toMatchObject({ code: 'BrokerUnavailable' });
    await nats.kill();
    await inFlight;
    expect(seen).toMatchObject([unavailable('BrokerUnavailable')]);

    await nats.restart();
    await untilAvailable(broker);
    expect(seen.at(-1)).toMatchObject({ available: true });
    await broker.publish(aMessage('2'));
  });

  test('of a server that is frozen is seen when a publish runs into its deadline', async () => {
    const nats = await aServer();
    const broker = closing(openTestBroker(nats, { publishTimeoutMs: 300 }));
    await untilAvailable(broker);
    nats.pause();
    await expect(broker.publish(aMessage('1'))).rejects.toMatchObject({ code: 'BrokerUnavailable' });
    expect(broker.state).toMatchObject(unavailable('BrokerUnavailable'));
    nats.resume();
    await untilAvailable(broker);
    await broker.publish(aMessage('1'));
  });

  test('does not keep a broker from closing, whether the server is gone or frozen', async () => {
    const nats = await aServer();
    const left = openTestBroker(nats);
    const frozen = openTestBroker(nats);
    for (const broker of [left, frozen]) await untilAvailable(broker);
    nats.pause();
    await closesInTime(frozen);
    nats.resume();
    await nats.kill();
    await eventually('the loss is seen', () => !left.state.available);
    await closesInTime(left);
  });

  async function closesInTime(broker: NatsBroker): Promise<void> {
    let closed = false;
    void broker.close().then(() => {
      closed = true;
    });
    await eventually('it has closed', () => closed, 5_000);
  }
});

describe('reading as a consumer', () => {
  async function withEvents(count: number) {
    const nats = await aServer();
    const broker = closing(openTestBroker(nats));
    await untilAvailable(broker);
    const aggregates = ['a', 'b'].map((id) => ({ kind: 'agent', id }));
    for (let n = 0; n < count; n += 1) {
      const aggregate = aggregates[n % 2] ?? { kind: 'agent', id: 'a' };
      const event = encode(aDraft({ aggregate, seq: Math.floor(n / 2) + 1 }));
      await broker.publish(aMessage(event.eventId, { subject: event.subject, payload: event.envelope }));
    }
    const consumer = closing(openTestConsumer(nats));
    await untilAvailable(consumer);
    return { broker, consumer };
  }

  test('ends with what is there, filtered as asked', async () => {
    const { consumer } = await withEvents(10);
    const sequences = async (options: Parameters<typeof readEvents>[1]) => {
      const read: string[] = [];
      for await (const { event } of readEvents(consumer, options)) read.push(`${event.agent_id}${event.sequence}`);
      return read;
    };
    expect(await sequences({})).toEqual(['a1', 'b1', 'a2', 'b2', 'a3', 'b3', 'a4', 'b4', 'a5', 'b5']);
    expect(await sequences({ aggregateId: 'b', limit: 2 })).toEqual(['b1', 'b2']);
    expect(await sequences({ fromSeq: 9 })).toEqual(['a5', 'b5']);
    expect(await sequences({ subject: 'openos.events.acme.agent.deleted.v1' })).toEqual([]);
  });

  test('follows until it is told to stop', async () => {
    const { broker, consumer } = await withEvents(2);
    const abort = new AbortController();
    const read: number[] = [];
    const reading = (async () => {
      for await (const { streamSeq } of readEvents(consumer, { follow: true, signal: abort.signal }))
        read.push(streamSeq);
    })();
    await eventually('both events are read', () => read.length === 2);
    const event = encode(aDraft());
    await broker.publish(aMessage(event.eventId, { payload: event.envelope }));
    await eventually('the new event is read', () => read.length === 3);
    abort.abort();
    await reading;
    expect(read).toEqual([1, 2, 3]);
  });
});

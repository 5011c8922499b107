import { describe, expect, test, vi } from 'vitest';
import type { Clock } from '../kernel/clock.ts';
import { silentLogger } from '../kernel/logger.ts';
import type { AcknowledgementStore, StreamWatermark } from '../store/repositories/acknowledgement.ts';
import { FakeClock } from '../testkit/clock.ts';
import { eventually } from '../testkit/eventually.ts';
import { AckWatcher } from './ack-watcher.ts';
import type { ConsumerState, StreamState } from './stream-observer.ts';

const nothingOpen: StreamWatermark = { greatestSeq: 0, open: 0 };

function aStore(readStreamWatermark: AcknowledgementStore['readStreamWatermark']): AcknowledgementStore {
  return {
    readStreamWatermark,
    listUnacknowledged: async () => [],
    markAcknowledged: async () => [],
    keepAcknowledgedSeq: async () => undefined,
    haltAcknowledging: async () => undefined,
    readKnownConsumers: async () => [],
    keepKnownConsumers: async () => undefined,
    hasPublished: async () => false,
    countMissed: async () => undefined,
  };
}

const aConsumer: ConsumerState = {
  name: 'billing',
  created: '2030-01-01T00:00:00Z',
  filters: [],
  deliverPolicy: 'all',
  acksExplicitly: true,
  ackFloor: 0,
  deliveredSeq: 0,
  pending: 0,
  unacknowledged: 0,
};

function watch(store: AcknowledgementStore, clock?: Clock) {
  const world: { consumer: ConsumerState | undefined; stream: StreamState } = {
    consumer: aConsumer,
    stream: { created: 'a', firstSeq: 1, lastSeq: 0, deleted: new Set(), bytes: 0 },
  };
  const alarms: string[] = [];
  const asked = { stream: vi.fn(async () => world.stream), consumer: vi.fn(async () => world.consumer) };
  const watcher = new AckWatcher({
    store,
    observer: {
      ...asked,
      capture: async () => ({ created: '2030-01-01T00:00:00Z', lastSeq: 0, givenUp: [] }),
      eventIdAt: async () => undefined,
    },
    broker: { state: { available: true, streamCreated: 'a' }, onState: () => () => undefined },
    required: ['billing'],
    limits: { maxAgeMs: 3_600_000, maxBytes: 1_000 },
    log: silentLogger,
    onAlarm: ({ reason }) => alarms.push(reason),
    ...(clock && { clock }),
  });
  watcher.start();
  return { watcher, world, alarms, asked };
}

describe('while nothing is open', () => {
  test('the broker is asked twice a minute', async () => {
    const clock = new FakeClock();
    const { watcher, asked } = watch(
      aStore(async () => nothingOpen),
      clock,
    );
    await clock.advance(600_000);
    await watcher.stop();
    expect(asked.stream).toHaveBeenCalledTimes(21);
    expect(asked.consumer).toHaveBeenCalledTimes(21);
  });

  test('a required consumer that is deleted is told of within a minute, once', async () => {
    const clock = new FakeClock();
    const { watcher, world, alarms } = watch(
      aStore(async () => nothingOpen),
      clock,
    );
    await clock.advance(31_000);
    world.consumer = undefined;
    await clock.advance(60_000);
    expect(alarms).toEqual(['ConsumerMissing']);
    await clock.advance(600_000);
    await watcher.stop();
    expect(alarms).toEqual(['ConsumerMissing']);
  });

  test('one that is made anew within seconds is not', async () => {
    const clock = new FakeClock();
    const { watcher, world, alarms } = watch(
      aStore(async () => nothingOpen),
      clock,
    );
    world.consumer = undefined;
    await clock.advance(3_000);
    world.consumer = aConsumer;
    await clock.advance(60_000);
    await watcher.stop();
    expect(alarms).toEqual([]);
  });

  test('one that the stream is about to overtake is told of, and again when it was well in between', async () => {
    const clock = new FakeClock();
    const { watcher, world, alarms } = watch(
      aStore(async () => nothingOpen),
      clock,
    );
    const stream = { ...world.stream, lastSeq: 10, firstAt: clock.now() };
    world.stream = { ...stream, bytes: 600 };
    world.consumer = { ...aConsumer, pending: 10 };
    await clock.advance(60_000);
    expect(alarms).toEqual([]);
    world.stream = { ...stream, bytes: 800 };
    await clock.advance(60_000);
    expect(alarms).toEqual(['ConsumerLagging']);
    world.consumer = { ...aConsumer, ackFloor: 10 };
    await clock.advance(60_000);
    world.consumer = { ...aConsumer, pending: 10 };
    await clock.advance(60_000);
    await watcher.stop();
    expect(alarms).toEqual(['ConsumerLagging', 'ConsumerLagging']);
  });
});

test('what is published while it looks is not left for half a minute', async () => {
  const looks: (() => void)[] = [];
  const { watcher } = watch(aStore(() => new Promise((resolve) => looks.push(() => resolve(nothingOpen)))));
  await eventually('it looks', () => looks.length === 1);
  watcher.nudge();
  looks[0]?.();
  await eventually('it looks once more', () => looks.length === 2, 5_000);
  looks[1]?.();
  await watcher.stop();
});

import { expect, test } from 'vitest';
import type { AcknowledgementStore, KnownConsumer, SequenceRange } from '../store/repositories/acknowledgement.ts';
import { RequiredConsumers } from './required-consumers.ts';
import type { Missed } from './stream-alarms.ts';
import type { ConsumerState, StreamState } from './stream-observer.ts';

const minute = 60_000;

/** A stream of which everything below its first sequence has expired, and one consumer of it. */
function aWorld() {
  const world = {
    stream: { created: 's', firstSeq: 1, lastSeq: 100, deleted: new Set<number>(), bytes: 1 } satisfies StreamState,
    consumer: {
      name: 'billing',
      created: '2030-01-01T00:00:00Z',
      filters: [],
      deliverPolicy: 'all',
      acksExplicitly: true,
      ackFloor: 0,
      deliveredSeq: 0,
      pending: 100,
      unacknowledged: 0,
    } as ConsumerState | undefined,
    /** What the auditor has not judged yet begins here. */
    judgedBelow: Number.POSITIVE_INFINITY,
    known: [] as readonly KnownConsumer[],
    missed: [] as string[],
  };
  const store = {
    readKnownConsumers: async () => world.known,
    keepKnownConsumers: async (news: readonly KnownConsumer[]) => {
      world.known = news.length > 0 ? news : world.known;
    },
    hasPublished: async ({ lastSeq }: SequenceRange) => lastSeq >= world.judgedBelow,
    countMissed: async (_: string, { firstSeq, lastSeq }: SequenceRange) =>
      firstSeq > lastSeq ? undefined : { count: lastSeq - firstSeq + 1, firstSeq, lastSeq },
  };
  const observer = {
    stream: async () => world.stream,
    consumer: async () => world.consumer,
    capture: async () => ({ created: '2029-01-01T00:00:00Z', lastSeq: 0, givenUp: [] }),
    eventIdAt: async () => undefined,
  };
  const onMissed = ({ firstSeq, lastSeq, haveLeft }: Missed) =>
    void world.missed.push(`${firstSeq}-${lastSeq}${haveLeft ? '' : ' skipped'}`);
  const anew = () =>
    new RequiredConsumers({ store: store as unknown as AcknowledgementStore, observer, names: ['billing'], onMissed });
  let consumers = anew();
  return {
    world,
    restart: () => {
      consumers = anew();
    },
    look: async (now: number) => {
      await consumers.givenUp();
      await consumers.look(world.stream, now);
    },
  };
}

test('what left the stream before a consumer was known it has not missed', async () => {
  const { world, look } = aWorld();
  world.stream.firstSeq = 50;
  await look(0);
  await look(10 * minute);
  expect(world.missed).toEqual([]);
});

test('what left ahead of it is told when the auditor has judged it, and then at most once a minute', async () => {
  const { world, look } = aWorld();
  await look(0);
  world.stream.firstSeq = 11;
  world.judgedBelow = 1;
  await look(1_000);
  await look(10_000);
  expect(world.missed).toEqual([]);
  world.judgedBelow = Number.POSITIVE_INFINITY;
  await look(11_000);
  expect(world.missed).toEqual(['1-10']);
  for (let now = 12_000; now < 70_000; now += 1_000) {
    world.stream.firstSeq = 21;
    await look(now);
  }
  expect(world.missed).toEqual(['1-10']);
  await look(71_000);
  await look(10 * minute);
  expect(world.missed).toEqual(['1-10', '11-20']);
});

test('what leaves bit by bit is told of together, and within two minutes', async () => {
  const { world, look } = aWorld();
  await look(0);
  for (let second = 1; second <= 4; second += 1) {
    world.stream.firstSeq = second * 10;
    await look(second * 1_000);
  }
  expect(world.missed).toEqual([]);
  await look(6_000);
  expect(world.missed).toEqual(['1-39']);
  for (let second = 7; second <= 127; second += 1) {
    world.stream.firstSeq += 1;
    await look(second * 1_000);
  }
  expect(world.missed).toHaveLength(2);
});

test('also of a consumer that is missing, and by the next leader', async () => {
  const { world, look, restart } = aWorld();
  await look(0);
  world.consumer = undefined;
  world.stream.firstSeq = 11;
  restart();
  await look(0);
  await look(minute);
  expect(world.missed).toEqual(['1-10']);
  restart();
  await look(0);
  await look(minute);
  expect(world.missed).toEqual(['1-10']);
});

test('a consumer that is made anew has missed what it had not had and is not given, and nothing else', async () => {
  const { world, look } = aWorld();
  if (world.consumer) world.consumer = { ...world.consumer, ackFloor: 40 };
  await look(0);
  world.stream.firstSeq = 21;
  if (world.consumer) world.consumer = { ...world.consumer, created: '2030-02-01T00:00:00Z', ackFloor: 0 };
  await look(minute);
  await look(1.5 * minute);
  expect(world.missed).toEqual([]);
  if (world.consumer)
    world.consumer = { ...world.consumer, created: '2030-03-01T00:00:00Z', deliverPolicy: 'new', ackFloor: 100 };
  await look(2 * minute);
  await look(4 * minute);
  expect(world.missed).toEqual(['41-100 skipped']);
});

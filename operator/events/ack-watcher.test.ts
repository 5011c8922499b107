import { expect, test, vi } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import type { AcknowledgementStore, StreamWatermark } from '../store/repositories/acknowledgement.ts';
import { eventually } from '../testkit/eventually.ts';
import { AckWatcher } from './ack-watcher.ts';

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
  };
}

function watch(store: AcknowledgementStore): { readonly watcher: AckWatcher; readonly asked: () => number } {
  const stream = vi.fn(async () => ({ created: 'a', firstSeq: 1, lastSeq: 0, deleted: new Set<number>(), bytes: 0 }));
  const watcher = new AckWatcher({
    store,
    observer: {
      stream,
      consumer: async () => undefined,
      capture: async () => ({ created: 'a', lastSeq: 0, givenUp: [] }),
      eventIdAt: async () => undefined,
    },
    broker: { state: { available: true, streamCreated: 'a' }, onState: () => () => undefined },
    required: ['billing'],
    log: silentLogger,
    pollMs: 1,
  });
  watcher.start();
  return { watcher, asked: () => stream.mock.calls.length };
}

test('while nothing is open the broker is not asked', async () => {
  const read = vi.fn(async () => nothingOpen);
  const { watcher, asked } = watch(aStore(read));
  await eventually('it has looked', () => read.mock.calls.length > 0);
  watcher.nudge();
  await eventually('it has looked again', () => read.mock.calls.length > 1);
  await watcher.stop();
  expect(asked()).toBe(0);
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

import { expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import type { AuditStore } from '../store/repositories/audit.ts';
import { FakeClock } from '../testkit/clock.ts';
import { Auditor } from './auditor.ts';
import type { Broker } from './broker.ts';
import { watchReceipts } from './receipts.ts';

test('a stream that was put back is noticed within a minute at the default pace, and acknowledging stops', async () => {
  const clock = new FakeClock();
  const said: string[] = [];
  let lastSeq = 10;
  const store: AuditStore = {
    readStreamAccount: async () => ({ greatestSeq: 10, firstSeq: 1, strays: false }),
    listInStream: async () => [],
    sampleInStream: async () => [],
    listPublishedBelow: async () => [],
    markExpired: async () => 0,
    returnToPending: async () => [],
    openDiscontinuity: async () => void said.push('halted'),
    keepDoubt: async () => undefined,
    closeDiscontinuity: async () => undefined,
  };
  const auditor = new Auditor({
    store,
    observer: {
      stream: async () => ({ created: 'a', firstSeq: 1, lastSeq, deleted: new Set(), bytes: 0 }),
      consumer: async () => undefined,
      capture: async () => ({ created: 'a', lastSeq: 0, givenUp: [] }),
      eventIdAt: async () => undefined,
    },
    broker: { state: { available: true, streamCreated: 'a' }, onState: () => () => undefined },
    limits: { maxAgeMs: 3_600_000, maxBytes: 1_000 },
    required: [],
    log: silentLogger,
    clock,
    onDiscontinuity: ({ reason }) => said.push(reason),
  });
  auditor.start();
  await clock.advance(1_000);
  expect(said).toEqual([]);
  lastSeq = 9;
  await clock.advance(59_000);
  expect(said.slice(0, 2)).toEqual(['halted', 'StreamRolledBack']);
  await auditor.stop();
});

test('a number that is given out again is told at once; what overtakes another and what is a repeat is not', async () => {
  const told: string[] = [];
  const waiting: ((seq: number, duplicate?: boolean) => void)[] = [];
  const publish: Broker['publish'] = () =>
    new Promise((resolve) =>
      waiting.push((streamSeq, duplicate = false) => resolve({ streamCreated: 'a', streamSeq, duplicate })),
    );
  const sender = watchReceipts({ publish } as unknown as Broker, (message) => told.push(message));
  const message = { subject: 's', payload: '', headers: {}, messageId: 'm' };
  const [one, two] = [sender.publish(message), sender.publish(message)];
  waiting[1]?.(2);
  await two;
  waiting[0]?.(1);
  await one;
  const repeat = sender.publish(message);
  waiting[2]?.(1, true);
  await repeat;
  expect(told).toEqual([]);
  const again = sender.publish(message);
  waiting[3]?.(2);
  await again;
  expect(told).toHaveLength(1);
});

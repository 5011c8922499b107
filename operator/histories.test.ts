import { describe, expect, test } from 'vitest';
import { AgentHistories } from './histories.ts';
import type { AgentHistory } from './resources/agent/history.ts';
import { aHistory, aRow } from './testkit/builders.ts';
import { FakeClock } from './testkit/clock.ts';

const settledAt = new Date('2026-01-01T00:00:07.123Z');

function setUp() {
  const clock = new FakeClock();
  const database = { available: true, reads: 0, answer: aHistory() as AgentHistory };
  const histories = new AgentHistories({
    read: async () => {
      database.reads += 1;
      return database.answer;
    },
    isAvailable: () => database.available,
    clock,
  });
  return { clock, database, histories };
}

const ids = new Set(['u']);
const created = aRow('Created', { state: 'Pending' });

describe('the history of an agent', () => {
  test('is read once while nothing happens, and again after 10 s', async () => {
    const { clock, database, histories } = setUp();
    for (let pass = 0; pass < 3; pass += 1) expect(await histories.of('u')).toBe(database.answer);
    expect(database.reads).toBe(1);
    await clock.advance(9_999);
    await histories.of('u');
    expect(database.reads).toBe(1);
    await clock.advance(1);
    await histories.of('u');
    expect(database.reads).toBe(2);
  });

  test('is known without reading once it was recorded', async () => {
    const { database, histories } = setUp();
    await histories.recording('u', async () => aHistory(created));
    expect(await histories.of('u')).toEqual(aHistory(created));
    expect(database.reads).toBe(0);
  });

  test('is read again when a recording failed', async () => {
    const { database, histories } = setUp();
    await histories.of('u');
    const failing = histories.recording('u', async () => Promise.reject(new Error('SequenceConflict')));
    await expect(failing).rejects.toThrow();
    await histories.of('u');
    expect(database.reads).toBe(2);
  });

  test('follows what the publisher has marked', async () => {
    const { database, histories } = setUp();
    const scheduled = aRow('Scheduled', { seq: 2, state: 'Pending' });
    await histories.recording('u', async () => aHistory(created, scheduled));
    histories.settled(ids, new Map([['event-2', settledAt]]));
    const event = { ...scheduled.event, state: 'Published', publishedAt: settledAt.getTime() } as const;
    expect(await histories.of('u')).toEqual(aHistory(created, { ...scheduled, event }));
    expect(database.reads).toBe(0);
  });

  test('is read again when something else became of an event', async () => {
    const { database, histories } = setUp();
    await histories.recording('u', async () => aHistory(created));
    histories.settled(ids, new Map());
    await histories.of('u');
    expect(database.reads).toBe(1);
  });

  test('follows what consumers have acknowledged', async () => {
    const { database, histories } = setUp();
    const scheduled = aRow('Scheduled', { seq: 2, state: 'Published' });
    await histories.recording('u', async () => aHistory(created, scheduled));
    histories.acknowledged([
      { aggregateId: 'u', eventId: 'event-2' },
      { aggregateId: 'unheard-of', eventId: 'event-9' },
    ]);
    const event = { ...scheduled.event, state: 'Acknowledged' } as const;
    expect(await histories.of('u')).toEqual(aHistory(created, { ...scheduled, event }));
    expect(database.reads).toBe(0);
  });

  test('is not kept when an event was acknowledged while it was read', async () => {
    const { database, histories } = setUp();
    const read = histories.of('u');
    histories.acknowledged([{ aggregateId: 'u', eventId: 'event-1' }]);
    await read;
    await histories.of('u');
    expect(database.reads).toBe(2);
  });

  test('is not kept when an event was settled while it was recorded or read', async () => {
    const { database, histories } = setUp();
    await histories.recording('u', async () => {
      histories.settled(ids, new Map([['event-1', settledAt]]));
      return aHistory(created);
    });
    const read = histories.of('u');
    histories.settled(ids, new Map([['event-1', settledAt]]));
    await read;
    await histories.of('u');
    expect(database.reads).toBe(2);
  });

  test('is asked for again and again while the database is away, and after it', async () => {
    const { database, histories } = setUp();
    await histories.recording('u', async () => aHistory(created));
    database.available = false;
    database.answer = { kind: 'unavailable', message: 'away' };
    expect(await histories.of('u')).toBe(database.answer);
    database.available = true;
    expect(await histories.of('u')).toBe(database.answer);
    expect(database.reads).toBe(2);
  });

  test('is forgotten with the agent', async () => {
    const { database, histories } = setUp();
    await histories.recording('u', async () => aHistory(created, aRow('Deleted', { seq: 2 })));
    await histories.of('u');
    expect(database.reads).toBe(1);
  });
});

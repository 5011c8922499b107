import { describe, expect, test } from 'vitest';
import { silentLogger } from '../kernel/logger.ts';
import type { Claim, ClaimedEvent, MarkedEvent, Outbox, PublishedMark } from '../store/repositories/outbox.ts';
import { FakeClock, settle } from '../testkit/clock.ts';
import type { Broker, BrokerState, OutgoingMessage } from './broker.ts';
import { EventErrorCode, eventError } from './errors.ts';
import { Publisher, type PublisherOptions } from './publisher.ts';

function anEvent(aggregateId: string, seq: number, over: Partial<ClaimedEvent> = {}): ClaimedEvent {
  return {
    eventId: `${aggregateId}${seq}`,
    pos: seq,
    kind: 'agent',
    aggregateId,
    seq,
    eventType: 'agent.ready',
    schemaVersion: '1.0',
    subject: 's',
    envelope: '{}',
    occurredAt: new Date(0),
    traceContext: null,
    attempts: 0,
    ...over,
  };
}

/** An outbox that hands out what it is given, once, and notes what is asked of it. */
class ScriptedOutbox implements Outbox {
  readonly claims: Claim[] = [];
  readonly released: string[] = [];
  readonly marked: string[] = [];
  readonly attempted: string[] = [];
  readonly parked: string[] = [];
  next: ClaimedEvent[] = [];
  failing = false;

  #answer(): void {
    if (this.failing) throw new Error('the database is away');
  }
  async claimHeads(claim: Claim): Promise<readonly ClaimedEvent[]> {
    this.claims.push(claim);
    this.#answer();
    return this.next.splice(0);
  }
  async markPublished(marks: readonly PublishedMark[]): Promise<readonly MarkedEvent[]> {
    this.#answer();
    this.marked.push(...marks.map(({ eventId }) => eventId));
    return marks.map(({ eventId }) => ({ eventId, publishedAt: new Date(7), latencyMs: 1 }));
  }
  async markAttemptFailed({ eventId }: { eventId: string }, retryAfterMs: number): Promise<boolean> {
    this.attempted.push(`${eventId} again after ${retryAfterMs}`);
    return true;
  }
  async deadLetter({ eventId }: { eventId: string }): Promise<boolean> {
    this.parked.push(eventId);
    return true;
  }
  async releaseLeases(_owner: string, eventIds?: readonly string[]): Promise<void> {
    this.released.push(...(eventIds ?? ['all']));
  }
}

/** A broker that takes everything, unless a message is to fail. */
class ScriptedBroker implements Broker {
  readonly sent: string[] = [];
  readonly failures = new Map<string, () => Error>();
  state: BrokerState = { available: true, streamCreated: 'now' };
  #listener: (state: BrokerState) => void = () => {};
  /** When set, answers wait for it. */
  gate: Promise<void> = Promise.resolve();

  onState(listener: (state: BrokerState) => void): () => void {
    this.#listener = listener;
    return () => {};
  }
  become(available: boolean): void {
    const reason = eventError(EventErrorCode.BrokerUnavailable, 'away');
    this.state = available ? { available, streamCreated: 'now' } : { available, reason };
    this.#listener(this.state);
  }
  async publish({ messageId }: OutgoingMessage) {
    this.sent.push(messageId);
    await this.gate;
    const failure = this.failures.get(messageId);
    if (failure) throw failure();
    return { streamCreated: 'now', streamSeq: this.sent.length, duplicate: false };
  }
  async messageAt(): Promise<undefined> {}
  async *read(): AsyncGenerator<never> {}
  connect(): void {}
  async close(): Promise<void> {}
}

function setUp(more: Partial<PublisherOptions> = {}) {
  const [outbox, broker, clock] = [new ScriptedOutbox(), new ScriptedBroker(), new FakeClock()];
  const settled: string[] = [];
  const publisher = new Publisher({
    outbox,
    broker,
    clock,
    log: silentLogger,
    onSettled: (ids) => settled.push(...ids),
    ...more,
  });
  return { outbox, broker, clock, publisher, settled };
}

const refused = () => eventError(EventErrorCode.MessageRefused, 'no');
const away = () => eventError(EventErrorCode.BrokerUnavailable, 'away');

describe('the publisher', () => {
  test('sends the events of one agent one after the other, those of several at the same time', async () => {
    const { outbox, broker, publisher } = setUp();
    const gate = Promise.withResolvers<void>();
    broker.gate = gate.promise;
    outbox.next = [anEvent('a', 1), anEvent('a', 2), anEvent('b', 1)];
    publisher.start();
    await settle();
    expect(broker.sent).toEqual(['a1', 'b1']);
    gate.resolve();
    await settle();
    expect(broker.sent).toEqual(['a1', 'b1', 'a2']);
    expect(outbox.marked.toSorted()).toEqual(['a1', 'a2', 'b1']);
    expect(publisher.state()).toEqual({ inFlight: 0, unmarked: 0, published: 3, deadLettered: 0 });
  });

  test('a nudge is answered without any time passing', async () => {
    const { outbox, broker, clock, publisher, settled } = setUp();
    publisher.start();
    await settle();
    const before = clock.now();
    outbox.next = [anEvent('a', 1)];
    publisher.nudge('a');
    await settle();
    expect(broker.sent).toEqual(['a1']);
    expect(settled).toEqual(['a']);
    expect(clock.now()).toBe(before);
  });

  test('a nudge for an agent in flight is answered when its marks are committed, not before', async () => {
    const { outbox, broker, publisher } = setUp();
    const gate = Promise.withResolvers<void>();
    broker.gate = gate.promise;
    outbox.next = [anEvent('a', 1)];
    publisher.start();
    await settle();
    const claims = outbox.claims.length;
    publisher.nudge('a');
    await settle();
    expect(outbox.claims).toHaveLength(claims);
    outbox.next = [anEvent('a', 2)];
    gate.resolve();
    await settle();
    expect(broker.sent).toEqual(['a1', 'a2']);
  });

  test('what is claimed of an agent still in hand follows on what is in hand', async () => {
    const { outbox, broker, publisher } = setUp();
    const gate = Promise.withResolvers<void>();
    broker.gate = gate.promise;
    outbox.next = [anEvent('a', 1)];
    publisher.start();
    await settle();
    outbox.next = [anEvent('a', 2), anEvent('b', 1)];
    publisher.nudge();
    await settle();
    expect(broker.sent).toEqual(['a1', 'b1']);
    gate.resolve();
    await settle();
    expect(broker.sent).toEqual(['a1', 'b1', 'a2']);
    expect(outbox.released).toEqual([]);
  });

  test('polls every 250 ms while there was work, every second when idle', async () => {
    const { outbox, clock, publisher } = setUp();
    publisher.start();
    await settle();
    expect(clock.nextInMs).toBe(1_000);
    outbox.next = [anEvent('a', 1)];
    await clock.advance(1_000);
    expect(clock.nextInMs).toBe(250);
    await clock.advance(6_000);
    expect(clock.nextInMs).toBe(1_000);
  });

  test('a refusal counts, gives the events behind it back, and doubles the wait', async () => {
    const { outbox, broker, publisher, settled } = setUp({ maxAttempts: 4 });
    broker.failures.set('a1', refused);
    outbox.next = [anEvent('a', 1, { attempts: 2 }), anEvent('a', 2), anEvent('b', 1)];
    publisher.start();
    await settle();
    expect(outbox.attempted).toEqual(['a1 again after 4000']);
    expect(outbox.released).toEqual(['a2']);
    expect(outbox.marked).toEqual(['b1']);
    expect(settled).toEqual(['b']);
  });

  test('the last refusal parks the event and tells its agent', async () => {
    const { outbox, broker, publisher, settled } = setUp({ maxAttempts: 3 });
    broker.failures.set('a1', refused);
    outbox.next = [anEvent('a', 1, { attempts: 2 })];
    publisher.start();
    await settle();
    expect(outbox.parked).toEqual(['a1']);
    expect(outbox.attempted).toEqual([]);
    expect(settled).toEqual(['a']);
    expect(publisher.state().deadLettered).toBe(1);
  });

  test('a broker that is away costs no attempt; leases go back; the pause is one for all and grows', async () => {
    const { outbox, broker, clock, publisher } = setUp();
    for (const id of ['a1', 'b1', 'c1']) broker.failures.set(id, away);
    outbox.next = [anEvent('a', 1), anEvent('b', 1)];
    publisher.start();
    await settle();
    expect(outbox.attempted).toEqual([]);
    expect(outbox.released).toEqual(['a1', 'b1']);
    expect(clock.nextInMs).toBe(100);
    outbox.next = [anEvent('c', 1)];
    await clock.advance(100);
    expect(clock.nextInMs).toBe(200);
  });

  test('does not claim while the broker is away, and claims everything when it is back', async () => {
    const { outbox, broker, clock, publisher } = setUp();
    broker.become(false);
    publisher.start();
    await clock.advance(5_000);
    expect(outbox.claims).toEqual([]);
    broker.become(true);
    await settle();
    expect(outbox.claims[0]).toMatchObject({ lowerBound: 0, heads: 128 });
  });

  test('receipts wait for a database that is away', async () => {
    const { outbox, broker, clock, publisher, settled } = setUp();
    const gate = Promise.withResolvers<void>();
    broker.gate = gate.promise;
    outbox.next = [anEvent('a', 1)];
    publisher.start();
    await settle();
    outbox.failing = true;
    gate.resolve();
    await clock.advance(500);
    expect(outbox.marked).toEqual([]);
    outbox.failing = false;
    await clock.advance(1_000);
    expect(outbox.marked).toEqual(['a1']);
    expect(settled).toEqual(['a']);
    expect(broker.sent).toEqual(['a1']);
  });

  test('stops after what is in flight is marked, and releases the rest', async () => {
    const { outbox, broker, publisher } = setUp();
    const gate = Promise.withResolvers<void>();
    broker.gate = gate.promise;
    outbox.next = [anEvent('a', 1), anEvent('a', 2)];
    publisher.start();
    await settle();
    const stopped = publisher.stop();
    gate.resolve();
    await stopped;
    expect(broker.sent).toEqual(['a1']);
    expect(outbox.marked).toEqual(['a1']);
    expect(outbox.released).toEqual(['a2', 'all']);
  });

  test('stops within its deadline also without a database', async () => {
    const { outbox, broker, clock, publisher } = setUp();
    const gate = Promise.withResolvers<void>();
    broker.gate = gate.promise;
    outbox.next = [anEvent('a', 1)];
    publisher.start();
    await settle();
    outbox.failing = true;
    gate.resolve();
    const stopped = publisher.stop();
    await clock.advance(8_000);
    await stopped;
    expect(outbox.marked).toEqual([]);
  });

  test('a listener that throws harms nobody', async () => {
    const { outbox, publisher } = setUp({
      onSettled: () => {
        throw new Error('listener');
      },
    });
    outbox.next = [anEvent('a', 1)];
    publisher.start();
    await settle();
    expect(outbox.marked).toEqual(['a1']);
    expect(publisher.state()).toMatchObject({ inFlight: 0, published: 1 });
  });
});

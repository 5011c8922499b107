import { createHash, randomUUID } from 'node:crypto';
import type { Broker } from '../events/broker.ts';
import { NatsBroker, type NatsBrokerOptions } from '../events/nats-broker.ts';
import { type ReceivedEvent, readEvents } from '../events/read-events.ts';
import { type EventDraft, encode } from '../events/registry.ts';
import { silentLogger } from '../kernel/logger.ts';
import type { Recording } from '../store/repositories/recording.ts';
import { eventually } from './eventually.ts';
import type { TestNats } from './nats.ts';
import { aRecording, aTransition } from './store.ts';

export const streamSettings = { replicas: 1, maxAgeMs: 3_600_000, maxBytes: 256 * 2 ** 20 } as const;

/** A broker that keeps the stream; connecting, not necessarily connected. */
export function openTestBroker(
  nats: TestNats,
  more: Partial<Pick<NatsBrokerOptions, 'firstSequence' | 'log' | 'publishTimeoutMs' | 'stream'>> = {},
): NatsBroker {
  const broker = new NatsBroker({ url: nats.url, name: 'test', stream: streamSettings, log: silentLogger, ...more });
  broker.connect();
  return broker;
}

/** A broker of a consumer: it takes the stream as it is. */
export function openTestConsumer(nats: TestNats): NatsBroker {
  const broker = new NatsBroker({ url: nats.url, name: 'consumer', log: silentLogger });
  broker.connect();
  return broker;
}

export async function untilAvailable(broker: Broker): Promise<void> {
  await eventually('the broker is available', () => broker.state.available);
}

/** All that is in the stream now, as an independent consumer finds it. */
export async function everythingIn(nats: TestNats): Promise<readonly ReceivedEvent[]> {
  const consumer = openTestConsumer(nats);
  try {
    await untilAvailable(consumer);
    const received: ReceivedEvent[] = [];
    for await (const event of readEvents(consumer)) received.push(event);
    return received;
  } finally {
    await consumer.close();
  }
}

/** Sequences per agent in the order in which each first appeared: repeats of an id are left out. */
export function firstAppearances(received: readonly ReceivedEvent[]): ReadonlyMap<string, readonly number[]> {
  const seen = new Set<string>();
  const sequences = new Map<string, number[]>();
  for (const { event } of received) {
    if (seen.has(event.event_id)) continue;
    seen.add(event.event_id);
    const known = sequences.get(event.agent_id) ?? [];
    sequences.set(event.agent_id, [...known, event.sequence]);
  }
  return sequences;
}

/** 1, 2, …, n */
export function upTo(n: number): readonly number[] {
  return Array.from({ length: n }, (_, index) => index + 1);
}

export function aDraft(over: Partial<EventDraft> = {}): EventDraft {
  return {
    type: 'agent.scheduled',
    aggregate: { kind: 'agent', id: randomUUID() },
    tenantId: 'acme',
    seq: 1,
    occurredAt: new Date('2030-01-01T00:00:00.123Z'),
    traceContext: `00-${createHash('md5').update('test').digest('hex')}-b7ad6b7169203331-01`,
    data: { namespace: 'team', name: 'writer', attempt: 1, phase: 'Scheduled', reason: 'PodScheduled' },
    ...over,
  };
}

/** A recording of `count` transitions with events that were really encoded. */
export function encodedRecording(
  of: { readonly epoch: number; readonly id?: string; readonly lastSeq?: number; readonly count?: number } & Partial<
    Pick<EventDraft, 'tenantId' | 'data'>
  >,
): Recording {
  const { epoch, id = randomUUID(), lastSeq = 0, count = 1, ...draft } = of;
  const aggregate = { kind: 'agent', id };
  const outbox = upTo(count).map((n) => encode(aDraft({ ...draft, aggregate, seq: lastSeq + n })));
  const transitions = upTo(count).map((n) => aTransition({ to: n % 2 === 0 ? 'Ready' : 'Starting' }));
  return aRecording({ id, epoch, lastSeq, transitions, outbox, tenantId: draft.tenantId ?? 'acme' });
}

import {
  AckPolicy,
  type ConsumerMessages,
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import type { DurableConsumer, DurableMessage } from './durable-consumer.ts';
import { fromNatsHeaders, type JetStreamSession, type NatsBroker } from './nats-broker.ts';
import { streamName } from './streams.ts';

/** Messages the server hands out before the first of them is acknowledged. */
const mostUnacknowledged = 1_000;
const mostPerBatch = 256;
/** What a consumer that died had in hand is given out again after this long. */
const ackWaitMs = 5_000;

/** The durable consumer of this name, for all events, each until it is acknowledged. */
export function natsConsumer(broker: NatsBroker, name: string): DurableConsumer {
  return {
    consume: (take, signal) => broker.use((session) => consume(session, name, take, signal)),
    restart: () =>
      broker.use(async ({ client }) => {
        const manager = await client.jetstreamManager(false);
        await manager.consumers.delete(streamName, name).catch(unlessMissing);
        const { created, state } = await manager.streams.info(streamName);
        await ensureConsumer(manager, name);
        return { streamCreated: created, streamSeq: state.first_seq };
      }),
  };
}

async function ensureConsumer(manager: JetStreamManager, name: string): Promise<void> {
  await manager.consumers.add(streamName, {
    durable_name: name,
    description: 'Keeps the read model of OpenOS.',
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    max_deliver: -1,
    ack_wait: ackWaitMs * 1_000_000,
    max_ack_pending: mostUnacknowledged,
  });
}

async function consume(
  { client, lost }: JetStreamSession,
  name: string,
  take: (messages: readonly DurableMessage[]) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const manager = await client.jetstreamManager(false);
  const { created } = await manager.streams.info(streamName);
  await ensureConsumer(manager, name);
  const arrived: JsMsg[] = [];
  let wake: () => void = () => undefined;
  const consumer = await client.consumers.get(streamName, name);
  const messages: ConsumerMessages = await consumer.consume({
    max_messages: mostPerBatch,
    abort_on_missing_resource: true,
    callback: (message) => {
      arrived.push(message);
      wake();
    },
  });
  let isOver = false;
  const end = (): void => {
    isOver = true;
    wake();
  };
  const closed = messages.closed().then((error) => {
    end();
    if (error) throw error;
  });
  closed.catch(() => undefined);
  lost.catch(end);
  signal.addEventListener('abort', end, { once: true });
  try {
    while (!isOver && !signal.aborted) {
      const batch = arrived.splice(0, mostPerBatch);
      if (batch.length > 0) await take(batch.map((message) => durable(message, created)));
      else {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
    }
  } finally {
    signal.removeEventListener('abort', end);
    await messages.close().catch(() => undefined);
    // Whoever comes next need not wait for what nobody here will take.
    for (const message of arrived) message.nak();
  }
  await closed;
}

function durable(message: JsMsg, streamCreated: string): DurableMessage {
  return {
    streamCreated,
    streamSeq: message.seq,
    subject: message.subject,
    payload: message.string(),
    headers: fromNatsHeaders(message.headers),
    acknowledge: () => message.ack(),
  };
}

function unlessMissing(error: unknown): void {
  if (!(error instanceof JetStreamApiError) || error.code !== JetStreamApiCodes.ConsumerNotFound) throw error;
}

import {
  AckPolicy,
  type ConsumerInfo,
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
} from '@nats-io/jetstream';
import type { Broker } from './broker.ts';
import type { NatsBroker } from './nats-broker.ts';
import type { Capture, ConsumerState, StreamObserver, StreamState } from './stream-observer.ts';
import { captureName, streamName } from './streams.ts';

/** Looks at the streams and consumers of a broker. */
export function natsObserver(broker: NatsBroker): StreamObserver {
  const ask = <Answer>(question: (manager: JetStreamManager) => Promise<Answer>): Promise<Answer> =>
    broker.use(async ({ client }) => question(await client.jetstreamManager(false)));
  return {
    async stream() {
      const state = await ask(streamState);
      broker.sawStream(state.created);
      return state;
    },
    consumer: (name) => ask((manager) => consumerState(manager, name)),
    capture: (after) => ask((manager) => readCapture(manager, after)),
    eventIdAt: (streamSeq) => eventIdAt(broker, streamSeq),
  };
}

async function streamState(manager: JetStreamManager): Promise<StreamState> {
  const brief = await manager.streams.info(streamName);
  // The list can be long; asked for only when there is one.
  const info = brief.state.num_deleted > 0 ? await manager.streams.info(streamName, { deleted_details: true }) : brief;
  const { bytes, deleted, first_seq: firstSeq, first_ts, last_seq: lastSeq, messages } = info.state;
  return {
    created: info.created,
    firstSeq,
    lastSeq,
    deleted: new Set(deleted ?? []),
    bytes,
    ...(messages > 0 && { firstAt: Date.parse(first_ts) }),
  };
}

async function consumerState(manager: JetStreamManager, name: string): Promise<ConsumerState | undefined> {
  try {
    return stateOf(await manager.consumers.info(streamName, name));
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound) return undefined;
    throw error;
  }
}

function stateOf({
  name,
  created,
  config,
  ack_floor,
  delivered,
  num_pending,
  num_ack_pending,
}: ConsumerInfo): ConsumerState {
  const { filter_subject, filter_subjects, deliver_policy, opt_start_seq, ack_policy } = config;
  return {
    name,
    created,
    filters: filter_subjects ?? (filter_subject ? [filter_subject] : []),
    deliverPolicy: deliver_policy,
    ...(opt_start_seq !== undefined && { optStartSeq: opt_start_seq }),
    acksExplicitly: ack_policy === AckPolicy.Explicit || ack_policy === AckPolicy.All,
    ackFloor: ack_floor.stream_seq,
    deliveredSeq: delivered.stream_seq,
    pending: num_pending,
    unacknowledged: num_ack_pending,
  };
}

type AdvisoryText = {
  readonly consumer: string;
  readonly stream_seq: number;
  readonly deliveries: number;
  readonly timestamp: string;
};

async function readCapture(manager: JetStreamManager, after: number): Promise<Capture> {
  const { created, state } = await manager.streams.info(captureName);
  const read: (AdvisoryText & { readonly seq: number })[] = [];
  if (state.messages > 0 && state.last_seq > after) {
    const consumer = await manager.jetstream().consumers.get(captureName, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: after + 1,
    });
    let remaining = (await consumer.info()).num_pending;
    const messages = remaining > 0 ? await consumer.consume() : undefined;
    for await (const message of messages ?? []) {
      read.push({ ...message.json<AdvisoryText>(), seq: message.seq });
      remaining -= 1;
      if (remaining <= 0) break;
    }
    await messages?.close();
  }
  return {
    created,
    lastSeq: read.at(-1)?.seq ?? after,
    givenUp: read.map((text) => ({
      consumer: text.consumer,
      streamSeq: text.stream_seq,
      deliveries: text.deliveries,
      at: Date.parse(text.timestamp),
    })),
  };
}

async function eventIdAt(broker: Broker, streamSeq: number): Promise<string | undefined> {
  return (await broker.messageAt(streamSeq))?.headers['ce-id'];
}

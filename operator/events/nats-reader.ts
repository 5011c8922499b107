import { DeliverPolicy, type JetStreamClient, type JsMsg } from '@nats-io/jetstream';
import type { ReadOptions } from './broker.ts';
import { streamName } from './streams.ts';
import { allEvents } from './subjects.ts';

/**
 * Messages of the stream in order, through an ordered consumer: it lives on the client's side only and
 * is made anew, at the right place, after every interruption.
 */
export async function* readStream(client: JetStreamClient, options: ReadOptions): AsyncGenerator<JsMsg> {
  const { subject = allEvents, fromSeq, since, follow = false, signal } = options;
  if (signal?.aborted) return;
  const consumer = await client.consumers.get(streamName, {
    filter_subjects: subject,
    ...(fromSeq !== undefined && { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: fromSeq }),
    ...(since !== undefined && { deliver_policy: DeliverPolicy.StartTime, opt_start_time: since.toISOString() }),
  });
  let remaining = follow ? Number.POSITIVE_INFINITY : (await consumer.info()).num_pending;
  if (remaining === 0) return;
  const messages = await consumer.consume();
  const stop = () => void messages.close();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    for await (const message of messages) {
      yield message;
      remaining -= 1;
      if (remaining <= 0) return;
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    await messages.close();
  }
}

import type { Broker, ReadOptions } from './broker.ts';
import { decode } from './registry.ts';
import type { AnyEvent } from './schemas/index.ts';

export type ReadEventsOptions = ReadOptions & {
  /** Only events of the resource with this UID. */
  readonly aggregateId?: string;
  /** Ends after so many events. */
  readonly limit?: number;
};

/** An event as a consumer has it. */
export type ReceivedEvent = {
  readonly streamSeq: number;
  readonly subject: string;
  readonly event: AnyEvent;
  readonly headers: Readonly<Record<string, string>>;
};

/**
 * Reads events from the stream as an independent consumer would: it knows the broker only.
 * @throws OperatorError EventTypeUnknown, EventVersionUnknown, EnvelopeInvalid; those of `Broker.read`
 */
export async function* readEvents(broker: Broker, options: ReadEventsOptions = {}): AsyncGenerator<ReceivedEvent> {
  const { aggregateId, limit = Number.POSITIVE_INFINITY, ...where } = options;
  if (limit <= 0) return;
  let count = 0;
  for await (const { streamSeq, subject, payload, headers } of broker.read(where)) {
    const event = decode(payload);
    if (aggregateId !== undefined && event.agent_id !== aggregateId) continue;
    yield { streamSeq, subject, event, headers };
    count += 1;
    if (count >= limit) return;
  }
}

import type { ClaimedEvent, PublishedMark } from '../store/repositories/outbox.ts';
import type { Broker } from './broker.ts';
import { cloudEventHeaders } from './cloud-event.ts';
import { EventErrorCode, eventError } from './errors.ts';

// Each purge within one duplicate window costs one more id; nobody purges that often.
const mostIds = 32;

/**
 * Sends one event and returns where the stream has it. "Duplicate" is believed only when the message is
 * there and is this event: after a purge the stream still remembers ids of messages that are gone.
 * @throws as `Broker.publish`
 */
export async function send(broker: Pick<Broker, 'publish' | 'messageAt'>, event: ClaimedEvent): Promise<PublishedMark> {
  const headers = cloudEventHeaders(event);
  for (let n = 0; n < mostIds; n += 1) {
    const { streamCreated, streamSeq, duplicate } = await broker.publish({
      subject: event.subject,
      payload: event.envelope,
      headers,
      messageId: n === 0 ? event.eventId : `${event.eventId}/${n}`,
    });
    const isThere = !duplicate || (await broker.messageAt(streamSeq))?.headers['ce-id'] === event.eventId;
    if (isThere) return { eventId: event.eventId, streamCreated, streamSeq };
  }
  throw eventError(EventErrorCode.BrokerUnavailable, 'the stream calls an event a duplicate of one it does not have');
}

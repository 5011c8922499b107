import { describe, expect, test } from 'vitest';
import type { ClaimedEvent } from '../store/repositories/outbox.ts';
import type { Broker, PublishReceipt } from './broker.ts';
import { send } from './send.ts';

const event: ClaimedEvent = {
  eventId: 'e1',
  pos: 1,
  kind: 'agent',
  aggregateId: 'a1',
  seq: 1,
  eventType: 'agent.ready',
  schemaVersion: '1.0',
  subject: 'openos.events.acme.agent.ready.v1',
  envelope: '{}',
  occurredAt: new Date(0),
  traceContext: null,
  attempts: 0,
};

/** A broker that answers as told and has the messages it was told to have. */
function scripted(
  receipts: readonly Omit<PublishReceipt, 'streamCreated'>[],
  stored: Readonly<Record<number, string>>,
) {
  const ids: string[] = [];
  const broker = {
    publish: async ({ messageId }: { messageId: string }) => {
      ids.push(messageId);
      const receipt = receipts[Math.min(ids.length, receipts.length) - 1];
      return { streamCreated: 's', streamSeq: 0, duplicate: false, ...receipt };
    },
    messageAt: async (streamSeq: number) =>
      stored[streamSeq] === undefined
        ? undefined
        : { streamSeq, subject: '', payload: '', headers: { 'ce-id': stored[streamSeq] } },
  } as Partial<Broker> as Broker;
  return { broker, ids };
}

describe('sending', () => {
  test('takes the first receipt', async () => {
    const { broker, ids } = scripted([{ streamSeq: 5, duplicate: false }], {});
    expect(await send(broker, event)).toEqual({ eventId: 'e1', streamCreated: 's', streamSeq: 5 });
    expect(ids).toEqual(['e1']);
  });

  test('believes a duplicate whose message is there and ours', async () => {
    const { broker, ids } = scripted([{ streamSeq: 5, duplicate: true }], { 5: 'e1' });
    expect(await send(broker, event)).toMatchObject({ streamSeq: 5 });
    expect(ids).toEqual(['e1']);
  });

  test.each([
    ['gone', {}],
    ['another event', { 5: 'e2' }],
  ])('sends under another id when what it is said to repeat is %s', async (_, stored) => {
    const { broker, ids } = scripted(
      [
        { streamSeq: 5, duplicate: true },
        { streamSeq: 5, duplicate: true },
        { streamSeq: 9, duplicate: false },
      ],
      stored,
    );
    expect(await send(broker, event)).toMatchObject({ streamSeq: 9 });
    expect(ids).toEqual(['e1', 'e1/1', 'e1/2']);
  });

  test('ends, with an error that is not about the message, when it never succeeds', async () => {
    const { broker } = scripted([{ streamSeq: 5, duplicate: true }], {});
    await expect(send(broker, event)).rejects.toMatchObject({ code: 'BrokerUnavailable', kind: 'retryable' });
  });
});

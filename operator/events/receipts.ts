import type { Broker, PublishReceipt } from './broker.ts';

/**
 * Publishes through `broker` and looks at its receipts: whatever is stored now is stored after all that had a receipt
 * when it was sent. A stream that numbers it lower was put back to an earlier state, and says nothing of it.
 */
export function watchReceipts(
  broker: Broker,
  onReuse: (message: string) => void,
): Pick<Broker, 'publish' | 'messageAt'> {
  let created = '';
  let greatest = 0;
  const note = ({ streamCreated, streamSeq, duplicate }: PublishReceipt, before: number): void => {
    if (duplicate) return;
    if (streamCreated !== created) [created, greatest] = [streamCreated, 0];
    else if (streamSeq <= before) {
      greatest = 0;
      onReuse(`the stream stored a message as ${streamSeq}, and had stored ${before} before`);
    }
    greatest = Math.max(greatest, streamSeq);
  };
  return {
    async publish(message) {
      const before = greatest;
      const receipt = await broker.publish(message);
      note(receipt, before);
      return receipt;
    },
    messageAt: (streamSeq) => broker.messageAt(streamSeq),
  };
}

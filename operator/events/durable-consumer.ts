import type { StoredMessage } from './broker.ts';

/** A message that stays with the broker until it is acknowledged. */
export type DurableMessage = StoredMessage & {
  readonly streamCreated: string;
  acknowledge(): void;
};

/** A durable consumer of the event stream. */
export type DurableConsumer = {
  /**
   * Hands over what has arrived, in the order of the stream, one batch after the other; makes the consumer when
   * there is none. Ends when the signal aborts.
   * @throws OperatorError when the broker is away, or the consumer was removed
   */
  consume(take: (messages: readonly DurableMessage[]) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** Begins anew with the first message of the stream. Returns where that is. @throws OperatorError as above */
  restart(): Promise<{ readonly streamCreated: string; readonly streamSeq: number }>;
};

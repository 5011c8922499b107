import type { OperatorError } from '../kernel/errors.ts';

/** A message as it goes out. */
export type OutgoingMessage = {
  readonly subject: string;
  readonly payload: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The broker stores one message per id within its duplicate window. */
  readonly messageId: string;
};

/** The broker has stored the message. */
export type PublishReceipt = {
  /** `created` of the stream, as the server writes it. */
  readonly streamCreated: string;
  readonly streamSeq: number;
  /** Not stored now: a message of this id was, at `streamSeq`. */
  readonly duplicate: boolean;
};

export type BrokerState =
  | { readonly available: true; readonly streamCreated: string }
  | { readonly available: false; readonly reason: OperatorError };

/** A message as a consumer finds it. */
export type StoredMessage = {
  readonly streamSeq: number;
  readonly subject: string;
  readonly payload: string;
  readonly headers: Readonly<Record<string, string>>;
};

export type ReadOptions = {
  /** Subject filter, wildcards allowed. All events by default. */
  readonly subject?: string;
  /** First stream sequence wanted. The oldest one by default. */
  readonly fromSeq?: number;
  /** What was stored before is not wanted. */
  readonly since?: Date;
  /** Go on with what comes; else end with what was there at the beginning. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
};

/** What the rest of the operator knows of the message broker. */
export type Broker = {
  readonly state: BrokerState;
  /** Calls back on every change of `state`. Returns the function that ends it. */
  onState(listener: (state: BrokerState) => void): () => void;
  /** Begins to connect, and stays connected until `close`. Returns at once and never throws. */
  connect(): void;
  /**
   * Resolves when the stream has stored the message.
   * @throws OperatorError MessageRefused (the broker will not take this message); any other code: the
   *   broker is not available, which says nothing about the message
   */
  publish(message: OutgoingMessage): Promise<PublishReceipt>;
  /** The message at a sequence of the stream; undefined when there is none. @throws as `publish` */
  messageAt(streamSeq: number): Promise<StoredMessage | undefined>;
  /** Reads the stream in order, as a consumer of its own that leaves nothing behind. @throws as `publish` */
  read(options: ReadOptions): AsyncIterable<StoredMessage>;
  close(): Promise<void>;
};

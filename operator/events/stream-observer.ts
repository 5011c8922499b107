import type { GivenUp } from './acknowledged.ts';

/** The event stream now. */
export type StreamState = {
  /** As the server writes it (nanoseconds): tells a stream from its namesake. */
  readonly created: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Sequences between the two that are gone. */
  readonly deleted: ReadonlySet<number>;
  readonly bytes: number;
  /** When its first message was stored, ms since the epoch; absent while it is empty. */
  readonly firstAt?: number;
};

/** A durable consumer of the event stream now. */
export type ConsumerState = {
  readonly name: string;
  /** As the server writes it. */
  readonly created: string;
  /** Subjects it is given; none = all. */
  readonly filters: readonly string[];
  readonly deliverPolicy: string;
  readonly optStartSeq?: number;
  readonly acksExplicitly: boolean;
  readonly ackFloor: number;
  /** The last sequence it was given. */
  readonly deliveredSeq: number;
  readonly pending: number;
  readonly unacknowledged: number;
};

/** What the server gave up, in the order of its reports. */
export type Capture = {
  /** Since when its reports are kept, as the server writes it. */
  readonly created: string;
  /** The newest report read. */
  readonly lastSeq: number;
  /** `at`: ms since the epoch. `deliveries`: how often it was tried. */
  readonly givenUp: readonly (GivenUp & { readonly at: number; readonly deliveries?: number })[];
};

/** What the ack watcher and the auditor ask the broker. Each rejects with an OperatorError when the broker is away. */
export type StreamObserver = {
  stream(): Promise<StreamState>;
  /** Undefined when there is no consumer of this name. */
  consumer(name: string): Promise<ConsumerState | undefined>;
  /** Reports after this one; 0 = all. */
  capture(after: number): Promise<Capture>;
  /** `ce-id` of the message with this sequence; undefined when there is none. */
  eventIdAt(streamSeq: number): Promise<string | undefined>;
};

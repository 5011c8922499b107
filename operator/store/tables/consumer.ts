import type { Generated } from 'kysely';

/** What is known of one incarnation of a stream: numbers of another one mean nothing. */
export type StreamWatermarkTable = {
  /** `created` of the stream, as the server writes it. */
  stream_created: string;
  /** The greatest sequence a receipt was ever recorded for: a stream that ends below has lost something. */
  greatest_seq: number;
  /** Every required consumer was once past this. */
  acknowledged_seq: number;
  /** Why nothing of this stream is acknowledged any more. */
  halted_reason: string | null;
  halted_at: Date | null;
  /** What is below was accounted for when it went; 0 = nobody has compared the record with this stream yet. */
  first_seq: Generated<number>;
  /** Sequences that may have stood for two messages; null when there are none. */
  doubt_from: number | null;
  doubt_through: number | null;
};

/** A durable consumer without whom nothing is acknowledged. */
export type RequiredConsumerTable = {
  name: string;
  /** Changes when it is made anew or its filter changes: then what it has seen begins anew. */
  incarnation: string;
  /** The first sequence it can have been given, as far as we know. */
  start_seq: number;
  /** What is up to here it has had, or people were told that it has not. */
  floor_seq: number;
};

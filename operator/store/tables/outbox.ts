import type { Generated } from 'kysely';

export const OutboxState = {
  Pending: 'Pending',
  Published: 'Published',
  Acknowledged: 'Acknowledged',
  DeadLettered: 'DeadLettered',
  Skipped: 'Skipped',
  Expired: 'Expired',
} as const;

export type OutboxState = (typeof OutboxState)[keyof typeof OutboxState];

/** One event on its way to the broker. `envelope` is the exact text that is sent. */
export type OutboxTable = {
  event_id: string;
  pos: Generated<number>;
  aggregate_kind: string;
  aggregate_id: string;
  aggregate_seq: number;
  tenant_id: string;
  event_type: string;
  schema_version: string;
  subject: string;
  envelope: string;
  occurred_at: Date;
  /** W3C traceparent of the pass that recorded the event. */
  trace_context: string | null;
  state: Generated<OutboxState>;
  attempts: Generated<number>;
  next_attempt_at: Date | null;
  lease_owner: string | null;
  lease_until: Date | null;
  created_at: Generated<Date>;
  published_at: Date | null;
  /** `created` of the stream as the server writes it (nanoseconds): tells a stream from its namesake. */
  stream_created: string | null;
  stream_seq: number | null;
  acknowledged_at: Date | null;
  last_error: string | null;
};

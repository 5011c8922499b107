import type { ColumnType } from 'kysely';

/** The read model: the newest that a consumer of the stream knows of each resource. */
export type ProjectedResourceTable = {
  aggregate_id: string;
  aggregate_kind: string;
  tenant_id: string;
  namespace: string | null;
  name: string | null;
  phase: string | null;
  reason: string | null;
  sequence: number;
  event_type: string;
  occurred_at: Date;
};

/** The read model: every event of each resource. */
export type ProjectedEventTable = {
  aggregate_id: string;
  sequence: number;
  event_id: string;
  event_type: string;
  tenant_id: string;
  occurred_at: Date;
  data: ColumnType<Readonly<Record<string, unknown>>, string, string>;
  stream_created: string;
  stream_seq: number;
};

/** One row: how far into which stream the projection has come. */
export type ProjectionPositionTable = {
  id: boolean;
  stream_created: string;
  stream_seq: number;
};

/** A message the projection could not read or write, kept as it came. */
export type ProjectionParkedTable = {
  stream_created: string;
  stream_seq: number;
  subject: string;
  payload: Buffer;
  error: string;
  parked_at: ColumnType<Date, never, never>;
};

import type { ColumnType, Generated } from 'kysely';

/** One recorded move of an aggregate. Append-only; (aggregate_id, seq) is the lock of optimistic writers. */
export type TransitionTable = {
  aggregate_kind: string;
  /** The UID of the custom resource. */
  aggregate_id: string;
  /** 1, 2, 3, … without gaps, but for what neither a restored record nor the stream had: then only the 1 is stood in for. */
  seq: number;
  tenant_id: string;
  from_phase: string | null;
  to_phase: string;
  reason: string;
  attempt: number;
  observed_at: Date;
  recorded_at: Generated<Date>;
  leader_epoch: number;
  /** Kept here too: the outbox row goes after retention, what was told stays known. */
  event_id: string;
  event_type: string;
  detail: ColumnType<Readonly<Record<string, unknown>>, string, string>;
};

import type { ColumnType, Generated, Kysely, Transaction } from 'kysely';
import type { RequiredConsumerTable, StreamWatermarkTable } from './consumer.ts';
import type { TenantPlaceTable, TenantUsageTable } from './ledger.ts';
import type { OutboxTable } from './outbox.ts';
import type {
  ProjectedEventTable,
  ProjectedResourceTable,
  ProjectionParkedTable,
  ProjectionPositionTable,
} from './projection.ts';
import type { TransitionTable } from './transition.ts';

/** Who did what to which aggregate, written in the transaction of the deed. */
export type AuditLogTable = {
  id: Generated<number>;
  at: Generated<Date>;
  actor: string;
  action: string;
  aggregate_kind: string;
  aggregate_id: string;
  tenant_id: string;
  leader_epoch: number | null;
  detail: ColumnType<Readonly<Record<string, unknown>>, string, string>;
};

/** One row: the epoch whose holder alone may record. */
export type LeaderEpochTable = {
  id: Generated<boolean>;
  epoch: number;
  holder: string;
  taken_at: Generated<Date>;
};

/** Event schemas that consumers have seen; immutable once here. */
export type ReleasedSchemaTable = {
  event_type: string;
  schema_version: string;
  schema: ColumnType<Readonly<Record<string, unknown>>, string, string>;
  released_at: Generated<Date>;
};

export type Tables = {
  transition: TransitionTable;
  outbox: OutboxTable;
  audit_log: AuditLogTable;
  tenant_place: TenantPlaceTable;
  tenant_usage: TenantUsageTable;
  leader_epoch: LeaderEpochTable;
  released_schema: ReleasedSchemaTable;
  stream_watermark: StreamWatermarkTable;
  required_consumer: RequiredConsumerTable;
  projected_resource: ProjectedResourceTable;
  projected_event: ProjectedEventTable;
  projection_position: ProjectionPositionTable;
  projection_parked: ProjectionParkedTable;
};

/** Runs each statement on its own. */
export type Db = Kysely<Tables>;

/** An open transaction: asked for where statements must commit together. */
export type Trx = Transaction<Tables>;

import { type Kysely, sql } from 'kysely';

/** What the ack watcher and the projection keep. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Small: only what is on the stream and not acknowledged. The ack watcher walks it in the stream's order.
  `create index outbox_unacknowledged on outbox (stream_created, stream_seq) where state = 'Published'`,

  `create table stream_watermark (
    stream_created text primary key,
    greatest_seq bigint not null default 0,
    acknowledged_seq bigint not null default 0,
    halted_reason text,
    halted_at timestamptz
  )`,
  `create table required_consumer (
    name text primary key,
    incarnation text not null,
    start_seq bigint not null,
    floor_seq bigint not null
  )`,

  `create table projected_resource (
    aggregate_id text primary key,
    aggregate_kind text not null,
    tenant_id text not null,
    namespace text,
    name text,
    phase text,
    reason text,
    sequence integer not null,
    event_type text not null,
    occurred_at timestamptz not null
  )`,
  'create index projected_resource_tenant on projected_resource (tenant_id, aggregate_kind)',
  'create index projected_resource_name on projected_resource (namespace, name)',
  `create table projected_event (
    aggregate_id text not null,
    sequence integer not null,
    event_id uuid not null,
    event_type text not null,
    tenant_id text not null,
    occurred_at timestamptz not null,
    data jsonb not null,
    stream_created text not null,
    stream_seq bigint not null,
    primary key (aggregate_id, sequence)
  )`,
  `create table projection_position (
    id boolean primary key default true check (id),
    stream_created text not null,
    stream_seq bigint not null
  )`,
  `create table projection_parked (
    stream_created text not null,
    stream_seq bigint not null,
    subject text not null,
    payload bytea not null,
    error text not null,
    parked_at timestamptz not null default now(),
    primary key (stream_created, stream_seq)
  )`,
] as const;

import { type Kysely, sql } from 'kysely';

/** The tables of the first release. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table transition (
    aggregate_kind text not null,
    aggregate_id text not null,
    seq integer not null check (seq > 0),
    tenant_id text not null,
    from_phase text,
    to_phase text not null,
    reason text not null,
    attempt integer not null,
    observed_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    leader_epoch bigint not null,
    event_id uuid not null,
    event_type text not null,
    detail jsonb not null,
    primary key (aggregate_id, seq)
  )`,
  // The newest row of each phase, read once per reconcile, without walking the whole history.
  'create index transition_phase on transition (aggregate_id, to_phase, seq)',
  // Every aggregate that ever was, for the hunt after rows without a resource.
  'create index transition_first on transition (aggregate_kind, aggregate_id) where seq = 1',

  // Lease columns stand in no index, so that taking a lease is a HOT update; fillfactor leaves room for it.
  `create table outbox (
    event_id uuid primary key,
    pos bigint generated always as identity,
    aggregate_kind text not null,
    aggregate_id text not null,
    aggregate_seq integer not null,
    tenant_id text not null,
    event_type text not null,
    schema_version text not null,
    subject text not null,
    envelope text not null,
    occurred_at timestamptz not null,
    trace_context text,
    state text not null default 'Pending' check (state in ('Pending', 'Published', 'Acknowledged', 'DeadLettered', 'Skipped', 'Expired')),
    attempts integer not null default 0,
    next_attempt_at timestamptz,
    lease_owner text,
    lease_until timestamptz,
    created_at timestamptz not null default now(),
    published_at timestamptz,
    stream_created text,
    stream_seq bigint,
    acknowledged_at timestamptz,
    last_error text,
    constraint outbox_aggregate_seq unique (aggregate_id, aggregate_seq)
  ) with (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
  )`,
  `create index outbox_pending on outbox (pos) where state = 'Pending'`,
  // Small: only what is not out yet. Answers "is an earlier event of this aggregate still open?".
  `create index outbox_open on outbox (aggregate_id, aggregate_seq) where state in ('Pending', 'DeadLettered')`,

  `create table audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    aggregate_kind text not null,
    aggregate_id text not null,
    tenant_id text not null,
    leader_epoch bigint,
    detail jsonb not null
  )`,
  'create index audit_log_at on audit_log using brin (at)',

  `create table tenant_usage (
    tenant_id text not null,
    resource text not null,
    used bigint not null check (used >= 0),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, resource)
  )`,

  `create table leader_epoch (
    id boolean primary key default true check (id),
    epoch bigint not null,
    holder text not null,
    taken_at timestamptz not null default now()
  )`,
  `insert into leader_epoch (epoch, holder) values (0, '')`,

  `create table released_schema (
    event_type text not null,
    schema_version text not null,
    schema jsonb not null,
    released_at timestamptz not null default now(),
    primary key (event_type, schema_version)
  )`,
] as const;

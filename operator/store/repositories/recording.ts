import { type RawBuilder, sql } from 'kysely';
import { OperatorError } from '../../kernel/errors.ts';
import { isUniqueViolation, StoreErrorCode } from '../errors.ts';
import type { Db } from '../tables/index.ts';
import type { LedgerResource } from '../tables/ledger.ts';
import { notLeader } from '../unit-of-work.ts';

/** An event as the registry encoded it. */
export type NewOutboxRow = {
  readonly eventId: string;
  readonly eventType: string;
  readonly schemaVersion: string;
  readonly subject: string;
  /** The exact text that will be sent. */
  readonly envelope: string;
  readonly occurredAt: Date;
  readonly seq: number;
  /** W3C traceparent. */
  readonly traceContext: string;
};

export type NewTransition = {
  readonly from: string | null;
  readonly to: string;
  readonly reason: string;
  readonly attempt: number;
  readonly observedAt: Date;
  readonly detail: Readonly<Record<string, unknown>>;
};

/** What a recording does to the quota ledger. A place is held once; taking one that is held and releasing none is fine. */
export type PlaceChange =
  | {
      readonly kind: 'take';
      readonly resource: LedgerResource;
      /** Whose quota it counts against. */
      readonly tenantId: string;
      readonly namespace: string;
      /** How many places there are; unbounded when left out. */
      readonly limit?: number;
    }
  | { readonly kind: 'release' };

/** All that one pass observed of one aggregate. */
export type Recording = {
  readonly aggregate: { readonly kind: string; readonly id: string };
  readonly tenantId: string;
  /** The epoch this process leads in. */
  readonly epoch: number;
  /** Sequence of the newest row that was read; 0 when there is none. */
  readonly lastSeq: number;
  /** At least one; they become lastSeq + 1, lastSeq + 2, … */
  readonly transitions: readonly NewTransition[];
  /** One per transition, in the same order. */
  readonly outbox: readonly NewOutboxRow[];
  /** Left out by whoever keeps what it has. */
  readonly place?: PlaceChange;
  readonly audit: {
    readonly actor: string;
    readonly action: string;
    readonly detail: Readonly<Record<string, unknown>>;
  };
};

type Written = {
  fenced: number;
  preceded: number;
  admitted: number;
  moved: number;
  queued: number;
  audited: number;
};

const keys: ReadonlySet<string> = new Set(['transition_pkey', 'outbox_pkey', 'outbox_aggregate_seq']);

/**
 * Records transitions, their events, an audit row and what becomes of the quota: one statement, all or nothing.
 * Returns the sequence of the last transition written.
 * @throws OperatorError SequenceConflict (someone recorded first: observe again), QuotaReached, NotLeader,
 *   RecordingInvalid, DatabaseUnavailable
 */
export async function recordTransitions(db: Db, recording: Recording): Promise<number> {
  const rows = recordedRows(recording);
  const written = await write(db, recording, JSON.stringify(rows)).catch((error: unknown) => {
    if (isUniqueViolation(error, keys)) throw sequenceConflict(recording, { cause: error });
    throw error;
  });
  // A statement whose fence matched nothing succeeds and writes nothing: only the counts tell.
  if (written?.fenced !== 1) throw notLeader(recording.epoch);
  if (written.preceded !== 1) throw sequenceConflict(recording);
  if (written.admitted !== 1) {
    const { kind, id } = recording.aggregate;
    throw new OperatorError(StoreErrorCode.QuotaReached, 'conflict', `no place is left for ${kind} ${id}`);
  }
  if (written.moved !== rows.length || written.queued !== rows.length || written.audited !== 1) {
    throw new OperatorError(StoreErrorCode.RecordingInvalid, 'terminal', 'a recording was written in part');
  }
  return recording.lastSeq + rows.length;
}

function sequenceConflict({ aggregate, lastSeq }: Recording, options?: ErrorOptions): OperatorError {
  const message = `${aggregate.kind} ${aggregate.id} has moved on: its newest row is not ${lastSeq}`;
  return new OperatorError(StoreErrorCode.SequenceConflict, 'conflict', message, options);
}

/** Pairs each transition with its event, as the columns of one JSON record. */
function recordedRows({ transitions, outbox, lastSeq }: Recording): readonly Readonly<Record<string, unknown>>[] {
  const inOrder = outbox.every((event, index) => event.seq === lastSeq + 1 + index);
  if (transitions.length === 0 || transitions.length !== outbox.length || !inOrder) {
    throw new OperatorError(
      StoreErrorCode.RecordingInvalid,
      'terminal',
      `every transition needs its own event, numbered from ${lastSeq + 1}`,
    );
  }
  return outbox.map(
    ({ eventId, eventType, schemaVersion, subject, envelope, occurredAt, seq, traceContext }, index) => ({
      ...transitions[index],
      ...{ eventId, eventType, schemaVersion, subject, envelope, occurredAt, seq, traceContext },
    }),
  );
}

/** A prepared statement for each form it takes. */
const statementNames = {
  keep: sql.raw('/*record_transitions*/'),
  take: sql.raw('/*record_and_take*/'),
  release: sql.raw('/*record_and_release*/'),
} as const;

async function write(db: Db, recording: Recording, rows: string): Promise<Written | undefined> {
  const { aggregate, audit, epoch, lastSeq, tenantId } = recording;
  const result = await sql<Written>`${statementNames[recording.place?.kind ?? 'keep']}
    with fence as materialized (
      select 1 from leader_epoch where epoch = ${epoch}::bigint for share
    ), given as (
      select ${aggregate.kind}::text as kind, ${aggregate.id}::text as id, ${tenantId}::text as tenant, ${lastSeq}::integer as last_seq
    ), preceding as materialized (
      select given.* from given, fence
      where last_seq = 0 or exists (select 1 from transition t where t.aggregate_id = given.id and t.seq = given.last_seq)
    ), ${ledger(recording.place)} fact as materialized (
      select admitted.*, row.* from admitted, json_to_recordset(${rows}::json) as row(
        seq integer, "from" text, "to" text, reason text, attempt integer, "observedAt" timestamptz, detail jsonb,
        "eventId" uuid, "eventType" text, "schemaVersion" text, subject text, envelope text,
        "occurredAt" timestamptz, "traceContext" text)
    ), moved as (
      insert into transition (aggregate_kind, aggregate_id, seq, tenant_id, from_phase, to_phase, reason, attempt,
        observed_at, leader_epoch, event_id, event_type, detail)
      select kind, id, seq, tenant, "from", "to", reason, attempt, "observedAt", ${epoch}::bigint, "eventId", "eventType", detail
      from fact order by seq
      returning 1
    ), queued as (
      insert into outbox (event_id, aggregate_kind, aggregate_id, aggregate_seq, tenant_id, event_type, schema_version,
        subject, envelope, occurred_at, trace_context)
      select "eventId", kind, id, seq, tenant, "eventType", "schemaVersion", subject, envelope, "occurredAt", "traceContext"
      from fact order by seq
      returning 1
    ), audited as (
      insert into audit_log (actor, action, aggregate_kind, aggregate_id, tenant_id, leader_epoch, detail)
      select ${audit.actor}::text, ${audit.action}::text, kind, id, tenant, ${epoch}::bigint, ${JSON.stringify(audit.detail)}::jsonb
      from admitted
      returning 1
    )
    select (select count(*) from fence)::integer as fenced, (select count(*) from preceding)::integer as preceded,
      (select count(*) from admitted)::integer as admitted, (select count(*) from moved)::integer as moved, (select count(*) from queued)::integer as queued,
      (select count(*) from audited)::integer as audited`.execute(db);
  return result.rows[0];
}

/**
 * The CTEs between `preceding` and `fact` that end in `admitted`: the aggregate, or nothing when it gets no place. The
 * row of `tenant_usage` is the lock: of two who want the last place the second waits and then finds none.
 */
function ledger(place: PlaceChange | undefined): RawBuilder<unknown> {
  if (place === undefined) return sql`admitted as materialized (select * from preceding),`;
  if (place.kind === 'release') {
    // An insert where an update would do: it sees the row of a tenant that got the place a moment ago.
    return sql`admitted as materialized (select * from preceding), released as (
      delete from tenant_place t using admitted where t.aggregate_id = admitted.id
      returning t.tenant_id, t.resource
    ), freed as (
      insert into tenant_usage as u (tenant_id, resource, used) select tenant_id, resource, 0 from released
      on conflict (tenant_id, resource) do update set used = greatest(u.used - 1, 0), updated_at = now()
      returning 1
    ),`;
  }
  const { resource, tenantId, namespace, limit = null } = place;
  const within = (used: RawBuilder<unknown>) => sql`(${limit}::bigint is null or ${used} < ${limit}::bigint)`;
  return sql`asked as materialized (
      select id from preceding
      where not exists (select 1 from tenant_place t where t.aggregate_id = preceding.id)
    ), granted as (
      insert into tenant_usage as u (tenant_id, resource, used)
      select ${tenantId}::text, ${resource}::text, 1 from asked where ${within(sql`0`)}
      on conflict (tenant_id, resource) do update set used = u.used + 1, updated_at = now()
      where ${within(sql`u.used`)}
      returning 1
    ), admitted as materialized (
      select * from preceding where exists (select 1 from granted) or not exists (select 1 from asked)
    ), placed as (
      insert into tenant_place (aggregate_id, resource, tenant_id, namespace)
      select id, ${resource}::text, ${tenantId}::text, ${namespace}::text from asked where exists (select 1 from granted)
      returning 1
    ),`;
}

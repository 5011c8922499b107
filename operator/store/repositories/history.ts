import { sql } from 'kysely';
import type { Db } from '../tables/index.ts';
import type { OutboxState } from '../tables/outbox.ts';

/** A row of the history together with what became of its event. */
export type RecordedTransition = {
  readonly seq: number;
  readonly from: string | null;
  readonly to: string;
  readonly reason: string;
  readonly attempt: number;
  readonly observedAt: Date;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly tenantId: string;
  /** W3C traceparent of the pass that recorded it; absent once retention took the outbox row. */
  readonly traceContext?: string;
  readonly event: {
    readonly id: string;
    readonly type: string;
    /** Acknowledged as well when retention has taken the outbox row: it takes no other. */
    readonly state: OutboxState;
    readonly publishedAt?: Date;
    readonly lastError?: string;
  };
};

/** What a reconcile needs of the past of one aggregate. */
export type AggregateHistory = {
  /** The newest row; absent when nothing was ever recorded. */
  readonly last?: RecordedTransition;
  /** For each phase ever entered the newest row that entered it. */
  readonly latestByPhase: Readonly<Record<string, RecordedTransition>>;
  /** The earliest event that is not out yet (Pending or DeadLettered). */
  readonly firstUnpublishedSeq?: number;
};

type HistoryRow = {
  seq: number;
  from_phase: string | null;
  to_phase: string;
  reason: string;
  attempt: number;
  observed_at: Date;
  detail: Readonly<Record<string, unknown>>;
  tenant_id: string;
  event_id: string;
  event_type: string;
  trace_context: string | null;
  state: OutboxState;
  published_at: Date | null;
  last_error: string | null;
  first_unpublished: number | null;
};

/**
 * The newest row per phase, in one query whose cost depends on the number of phases and not on the
 * length of the history.
 * @throws OperatorError DatabaseUnavailable
 */
export async function readHistory(db: Db, kind: string, id: string): Promise<AggregateHistory> {
  // Walks the index (aggregate_id, to_phase, seq) from one phase to the next.
  const { rows } = await sql<HistoryRow>`/*read_history*/
    with recursive newest as (
      (select to_phase, seq from transition where aggregate_id = ${id} order by to_phase desc, seq desc limit 1)
      union all
      select below.to_phase, below.seq
      from newest cross join lateral (
        select to_phase, seq from transition
        where aggregate_id = ${id} and to_phase < newest.to_phase
        order by to_phase desc, seq desc limit 1
      ) below
    )
    select t.seq, t.from_phase, t.to_phase, t.reason, t.attempt, t.observed_at, t.detail, t.tenant_id, t.event_id,
      t.event_type, o.trace_context, coalesce(o.state, 'Acknowledged') as state, o.published_at, o.last_error,
      (select min(aggregate_seq) from outbox where aggregate_id = ${id} and state in ('Pending', 'DeadLettered')) as first_unpublished
    from newest
    join transition t on t.aggregate_id = ${id} and t.seq = newest.seq and t.aggregate_kind = ${kind}
    left join outbox o on o.aggregate_id = ${id} and o.aggregate_seq = newest.seq
    order by t.seq`.execute(db);
  return toHistory(rows);
}

function toHistory(rows: readonly HistoryRow[]): AggregateHistory {
  const recorded = rows.map(toRecordedTransition);
  const last = recorded.at(-1);
  const firstUnpublishedSeq = rows[0]?.first_unpublished;
  return {
    ...(last && { last }),
    latestByPhase: Object.fromEntries(recorded.map((row) => [row.to, row])),
    ...(typeof firstUnpublishedSeq === 'number' && { firstUnpublishedSeq }),
  };
}

function toRecordedTransition(row: HistoryRow): RecordedTransition {
  return {
    seq: row.seq,
    from: row.from_phase,
    to: row.to_phase,
    reason: row.reason,
    attempt: row.attempt,
    observedAt: row.observed_at,
    detail: row.detail,
    tenantId: row.tenant_id,
    ...(row.trace_context !== null && { traceContext: row.trace_context }),
    event: {
      id: row.event_id,
      type: row.event_type,
      state: row.state,
      ...(row.published_at && { publishedAt: row.published_at }),
      ...(row.last_error !== null && { lastError: row.last_error }),
    },
  };
}

/** An aggregate whose story is not over. */
export type OpenAggregate = { readonly id: string; readonly tenantId: string };

/** How many are read at a time: there may be as many as there are agents. */
const openPage = 1_000;

/**
 * All aggregates of a kind without a row that entered `Deleted` (a phase without exit), by id, page by page. Those
 * without a custom resource are the controller's to finish.
 * @throws OperatorError DatabaseUnavailable
 */
export async function* openAggregates(db: Db, kind: string): AsyncGenerator<OpenAggregate> {
  let page = await openAfter(db, kind, '');
  for (;;) {
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < openPage) return;
    page = await openAfter(db, kind, last.id);
  }
}

async function openAfter(db: Db, kind: string, after: string): Promise<readonly OpenAggregate[]> {
  const { rows } = await sql<OpenAggregate>`/*open_aggregates*/
    select f.aggregate_id as id, f.tenant_id as "tenantId" from transition f
    where f.aggregate_kind = ${kind} and f.seq = 1 and f.aggregate_id > ${after}
      and not exists (select 1 from transition d where d.aggregate_id = f.aggregate_id and d.to_phase = 'Deleted')
    order by f.aggregate_id limit ${openPage}::integer`.execute(db);
  return rows;
}

/**
 * The ids of a tenant's aggregates of a kind without a row that entered `Deleted`, by id.
 * @throws OperatorError DatabaseUnavailable
 */
export async function openAggregatesOf(db: Db, kind: string, tenantId: string): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    select f.aggregate_id as id from transition f
    where f.aggregate_kind = ${kind} and f.seq = 1 and f.tenant_id = ${tenantId}
      and not exists (select 1 from transition d where d.aggregate_id = f.aggregate_id and d.to_phase = 'Deleted')
    order by f.aggregate_id`.execute(db);
  return rows.map(({ id }) => id);
}

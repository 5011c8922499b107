import { sql } from 'kysely';
import type { Db } from '../tables/index.ts';
import type { EventCursor } from './event-log.ts';

/** Rows looked at, and so removed, by one statement at most. */
export const retentionBatch = 500;

/** What one batch did; `next` is where the one after it begins, absent at the end of the table. */
export type Batch<Cursor> = { readonly removed: number; readonly next?: Cursor };

/**
 * Looks at a batch of events after `cursor` and removes those that have been over for `keepMs`: Acknowledged, Skipped
 * or Expired, and not the newest of their aggregate. An Expired one may have left the stream as late as `keepMs` after it
 * was published, and can be replayed for as long again. What others work on this moment stays until the next time. The
 * watermark of the stream learns the greatest number that goes, so that it is never given out again; but not that of
 * a tombstone, which nobody sends again when the stream loses it.
 * @throws OperatorError DatabaseUnavailable, DatabaseContention
 */
export async function removeSettledEvents(
  db: Db,
  keepMs: number,
  cursor: EventCursor | undefined,
): Promise<Batch<EventCursor>> {
  const { aggregateId, seq } = cursor ?? { aggregateId: '', seq: 0 };
  type Row = { removed: number; looked: number; last: { id: string; seq: number } | null };
  const { rows } = await sql<Row>`/*remove_settled_events*/
    with page as materialized (
      select event_id, aggregate_id, aggregate_seq from outbox
      where (aggregate_id, aggregate_seq) > (${aggregateId}::text, ${seq}::integer)
      order by aggregate_id, aggregate_seq limit ${retentionBatch}::integer
    ), settled as materialized (
      select o.event_id from page join outbox o on o.event_id = page.event_id
      where o.state in ('Acknowledged', 'Skipped', 'Expired')
        and coalesce(o.acknowledged_at, o.published_at) < now()
          - case o.state when 'Expired' then 2 else 1 end * ${keepMs}::bigint * interval '1 millisecond'
        and exists (
          select 1 from outbox newer
          where newer.aggregate_id = page.aggregate_id and newer.aggregate_seq > page.aggregate_seq)
      for update of o skip locked
    ), removed as (
      delete from outbox o using settled where o.event_id = settled.event_id
      returning o.stream_created, o.stream_seq, o.state
    ), remembered as (
      insert into stream_watermark as known (stream_created, greatest_seq)
      select stream_created, max(stream_seq) from removed
      where state <> 'Skipped' and stream_seq is not null group by stream_created order by stream_created
      on conflict (stream_created) do update set greatest_seq = excluded.greatest_seq
      where excluded.greatest_seq > known.greatest_seq
    )
    select (select count(*) from removed)::integer as removed, (select count(*) from page)::integer as looked,
      (select json_build_object('id', aggregate_id, 'seq', aggregate_seq) from page
       order by aggregate_id desc, aggregate_seq desc limit 1) as last`.execute(db);
  const { removed = 0, looked = 0, last = null } = rows[0] ?? {};
  if (last === null || looked < retentionBatch) return { removed };
  return { removed, next: { aggregateId: last.id, seq: last.seq } };
}

/** Where a walk over aggregates stands: after this one. */
export type AggregateCursor = { readonly kind: string; readonly id: string };

/**
 * Looks at a batch of aggregates after `cursor` and removes the whole record of those that have been Deleted for
 * `keepMs` and have nothing to tell any more: transitions, events and what the projection keeps. An aggregate goes
 * whole or not at all, so that none ever looks as if it were open; a longer history than a batch goes by itself.
 * Returns how many transitions were removed.
 * @throws OperatorError DatabaseUnavailable, DatabaseContention
 */
export async function removeEndedAggregates(
  db: Db,
  keepMs: number,
  cursor: AggregateCursor | undefined,
): Promise<Batch<AggregateCursor>> {
  const { kind, id } = cursor ?? { kind: '', id: '' };
  type Row = { removed: number; last: AggregateCursor | null };
  const { rows } = await sql<Row>`/*remove_ended_aggregates*/
    with page as materialized (
      select first.aggregate_kind, first.aggregate_id, ended.seq as length from transition first
      left join lateral (
        select d.seq, d.recorded_at from transition d
        where d.aggregate_id = first.aggregate_id and d.to_phase = 'Deleted' order by d.seq desc limit 1
      ) ended on ended.recorded_at < now() - ${keepMs}::bigint * interval '1 millisecond'
      where first.seq = 1 and (first.aggregate_kind, first.aggregate_id) > (${kind}::text, ${id}::text)
      order by first.aggregate_kind, first.aggregate_id limit ${retentionBatch}::integer
    ), measured as materialized (
      select *, sum(coalesce(length, 0)) over (order by aggregate_kind, aggregate_id) as through,
        row_number() over (order by aggregate_kind, aggregate_id) as place from page
    ), looked as materialized (
      select * from measured where through <= ${retentionBatch}::integer or place = 1
    ), told as materialized (
      select o.aggregate_id, o.state from outbox o join looked on looked.aggregate_id = o.aggregate_id
      where looked.length is not null for update of o
    ), gone as materialized (
      select aggregate_id from looked where length is not null and not exists (
        select 1 from told
        where told.aggregate_id = looked.aggregate_id and told.state not in ('Acknowledged', 'Skipped', 'Expired'))
    ), events as (
      delete from outbox o using gone where o.aggregate_id = gone.aggregate_id
      returning o.stream_created, o.stream_seq, o.state
    ), remembered as (
      insert into stream_watermark as known (stream_created, greatest_seq)
      select stream_created, max(stream_seq) from events
      where state <> 'Skipped' and stream_seq is not null group by stream_created order by stream_created
      on conflict (stream_created) do update set greatest_seq = excluded.greatest_seq
      where excluded.greatest_seq > known.greatest_seq
    ), projected_events as (
      delete from projected_event p using gone where p.aggregate_id = gone.aggregate_id
    ), projected as (
      delete from projected_resource p using gone where p.aggregate_id = gone.aggregate_id
    ), removed as (
      delete from transition t using gone where t.aggregate_id = gone.aggregate_id returning 1
    )
    select (select count(*) from removed)::integer as removed,
      (select json_build_object('kind', aggregate_kind, 'id', aggregate_id) from looked
       order by aggregate_kind desc, aggregate_id desc limit 1) as last`.execute(db);
  const { removed = 0, last = null } = rows[0] ?? {};
  return { removed, ...(last !== null && { next: last }) };
}

/**
 * Looks at a batch of the audit log after the row `cursor`, oldest first, and removes what is older than `keepMs`.
 * By age and not in partitions: those would need the standing table rewritten under a lock that writers wait for.
 * @throws OperatorError DatabaseUnavailable
 */
export async function removeAuditRows(db: Db, keepMs: number, cursor: number | undefined): Promise<Batch<number>> {
  type Row = { removed: number; looked: number; last: number | null };
  const { rows } = await sql<Row>`/*remove_audit_rows*/
    with page as materialized (
      select id, at from audit_log where id > ${cursor ?? 0}::bigint order by id limit ${retentionBatch}::integer
    ), removed as (
      delete from audit_log a using page
      where a.id = page.id and page.at < now() - ${keepMs}::bigint * interval '1 millisecond'
      returning 1
    )
    select (select count(*) from removed)::integer as removed, (select count(*) from page)::integer as looked,
      (select max(id) from page) as last`.execute(db);
  const { removed = 0, looked = 0, last = null } = rows[0] ?? {};
  // Ids rise with time: behind a batch of which all stay, all stay.
  if (last === null || removed === 0 || looked < retentionBatch) return { removed };
  return { removed, next: last };
}

/** Messages that cannot be projected are for people to look at: of a flood the newest will do. */
export const mostParked = 10_000;

/**
 * Removes a batch of the messages the projection put aside: those older than `keepMs`, and the oldest of more than
 * `most`. @throws OperatorError DatabaseUnavailable, DatabaseContention
 */
export async function removeParked(db: Db, keepMs: number, most = mostParked): Promise<Batch<'more'>> {
  const { rows } = await sql<{ removed: number }>`/*remove_parked*/
    with ranked as (
      select stream_created, stream_seq, parked_at,
        row_number() over (order by parked_at desc, stream_seq desc) as place from projection_parked
    ), old as materialized (
      select stream_created, stream_seq from ranked
      where place > ${most}::bigint or parked_at < now() - ${keepMs}::bigint * interval '1 millisecond'
      order by parked_at, stream_seq limit ${retentionBatch}::integer
    ), removed as (
      delete from projection_parked p using old
      where p.stream_created = old.stream_created and p.stream_seq = old.stream_seq returning 1
    )
    select count(*)::integer as removed from removed`.execute(db);
  const { removed = 0 } = rows[0] ?? {};
  return { removed, ...(removed === retentionBatch && { next: 'more' }) };
}

/** How long each kind of row is kept after it is of no more use to the operator; milliseconds. */
export type RetentionTimes = {
  /** Events that are Acknowledged, Skipped or Expired, and messages that the projection put aside. */
  readonly eventsMs: number;
  /** The record of what is Deleted. */
  readonly transitionsMs: number;
  readonly auditMs: number;
};

/** A table in batches: each call of `next` does one and says whether more follow. */
export type RetentionSweep = {
  readonly table: 'outbox' | 'transition' | 'audit_log' | 'projection_parked';
  next(): Promise<{ readonly removed: number; readonly isOver: boolean }>;
};

/** One walk through everything that is kept for a time; each sweep begins anew after its end. */
export function retentionSweeps(
  db: Db,
  { eventsMs, transitionsMs, auditMs }: RetentionTimes,
): readonly RetentionSweep[] {
  return [
    { table: 'outbox', next: walk((cursor: EventCursor | undefined) => removeSettledEvents(db, eventsMs, cursor)) },
    {
      table: 'transition',
      next: walk((cursor: AggregateCursor | undefined) => removeEndedAggregates(db, transitionsMs, cursor)),
    },
    { table: 'audit_log', next: walk((cursor: number | undefined) => removeAuditRows(db, auditMs, cursor)) },
    { table: 'projection_parked', next: walk(() => removeParked(db, eventsMs)) },
  ];
}

function walk<Cursor>(batch: (cursor: Cursor | undefined) => Promise<Batch<Cursor>>): RetentionSweep['next'] {
  let cursor: Cursor | undefined;
  return async () => {
    const { removed, next } = await batch(cursor);
    cursor = next;
    return { removed, isOver: next === undefined };
  };
}

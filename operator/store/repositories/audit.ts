import { sql } from 'kysely';
import type { Db } from '../tables/index.ts';
import { markExpired, type Repairer, returnToPending } from './event-repair.ts';

/** An event that is out, where the stream said it put it. */
export type EventInStream = {
  readonly eventId: string;
  readonly state: 'Published' | 'Acknowledged';
  readonly streamCreated: string;
  readonly streamSeq: number;
  readonly publishedAt: Date;
};

/** What is known of one incarnation of the stream before it is looked at. */
export type StreamAccount = {
  /** The greatest sequence a receipt was recorded for. */
  readonly greatestSeq: number;
  /** What is below was accounted for when it went; 0 = the record was never compared with this stream. */
  readonly firstSeq: number;
  /** Why the numbers of this stream are not trusted now. */
  readonly haltedReason?: string;
  /** Whether something unacknowledged is recorded as being in another incarnation. */
  readonly strays: boolean;
};

/** @throws OperatorError DatabaseUnavailable */
export async function readStreamAccount(db: Db, streamCreated: string): Promise<StreamAccount> {
  type Row = { greatest: number | null; first: number | null; halted: string | null; strays: boolean };
  // Two ranges of an index where "not equal" would read all of it.
  const { rows } = await sql<Row>`/*read_stream_account*/
    select known.greatest_seq as greatest, known.first_seq as first, known.halted_reason as halted,
      exists (select 1 from outbox where state = 'Published' and stream_created < ${streamCreated})
      or exists (select 1 from outbox where state = 'Published' and stream_created > ${streamCreated}) as strays
    from (select 1) one left join stream_watermark known on known.stream_created = ${streamCreated}`.execute(db);
  const { greatest = 0, first = 0, halted = null, strays = false } = rows[0] ?? {};
  return {
    greatestSeq: greatest ?? 0,
    firstSeq: first ?? 0,
    strays,
    ...(halted !== null && { haltedReason: halted }),
  };
}

const columns = sql`event_id as "eventId", state, stream_created as "streamCreated", stream_seq as "streamSeq",
  published_at as "publishedAt"`;

/** A page of all events that are out, by id, after this one. @throws OperatorError DatabaseUnavailable */
export async function listInStream(
  db: Db,
  after: string | undefined,
  limit: number,
): Promise<readonly EventInStream[]> {
  const { rows } = await sql<EventInStream>`/*list_in_stream*/
    select ${columns} from outbox
    where event_id > ${after ?? '00000000-0000-0000-0000-000000000000'}::uuid
      and state in ('Published', 'Acknowledged') and stream_seq is not null
    order by event_id limit ${limit}::integer`.execute(db);
  return rows;
}

/**
 * For each of these ids the next event, as far as it is in this incarnation of the stream: ids are spread evenly, so
 * random ones give a random sample for one step down an index each.
 * @throws OperatorError DatabaseUnavailable
 */
export async function sampleInStream(
  db: Db,
  streamCreated: string,
  points: readonly string[],
): Promise<readonly EventInStream[]> {
  const { rows } = await sql<EventInStream>`/*sample_in_stream*/
    select distinct ${columns} from unnest(${[...points]}::uuid[]) as point(id) cross join lateral (
      select * from outbox where event_id >= point.id order by event_id limit 1
    ) event
    where state in ('Published', 'Acknowledged') and stream_created = ${streamCreated}`.execute(db);
  return rows;
}

/** Published events below a sequence of this stream, in their order. @throws OperatorError DatabaseUnavailable */
export async function listPublishedBelow(
  db: Db,
  streamCreated: string,
  streamSeq: number,
  limit: number,
): Promise<readonly EventInStream[]> {
  const { rows } = await sql<EventInStream>`/*list_published_below*/
    select ${columns} from outbox
    where state = 'Published' and stream_created = ${streamCreated} and stream_seq < ${streamSeq}::bigint
    order by stream_seq limit ${limit}::integer`.execute(db);
  return rows;
}

/** Ends acknowledging for this incarnation, whoever leads, until it is lifted. @throws OperatorError DatabaseUnavailable */
export async function openDiscontinuity(db: Db, streamCreated: string, reason: string): Promise<void> {
  await sql`insert into stream_watermark as known (stream_created, halted_reason, halted_at)
    values (${streamCreated}, ${reason}, now())
    on conflict (stream_created) do update set halted_reason = coalesce(known.halted_reason, excluded.halted_reason),
      halted_at = coalesce(known.halted_at, excluded.halted_at)`.execute(db);
}

/** Sequences of which consumers are not believed; what was doubted before stays so. @throws OperatorError DatabaseUnavailable */
export async function keepDoubt(db: Db, streamCreated: string, from: number, through: number): Promise<void> {
  if (from > through) return;
  await sql`update stream_watermark
    set doubt_from = least(doubt_from, ${from}::bigint), doubt_through = greatest(doubt_through, ${through}::bigint)
    where stream_created = ${streamCreated}`.execute(db);
}

/** Where a stream that agrees with the record begins and ends. */
export type StreamBounds = { readonly streamCreated: string; readonly firstSeq: number; readonly lastSeq: number };

/**
 * The record agrees with the stream: events are acknowledged again. A store that was put back ends below what was
 * once recorded, and is measured anew from here.
 * @throws OperatorError DatabaseUnavailable
 */
export async function closeDiscontinuity(db: Db, { streamCreated, firstSeq, lastSeq }: StreamBounds): Promise<void> {
  await sql`insert into stream_watermark as known (stream_created, first_seq) values (${streamCreated}, ${firstSeq}::bigint)
    on conflict (stream_created) do update set first_seq = excluded.first_seq, halted_reason = null, halted_at = null,
      greatest_seq = least(known.greatest_seq, ${lastSeq}::bigint)`.execute(db);
}

/** The record as the auditor needs it. */
export type AuditStore = {
  readStreamAccount(streamCreated: string): Promise<StreamAccount>;
  listInStream(after: string | undefined, limit: number): Promise<readonly EventInStream[]>;
  sampleInStream(streamCreated: string, points: readonly string[]): Promise<readonly EventInStream[]>;
  listPublishedBelow(streamCreated: string, streamSeq: number, limit: number): Promise<readonly EventInStream[]>;
  markExpired(eventIds: readonly string[]): Promise<number>;
  /** Returns lost events to the publisher; answers the ids of those that will be sent. */
  returnToPending(eventIds: readonly string[]): Promise<readonly string[]>;
  openDiscontinuity(streamCreated: string, reason: string): Promise<void>;
  keepDoubt(streamCreated: string, from: number, through: number): Promise<void>;
  closeDiscontinuity(bounds: StreamBounds): Promise<void>;
};

/** Binds the functions above to a database; `by` stands in the audit log beside what is changed. */
export function auditStoreOf(db: Db, by: Repairer): AuditStore {
  return {
    readStreamAccount: (streamCreated) => readStreamAccount(db, streamCreated),
    listInStream: (after, limit) => listInStream(db, after, limit),
    sampleInStream: (streamCreated, points) => sampleInStream(db, streamCreated, points),
    listPublishedBelow: (streamCreated, streamSeq, limit) => listPublishedBelow(db, streamCreated, streamSeq, limit),
    markExpired: (eventIds) => markExpired(db, eventIds, by),
    returnToPending: (eventIds) => returnToPending(db, eventIds, by),
    openDiscontinuity: (streamCreated, reason) => openDiscontinuity(db, streamCreated, reason),
    keepDoubt: (streamCreated, from, through) => keepDoubt(db, streamCreated, from, through),
    closeDiscontinuity: (bounds) => closeDiscontinuity(db, bounds),
  };
}

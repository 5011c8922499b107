import { sql } from 'kysely';
import type { Db } from '../tables/index.ts';
import { mayBecome } from './row-state.ts';

/** A published event that is not acknowledged. */
export type UnacknowledgedEvent = {
  readonly eventId: string;
  readonly aggregateId: string;
  readonly subject: string;
  readonly streamCreated: string;
  readonly streamSeq: number;
};

/** An event that all required consumers have had. */
export type AcknowledgedEvent = Pick<UnacknowledgedEvent, 'aggregateId' | 'eventId'>;

/** Where to look for events to acknowledge; sequences of one incarnation of the stream. */
export type UnacknowledgedRange = {
  readonly streamCreated: string;
  /** The first and the last sequence wanted. */
  readonly from: number;
  readonly through: number;
  /** Sequences of no interest. */
  readonly except: readonly number[];
  readonly limit: number;
};

/** Published events in the order of the stream. @throws OperatorError DatabaseUnavailable */
export async function listUnacknowledged(db: Db, range: UnacknowledgedRange): Promise<readonly UnacknowledgedEvent[]> {
  const { rows } = await sql<UnacknowledgedEvent>`/*list_unacknowledged*/
    select event_id as "eventId", aggregate_id as "aggregateId", subject, stream_created as "streamCreated",
      stream_seq as "streamSeq"
    from outbox
    where state = 'Published' and stream_created = ${range.streamCreated}
      and stream_seq between ${range.from}::bigint and ${range.through}::bigint
      and stream_seq <> all(${[...range.except]}::bigint[])
      and not exists (
        select 1 from stream_watermark known where known.stream_created = ${range.streamCreated}
          and outbox.stream_seq between known.doubt_from and known.doubt_through)
    order by stream_seq limit ${range.limit}::integer`.execute(db);
  return rows;
}

/**
 * Marks events as Acknowledged, in one statement; those that are not Published any more stay as they are.
 * Returns those it marked.
 * @throws OperatorError DatabaseUnavailable, DatabaseContention
 */
export async function markAcknowledged(db: Db, eventIds: readonly string[]): Promise<readonly AcknowledgedEvent[]> {
  if (eventIds.length === 0) return [];
  const { rows } = await sql<AcknowledgedEvent>`/*mark_acknowledged*/
    update outbox set state = 'Acknowledged', acknowledged_at = clock_timestamp()
    where event_id = any(${[...eventIds]}::uuid[]) and ${mayBecome('Acknowledged', 'ack watcher')}
    returning aggregate_id as "aggregateId", event_id as "eventId"`.execute(db);
  return rows;
}

/** What is known of the numbers of one incarnation of the stream. */
export type StreamWatermark = {
  /** The greatest sequence a receipt was ever recorded for; 0 = none. */
  readonly greatestSeq: number;
  /** How many events wait for their acknowledgement, counted up to 1,000. */
  readonly open: number;
  /** Why nothing of this stream is acknowledged any more. */
  readonly haltedReason?: string;
};

/**
 * Reads the watermark of a stream and raises its greatest sequence to what has been published by now.
 * @throws OperatorError DatabaseUnavailable
 */
export async function readStreamWatermark(db: Db, streamCreated: string): Promise<StreamWatermark> {
  type Row = { greatest: number; open: number; halted: string | null };
  const { rows } = await sql<Row>`/*read_stream_watermark*/
    with published as (
      select coalesce(max(stream_seq), 0) as greatest from outbox
      where state = 'Published' and stream_created = ${streamCreated}
    ), open as (
      select count(*)::integer as count from (
        select 1 from outbox where state = 'Published' and stream_created = ${streamCreated} limit 1000) few
    ), kept as (
      insert into stream_watermark as known (stream_created, greatest_seq)
      select ${streamCreated}, greatest from published
      on conflict (stream_created) do update set greatest_seq = excluded.greatest_seq
        where excluded.greatest_seq > known.greatest_seq
    )
    select greatest(published.greatest, coalesce(known.greatest_seq, 0)) as greatest, open.count as open,
      known.halted_reason as halted
    from published cross join open left join stream_watermark known on known.stream_created = ${streamCreated}`.execute(
    db,
  );
  const { greatest = 0, open = 0, halted = null } = rows[0] ?? {};
  return { greatestSeq: greatest, open, ...(halted !== null && { haltedReason: halted }) };
}

/** Notes how far every required consumer was; it never goes back. @throws OperatorError DatabaseUnavailable */
export async function keepAcknowledgedSeq(db: Db, streamCreated: string, seq: number): Promise<void> {
  await sql`/*keep_acknowledged_seq*/
    update stream_watermark set acknowledged_seq = ${seq}
    where stream_created = ${streamCreated} and acknowledged_seq < ${seq}::bigint`.execute(db);
}

/** Ends acknowledging for this incarnation of the stream, whoever leads, until the auditor lifts it. @throws OperatorError DatabaseUnavailable */
export async function haltAcknowledging(db: Db, streamCreated: string, reason: string): Promise<void> {
  await sql`update stream_watermark set halted_reason = ${reason}, halted_at = now()
    where stream_created = ${streamCreated} and halted_reason is null`.execute(db);
}

/** What is remembered of a required consumer. */
export type KnownConsumer = {
  readonly name: string;
  /** Another value is another consumer, whatever its name. */
  readonly incarnation: string;
  /** The first sequence it can have been given. */
  readonly startSeq: number;
  /** What is up to here it has had, or people were told that it has not. */
  readonly floorSeq: number;
};

/** Every consumer that was ever required. @throws OperatorError DatabaseUnavailable */
export async function readKnownConsumers(db: Db): Promise<readonly KnownConsumer[]> {
  const rows = await db.selectFrom('required_consumer').selectAll().execute();
  return rows.map((row) => ({
    name: row.name,
    incarnation: row.incarnation,
    startSeq: row.start_seq,
    floorSeq: row.floor_seq,
  }));
}

/** Remembers consumers as they are now. @throws OperatorError DatabaseUnavailable */
export async function keepKnownConsumers(db: Db, consumers: readonly KnownConsumer[]): Promise<void> {
  if (consumers.length === 0) return;
  await db
    .insertInto('required_consumer')
    .values(
      consumers.map(({ name, incarnation, startSeq, floorSeq }) => ({
        name,
        incarnation,
        start_seq: startSeq,
        floor_seq: floorSeq,
      })),
    )
    .onConflict((on) =>
      on.column('name').doUpdateSet((eb) => ({
        incarnation: eb.ref('excluded.incarnation'),
        start_seq: eb.ref('excluded.start_seq'),
        floor_seq: eb.ref('excluded.floor_seq'),
      })),
    )
    .execute();
}

/** Events between two sequences of the stream, both included. */
export type MissedEvents = { readonly count: number; readonly firstSeq: number; readonly lastSeq: number };

/** Sequences of one incarnation of the stream; both ends are included. */
export type SequenceRange = { readonly streamCreated: string; readonly firstSeq: number; readonly lastSeq: number };

/** Whether one of these is Published: on the stream, or not yet told apart from those. @throws OperatorError DatabaseUnavailable */
export async function hasPublished(db: Db, { streamCreated, firstSeq, lastSeq }: SequenceRange): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`/*has_published*/
    select exists (select 1 from outbox where state = 'Published' and stream_created = ${streamCreated}
      and stream_seq between ${firstSeq}::bigint and ${lastSeq}::bigint) as found`.execute(db);
  return rows[0]?.found === true;
}

/** Those in this state; undefined when there are none. @throws OperatorError DatabaseUnavailable */
export async function countMissed(
  db: Db,
  state: 'Expired' | 'Published',
  { streamCreated, firstSeq, lastSeq }: SequenceRange,
): Promise<MissedEvents | undefined> {
  type Row = { count: number; first: number | null; last: number | null };
  const { rows } = await sql<Row>`/*count_missed*/
    select count(*)::integer as count, min(stream_seq) as first, max(stream_seq) as last from outbox
    where state = ${state} and stream_created = ${streamCreated}
      and stream_seq between ${firstSeq}::bigint and ${lastSeq}::bigint`.execute(db);
  const { count = 0, first = null, last = null } = rows[0] ?? {};
  return first === null || last === null ? undefined : { count, firstSeq: first, lastSeq: last };
}

/** The outbox as an ack watcher needs it. */
export type AcknowledgementStore = {
  listUnacknowledged(range: UnacknowledgedRange): Promise<readonly UnacknowledgedEvent[]>;
  markAcknowledged(eventIds: readonly string[]): Promise<readonly AcknowledgedEvent[]>;
  readStreamWatermark(streamCreated: string): Promise<StreamWatermark>;
  keepAcknowledgedSeq(streamCreated: string, seq: number): Promise<void>;
  haltAcknowledging(streamCreated: string, reason: string): Promise<void>;
  readKnownConsumers(): Promise<readonly KnownConsumer[]>;
  keepKnownConsumers(consumers: readonly KnownConsumer[]): Promise<void>;
  hasPublished(range: SequenceRange): Promise<boolean>;
  countMissed(state: 'Expired' | 'Published', range: SequenceRange): Promise<MissedEvents | undefined>;
};

/** Binds the functions above to a database. */
export function acknowledgementStoreOf(db: Db): AcknowledgementStore {
  return {
    listUnacknowledged: (range) => listUnacknowledged(db, range),
    markAcknowledged: (eventIds) => markAcknowledged(db, eventIds),
    readStreamWatermark: (streamCreated) => readStreamWatermark(db, streamCreated),
    keepAcknowledgedSeq: (streamCreated, seq) => keepAcknowledgedSeq(db, streamCreated, seq),
    haltAcknowledging: (streamCreated, reason) => haltAcknowledging(db, streamCreated, reason),
    readKnownConsumers: () => readKnownConsumers(db),
    keepKnownConsumers: (consumers) => keepKnownConsumers(db, consumers),
    hasPublished: (range) => hasPublished(db, range),
    countMissed: (state, range) => countMissed(db, state, range),
  };
}

import { sql } from 'kysely';
import type { Db } from '../tables/index.ts';
import { isIn, mayBecome } from './row-state.ts';

/** An event leased to one publisher. */
export type ClaimedEvent = {
  readonly eventId: string;
  readonly pos: number;
  readonly kind: string;
  readonly aggregateId: string;
  readonly seq: number;
  readonly eventType: string;
  readonly schemaVersion: string;
  readonly subject: string;
  readonly envelope: string;
  readonly occurredAt: Date;
  readonly traceContext: string | null;
  readonly attempts: number;
};

export type Claim = {
  /** Who claims; unique per process. */
  readonly owner: string;
  readonly leaseMs: number;
  /** Aggregates at most. */
  readonly heads: number;
  /** Consecutive events of one aggregate at most, to be published one after the other. */
  readonly runLength: number;
  /** Rows below this position are not looked at; 0 looks at all. */
  readonly lowerBound: number;
};

/**
 * Leases the head of each aggregate that has something to publish, and the events that follow it
 * without a gap. A head is Pending, due, not leased, and the event before it is not open. That one was
 * claimed by the same rule, so whatever the number of publishers nothing is out for the first time before
 * all that precedes it. What is sent once more is a head of its own: newer events need not wait for it,
 * unless they follow it directly.
 * Ordered by aggregate and sequence.
 *
 * Its cost must not grow with the rows that vacuum cannot remove while some transaction stays open, nor
 * depend on statistics, which know little of a table that changes this fast: so the event before is looked
 * up alone, by the unique key, and each other part names the one index that can answer it (see `isIn`).
 * @throws OperatorError DatabaseUnavailable, DatabaseContention
 */
export async function claimHeads(db: Db, claim: Claim): Promise<readonly ClaimedEvent[]> {
  const { rows } = await sql<ClaimedEvent>`/*claim_heads*/
    with head as materialized (
      select o.aggregate_id, o.aggregate_seq from outbox o
      where o.state = 'Pending' and o.pos >= ${claim.lowerBound}::bigint
        and (o.lease_until is null or o.lease_until < now())
        and (o.next_attempt_at is null or o.next_attempt_at <= now())
        and coalesce((
          select before.state not in ('Pending', 'DeadLettered') from outbox before
          where before.aggregate_id = o.aggregate_id and before.aggregate_seq = o.aggregate_seq - 1), true)
      order by o.pos limit ${claim.heads}::integer
      for update of o skip locked
    ), run as (
      select member.event_id, member.state from head cross join lateral (
        select s.*, row_number() over follows as number, bool_and(s.state = 'Pending') over follows as pending
        from (
          select event_id, aggregate_seq, state from outbox
          where aggregate_id = head.aggregate_id and aggregate_seq >= head.aggregate_seq
            and state in ('Pending', 'DeadLettered')
          order by aggregate_seq limit ${claim.runLength}::integer
        ) s window follows as (order by s.aggregate_seq)
      ) member where member.pending and member.aggregate_seq = head.aggregate_seq + member.number - 1
    ), leased as (
      update outbox o set lease_owner = ${claim.owner}, lease_until = now() + ${claim.leaseMs}::integer * interval '1 millisecond'
      from run where o.event_id = run.event_id and o.state = run.state
      returning o.*
    )
    select event_id as "eventId", pos, aggregate_kind as kind, aggregate_id as "aggregateId", aggregate_seq as seq,
      event_type as "eventType", schema_version as "schemaVersion", subject, envelope, occurred_at as "occurredAt",
      trace_context as "traceContext", attempts
    from leased order by aggregate_id, aggregate_seq`.execute(db);
  return rows;
}

/** The broker's answer for one event. */
export type PublishedMark = {
  readonly eventId: string;
  /** `created` of the stream that took it. */
  readonly streamCreated: string;
  readonly streamSeq: number;
};

/** An event that was open until this mark. */
export type MarkedEvent = {
  readonly eventId: string;
  readonly publishedAt: Date;
  /** Since its transaction began. */
  readonly latencyMs: number;
};

/**
 * Marks events as Published, in one statement. The broker has them, so this holds whoever has the lease
 * by now. Returns each event that was still open.
 * @throws OperatorError DatabaseUnavailable, DatabaseContention
 */
export async function markPublished(db: Db, marks: readonly PublishedMark[]): Promise<readonly MarkedEvent[]> {
  if (marks.length === 0) return [];
  const ids = marks.map((mark) => mark.eventId);
  const streams = marks.map((mark) => mark.streamCreated);
  const sequences = marks.map((mark) => mark.streamSeq);
  const { rows } = await sql<MarkedEvent>`/*mark_published*/
    update outbox o set state = 'Published', published_at = clock_timestamp(), stream_created = mark.stream_created,
      stream_seq = mark.stream_seq, lease_owner = null, lease_until = null, next_attempt_at = null, last_error = null
    from unnest(${ids}::uuid[], ${streams}::text[], ${sequences}::bigint[]) as mark(event_id, stream_created, stream_seq)
    where o.event_id = mark.event_id and ${mayBecome('Published', 'publisher')}
    returning o.event_id as "eventId", o.published_at as "publishedAt",
      (extract(epoch from o.published_at - o.created_at) * 1000)::float8 as "latencyMs"`.execute(db);
  return rows;
}

/** An event the broker refused. `error` is shown to people: a code and a sentence, no payload. */
export type Refusal = {
  readonly eventId: string;
  readonly owner: string;
  readonly error: string;
};

/**
 * Counts one attempt and gives the lease back; the event is due again after `retryAfterMs`.
 * Returns false when the lease had passed to another publisher, who counts for itself.
 * @throws OperatorError DatabaseUnavailable
 */
export async function markAttemptFailed(db: Db, refusal: Refusal, retryAfterMs: number): Promise<boolean> {
  const result = await sql`/*mark_attempt_failed*/
    update outbox set attempts = attempts + 1, last_error = ${refusal.error}, lease_owner = null, lease_until = null,
      next_attempt_at = now() + ${retryAfterMs}::integer * interval '1 millisecond'
    where event_id = ${refusal.eventId} and ${isIn('Pending')} and lease_owner = ${refusal.owner}`.execute(db);
  return result.numAffectedRows === 1n;
}

/**
 * Parks an event after its last attempt: it blocks its own aggregate, and nobody else, until it is
 * requeued or skipped. Returns false when the lease had passed to another publisher.
 * @throws OperatorError DatabaseUnavailable
 */
export async function deadLetter(db: Db, refusal: Refusal): Promise<boolean> {
  const result = await sql`/*dead_letter*/
    update outbox set state = 'DeadLettered', attempts = attempts + 1, last_error = ${refusal.error},
      lease_owner = null, lease_until = null, next_attempt_at = null
    where event_id = ${refusal.eventId} and ${mayBecome('DeadLettered', 'publisher')}
      and lease_owner = ${refusal.owner}`.execute(db);
  return result.numAffectedRows === 1n;
}

/**
 * Gives leases of `owner` back, so that nobody waits for them to expire; of the given events only, or
 * of all when none are given.
 * @throws OperatorError DatabaseUnavailable, DatabaseContention
 */
export async function releaseLeases(db: Db, owner: string, eventIds?: readonly string[]): Promise<void> {
  if (eventIds?.length === 0) return;
  const which =
    eventIds === undefined
      ? sql`state = 'Pending'`
      : sql`event_id = any(${[...eventIds]}::uuid[]) and ${isIn('Pending')}`;
  await sql`update outbox set lease_owner = null, lease_until = null where ${which} and lease_owner = ${owner}`.execute(
    db,
  );
}

export type OutboxStats = {
  readonly pending: number;
  readonly deadLettered: number;
  /** Age of the oldest pending event, by its commit's clock; 0 when there is none. */
  readonly oldestPendingMs: number;
};

/** Backlog and dead letters. Reads the open rows only. @throws OperatorError DatabaseUnavailable */
export async function outboxStats(db: Db): Promise<OutboxStats> {
  const { rows } = await sql<OutboxStats>`/*outbox_stats*/
    select count(*) filter (where state = 'Pending')::integer as pending,
      count(*) filter (where state = 'DeadLettered')::integer as "deadLettered",
      coalesce(extract(epoch from clock_timestamp() - min(created_at) filter (where state = 'Pending')) * 1000, 0)::float8 as "oldestPendingMs"
    from outbox where state in ('Pending', 'DeadLettered')`.execute(db);
  return rows[0] ?? { pending: 0, deadLettered: 0, oldestPendingMs: 0 };
}

/**
 * The greatest stream sequence ever noted, 0 when there is none: a stream that must be created again
 * starts above it, so that a number never stands for two messages. Reads the table; asked rarely.
 * @throws OperatorError DatabaseUnavailable
 */
export async function greatestStreamSeq(db: Db): Promise<number> {
  // What is published again has no number meanwhile: the watermark still knows the one it had.
  const { rows } = await sql<{ greatest: number }>`
    select greatest((select max(stream_seq) from outbox), (select max(greatest_seq) from stream_watermark), 0) as greatest`.execute(
    db,
  );
  return rows[0]?.greatest ?? 0;
}

/** The outbox as a publisher needs it. */
export type Outbox = {
  claimHeads(claim: Claim): Promise<readonly ClaimedEvent[]>;
  markPublished(marks: readonly PublishedMark[]): Promise<readonly MarkedEvent[]>;
  markAttemptFailed(refusal: Refusal, retryAfterMs: number): Promise<boolean>;
  deadLetter(refusal: Refusal): Promise<boolean>;
  releaseLeases(owner: string, eventIds?: readonly string[]): Promise<void>;
};

/** Binds the functions above to a database. */
export function outboxOf(db: Db): Outbox {
  return {
    claimHeads: (claim) => claimHeads(db, claim),
    markPublished: (marks) => markPublished(db, marks),
    markAttemptFailed: (refusal, retryAfterMs) => markAttemptFailed(db, refusal, retryAfterMs),
    deadLetter: (refusal) => deadLetter(db, refusal),
    releaseLeases: (owner, eventIds) => releaseLeases(db, owner, eventIds),
  };
}

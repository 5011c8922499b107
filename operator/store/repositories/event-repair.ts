import { sql } from 'kysely';
import type { Db } from '../tables/index.ts';
import type { PublishedMark } from './outbox.ts';

/** Who repairs: stands in the audit log beside what was done. */
export type Repairer = { readonly actor: string; readonly detail: Readonly<Record<string, unknown>> };

/**
 * Gives dead-lettered events all their attempts again. Those in another state stay as they are.
 * Returns the ids of those that were requeued.
 * @throws OperatorError DatabaseUnavailable
 */
export async function requeue(db: Db, eventIds: readonly string[], by: Repairer): Promise<readonly string[]> {
  return repair(
    db,
    by,
    'event.requeued',
    sql`update outbox set state = 'Pending', attempts = 0, next_attempt_at = null
      where state = 'DeadLettered' and event_id = any(${[...eventIds]}::uuid[])
      returning event_id, aggregate_kind, aggregate_id, tenant_id`,
  );
}

/**
 * Returns events that were out to Pending: the publisher sends them again, each before any later one of its
 * aggregate. Those not out, and those skipped, stay as they are. Returns the ids of those that will be sent.
 * @throws OperatorError DatabaseUnavailable
 */
export async function returnToPending(db: Db, eventIds: readonly string[], by: Repairer): Promise<readonly string[]> {
  return repair(
    db,
    by,
    'event.replayed',
    sql`update outbox set state = 'Pending', attempts = 0, next_attempt_at = null, published_at = null,
        acknowledged_at = null, stream_created = null, stream_seq = null, last_error = null
      where state in ('Published', 'Acknowledged', 'Expired') and event_id = any(${[...eventIds]}::uuid[])
      returning event_id, aggregate_kind, aggregate_id, tenant_id`,
  );
}

/**
 * Ends a dead-lettered event whose tombstone the broker has: later events of its aggregate wait no more.
 * Returns whether it still was dead-lettered.
 * @throws OperatorError DatabaseUnavailable
 */
export async function markSkipped(db: Db, tombstone: PublishedMark, by: Repairer): Promise<boolean> {
  const skipped = await repair(
    db,
    by,
    'event.skipped',
    sql`update outbox set state = 'Skipped', published_at = clock_timestamp(),
        stream_created = ${tombstone.streamCreated}, stream_seq = ${tombstone.streamSeq}::bigint
      where state = 'DeadLettered' and event_id = ${tombstone.eventId}::uuid
      returning event_id, aggregate_kind, aggregate_id, tenant_id`,
  );
  return skipped.length === 1;
}

/**
 * Notes that an event which the stream has at `from` was stored once more, for a consumer that had given it up there:
 * from now on it is looked for at its new place. Returns whether it still was at the old one.
 * @throws OperatorError DatabaseUnavailable
 */
export async function markRedelivered(db: Db, copy: PublishedMark, from: number, by: Repairer): Promise<boolean> {
  const moved = await repair(
    db,
    by,
    'event.redelivered',
    sql`update outbox set stream_seq = ${copy.streamSeq}::bigint
      where event_id = ${copy.eventId}::uuid and state in ('Published', 'Acknowledged')
        and stream_created = ${copy.streamCreated} and stream_seq = ${from}::bigint
      returning event_id, aggregate_kind, aggregate_id, tenant_id`,
  );
  return moved.length === 1;
}

/** The change and what the audit log says of it, in one statement. */
async function repair(
  db: Db,
  by: Repairer,
  action: string,
  change: ReturnType<typeof sql>,
): Promise<readonly string[]> {
  const { rows } = await sql<{ event_id: string }>`
    with changed as (${change}), audited as (
      insert into audit_log (actor, action, aggregate_kind, aggregate_id, tenant_id, leader_epoch, detail)
      select ${by.actor}::text, ${action}::text, aggregate_kind, aggregate_id, tenant_id, null,
        ${JSON.stringify(by.detail)}::jsonb || jsonb_build_object('event_id', event_id)
      from changed
    )
    select event_id from changed`.execute(db);
  return rows.map(({ event_id }) => event_id);
}

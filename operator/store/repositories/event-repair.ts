import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../tables/index.ts';
import type { PublishedMark } from './outbox.ts';
import { isIn, mayBecome } from './row-state.ts';

/** Who repairs: stands in the audit log beside what was done. */
export type Repairer = { readonly actor: string; readonly detail: Readonly<Record<string, unknown>> };

/**
 * Gives dead-lettered events all their attempts again. Those in another state stay as they are.
 * Returns the ids of those that were requeued.
 * @throws OperatorError DatabaseUnavailable
 */
export async function requeue(db: Db, eventIds: readonly string[], by: Repairer): Promise<readonly string[]> {
  return repair(db, by, {
    action: 'event.requeued',
    which: sql`${mayBecome('Pending', 'requeue')} and event_id = any(${[...eventIds]}::uuid[])`,
    change: sql`state = 'Pending', attempts = 0, next_attempt_at = null`,
  });
}

/**
 * Returns events that were out to Pending: the publisher sends them again, those of an aggregate in their order.
 * Those not out, and those skipped, stay as they are. Returns the ids of those that will be sent.
 * @throws OperatorError DatabaseUnavailable
 */
export async function returnToPending(db: Db, eventIds: readonly string[], by: Repairer): Promise<readonly string[]> {
  return repair(db, by, {
    action: 'event.replayed',
    which: sql`${mayBecome('Pending', 'replay', 'auditor')} and event_id = any(${[...eventIds]}::uuid[])`,
    change: sql`state = 'Pending', attempts = 0, next_attempt_at = null, published_at = null, acknowledged_at = null,
      stream_created = null, stream_seq = null, last_error = null`,
  });
}

/**
 * Ends a dead-lettered event whose tombstone the broker has: later events of its aggregate wait no more.
 * Returns whether it still was dead-lettered.
 * @throws OperatorError DatabaseUnavailable
 */
export async function markSkipped(db: Db, tombstone: PublishedMark, by: Repairer): Promise<boolean> {
  const skipped = await repair(db, by, {
    action: 'event.skipped',
    which: sql`${mayBecome('Skipped', 'skip')} and event_id = ${tombstone.eventId}::uuid`,
    change: sql`state = 'Skipped', published_at = clock_timestamp(), stream_created = ${tombstone.streamCreated},
      stream_seq = ${tombstone.streamSeq}::bigint`,
  });
  return skipped.length === 1;
}

/**
 * Notes that an event which the stream has at `from` was stored once more, for a consumer that had given it up there:
 * from now on it is looked for at its new place. Returns whether it still was at the old one.
 * @throws OperatorError DatabaseUnavailable
 */
export async function markRedelivered(db: Db, copy: PublishedMark, from: number, by: Repairer): Promise<boolean> {
  const moved = await repair(db, by, {
    action: 'event.redelivered',
    which: sql`event_id = ${copy.eventId}::uuid and ${isIn('Published', 'Acknowledged')}
      and stream_created = ${copy.streamCreated} and stream_seq = ${from}::bigint`,
    change: sql`stream_seq = ${copy.streamSeq}::bigint`,
  });
  return moved.length === 1;
}

/** Marks events as Expired, those that are still Published. Returns how many. @throws OperatorError DatabaseUnavailable */
export async function markExpired(db: Db, eventIds: readonly string[], by: Repairer): Promise<number> {
  const expired = await repair(db, by, {
    action: 'event.expired',
    which: sql`${mayBecome('Expired', 'auditor')} and event_id = any(${[...eventIds]}::uuid[])`,
    change: sql`state = 'Expired'`,
  });
  return expired.length;
}

type Repair = {
  readonly action: string;
  /** Of the columns of `outbox`. */
  readonly which: RawBuilder<unknown>;
  readonly change: RawBuilder<unknown>;
};

/** The change and what the audit log says of it, what was and what became included, in one statement. */
async function repair(db: Db, by: Repairer, { action, which, change }: Repair): Promise<readonly string[]> {
  const { rows } = await sql<{ event_id: string }>`
    with was as materialized (
      select event_id, jsonb_build_object('state', state, 'stream_seq', stream_seq) as standing from outbox
      where ${which} order by event_id for update
    ), changed as (
      update outbox o set ${change} from was where o.event_id = was.event_id
      returning o.event_id, o.aggregate_kind, o.aggregate_id, o.tenant_id, was.standing,
        jsonb_build_object('state', o.state, 'stream_seq', o.stream_seq) as becomes
    ), audited as (
      insert into audit_log (actor, action, aggregate_kind, aggregate_id, tenant_id, leader_epoch, detail)
      select ${by.actor}::text, ${action}::text, aggregate_kind, aggregate_id, tenant_id, null,
        ${JSON.stringify(by.detail)}::jsonb || jsonb_build_object('event_id', event_id, 'from', standing, 'to', becomes)
      from changed
    )
    select event_id from changed`.execute(db);
  return rows.map(({ event_id }) => event_id);
}

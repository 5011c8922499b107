import { sql } from 'kysely';
import { hasCode } from '../../kernel/errors.ts';
import { StoreErrorCode } from '../errors.ts';
import type { Db, Trx } from '../tables/index.ts';

/** Where a message is in which stream. */
export type StreamPosition = { readonly streamCreated: string; readonly streamSeq: number };

/** An event as a consumer of the stream knows it. */
export type ProjectedEvent = StreamPosition & {
  readonly eventId: string;
  readonly eventType: string;
  readonly kind: string;
  readonly aggregateId: string;
  readonly tenantId: string;
  readonly sequence: number;
  readonly occurredAt: Date;
  readonly data: Readonly<Record<string, unknown>>;
};

/** A message that cannot be projected, as it came. `error` is a code and a sentence. */
export type ParkedMessage = StreamPosition & {
  readonly subject: string;
  readonly payload: string;
  readonly error: string;
};

/**
 * Adds events to the read model and moves its position, in one transaction. What is there already stays as it is, and
 * the present follows from the history: so repeats and replays, in any order, change nothing.
 * @throws OperatorError DatabaseUnavailable, DatabaseContention; DatabaseRefused when an event cannot be written
 */
export async function project(db: Db, events: readonly ProjectedEvent[], position: StreamPosition): Promise<void> {
  await db.transaction().execute(async (trx) => {
    if (events.length > 0) await write(trx, events);
    await movePosition(trx, position);
  });
}

async function write(trx: Trx, events: readonly ProjectedEvent[]): Promise<void> {
  await sql`/*project_events*/
    insert into projected_event (aggregate_id, sequence, event_id, event_type, tenant_id, occurred_at, data,
      stream_created, stream_seq)
    select distinct on ("aggregateId", sequence) "aggregateId", sequence, "eventId", "eventType", "tenantId",
      "occurredAt", data, "streamCreated", "streamSeq"
    from jsonb_to_recordset(${JSON.stringify(events)}::jsonb) as event("eventId" uuid, "eventType" text,
      "aggregateId" text, "tenantId" text, sequence integer, "occurredAt" timestamptz, data jsonb, "streamCreated" text,
      "streamSeq" bigint)
    order by "aggregateId", sequence, "streamSeq"
    on conflict (aggregate_id, sequence) do nothing`.execute(trx);
  await refreshResources(trx, [...new Set(events.map(({ aggregateId }) => aggregateId))]);
}

/** What a resource is now follows from its history; a tombstone counts, and says nothing of it. */
async function refreshResources(trx: Trx, aggregateIds: readonly string[] | undefined): Promise<void> {
  const [name, touched] =
    aggregateIds === undefined
      ? [sql.raw('/*refresh_all*/'), sql`(select distinct aggregate_id as id from projected_event)`]
      : [sql.raw('/*refresh_resources*/'), sql`unnest(${[...aggregateIds]}::text[])`];
  await sql`${name}
    insert into projected_resource as known (aggregate_id, aggregate_kind, tenant_id, namespace, name, phase, reason,
      sequence, event_type, occurred_at)
    select newest.aggregate_id, split_part(newest.event_type, '.', 1), newest.tenant_id, told.data->>'namespace',
      told.data->>'name', told.data->>'phase', told.data->>'reason', newest.sequence, newest.event_type, newest.occurred_at
    from ${touched} as touched(id)
    cross join lateral (
      select * from projected_event where aggregate_id = touched.id order by sequence desc limit 1
    ) newest
    left join lateral (
      select data from projected_event where aggregate_id = touched.id and event_type not like '%.skipped'
      order by sequence desc limit 1
    ) told on true
    on conflict (aggregate_id) do update set tenant_id = excluded.tenant_id, namespace = excluded.namespace,
      name = excluded.name, phase = excluded.phase, reason = excluded.reason, sequence = excluded.sequence,
      event_type = excluded.event_type, occurred_at = excluded.occurred_at
    where excluded.sequence >= known.sequence`.execute(trx);
}

async function movePosition(trx: Trx, { streamCreated, streamSeq }: StreamPosition): Promise<void> {
  await sql`/*move_projection*/
    insert into projection_position as known (stream_created, stream_seq) values (${streamCreated}, ${streamSeq})
    on conflict (id) do update set stream_created = excluded.stream_created, stream_seq = excluded.stream_seq
    where excluded.stream_created <> known.stream_created or excluded.stream_seq > known.stream_seq`.execute(trx);
}

/** Puts a message aside for people, once. @throws OperatorError DatabaseUnavailable */
export async function park(db: Db, message: ParkedMessage): Promise<void> {
  const { streamCreated, streamSeq, subject, payload, error } = message;
  await db
    .insertInto('projection_parked')
    // As bytes: whatever made it unreadable must not make it unwritable.
    .values({ stream_created: streamCreated, stream_seq: streamSeq, subject, payload: Buffer.from(payload), error })
    .onConflict((on) => on.columns(['stream_created', 'stream_seq']).doNothing())
    .execute();
}

/** Whether Postgres will never take what it was given, whoever tries. */
export function isUnwritable(error: unknown): boolean {
  return hasCode(error, StoreErrorCode.DatabaseRefused);
}

/**
 * Forgets what the stream can tell again: events found at or after `firstSeq` of this stream, and what was parked of
 * it. What the stream no longer has stays, and each resource is as its newest remaining event left it.
 * Returns how many events were forgotten.
 * @throws OperatorError DatabaseUnavailable
 */
export async function forgetProjection(
  db: Db,
  { streamCreated, streamSeq: firstSeq }: StreamPosition,
): Promise<number> {
  return db.transaction().execute(async (trx) => {
    const { numDeletedRows } = await trx
      .deleteFrom('projected_event')
      .where('stream_created', '=', streamCreated)
      .where('stream_seq', '>=', firstSeq)
      .executeTakeFirstOrThrow();
    await trx.deleteFrom('projection_parked').where('stream_created', '=', streamCreated).execute();
    await trx.deleteFrom('projection_position').execute();
    await trx.deleteFrom('projected_resource').execute();
    await refreshResources(trx, undefined);
    return Number(numDeletedRows);
  });
}

/** The current state of a resource, as its events told it. */
export type ProjectedResource = {
  readonly aggregateId: string;
  readonly kind: string;
  readonly tenantId: string;
  readonly namespace: string | null;
  readonly name: string | null;
  readonly phase: string | null;
  readonly reason: string | null;
  readonly sequence: number;
  readonly eventType: string;
  readonly occurredAt: Date;
};

/** Every resource of a kind, of one tenant if it is given, by UID. @throws OperatorError DatabaseUnavailable */
export async function listProjected(db: Db, kind: string, tenantId?: string): Promise<readonly ProjectedResource[]> {
  const rows = await db
    .selectFrom('projected_resource')
    .selectAll()
    .where('aggregate_kind', '=', kind)
    .$if(tenantId !== undefined, (query) => query.where('tenant_id', '=', tenantId ?? ''))
    .orderBy('aggregate_id')
    .execute();
  return rows.map(({ aggregate_id, aggregate_kind, tenant_id, event_type, occurred_at, ...same }) => ({
    ...same,
    aggregateId: aggregate_id,
    kind: aggregate_kind,
    tenantId: tenant_id,
    eventType: event_type,
    occurredAt: occurred_at,
  }));
}

/** The history of a resource as its events told it, in their order. @throws OperatorError DatabaseUnavailable */
export async function projectedHistory(db: Db, aggregateId: string): Promise<readonly ProjectedEvent[]> {
  const rows = await db
    .selectFrom('projected_event')
    .selectAll()
    .where('aggregate_id', '=', aggregateId)
    .orderBy('sequence')
    .execute();
  return rows.map((row) => ({
    eventId: row.event_id,
    eventType: row.event_type,
    kind: row.event_type.split('.', 1)[0] ?? '',
    aggregateId: row.aggregate_id,
    tenantId: row.tenant_id,
    sequence: row.sequence,
    occurredAt: row.occurred_at,
    data: row.data,
    streamCreated: row.stream_created,
    streamSeq: row.stream_seq,
  }));
}

/** How far the projection has come; undefined before its first message. @throws OperatorError DatabaseUnavailable */
export async function projectionPosition(db: Db): Promise<StreamPosition | undefined> {
  const row = await db.selectFrom('projection_position').selectAll().executeTakeFirst();
  return row && { streamCreated: row.stream_created, streamSeq: row.stream_seq };
}

/** The read model as the projector needs it. */
export type ProjectionStore = {
  project(events: readonly ProjectedEvent[], position: StreamPosition): Promise<void>;
  park(message: ParkedMessage): Promise<void>;
};

/** Binds the functions above to a database. */
export function projectionStoreOf(db: Db): ProjectionStore {
  return {
    project: (events, position) => project(db, events, position),
    park: (message) => park(db, message),
  };
}

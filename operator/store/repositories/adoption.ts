import { sql } from 'kysely';
import type { Db, Trx } from '../tables/index.ts';
import { markPublished } from './outbox.ts';
import { isIn } from './row-state.ts';

/** An event as it was found on the stream, with what it says of the transition it told. */
export type FoundEvent = {
  readonly eventId: string;
  readonly eventType: string;
  readonly schemaVersion: string;
  readonly kind: string;
  readonly aggregateId: string;
  readonly seq: number;
  readonly tenantId: string;
  readonly subject: string;
  readonly envelope: string;
  readonly occurredAt: Date;
  readonly traceContext: string | null;
  readonly streamCreated: string;
  readonly streamSeq: number;
  /** Phase entered; absent when it stayed in the one before. */
  readonly phase?: string;
  readonly reason: string;
  readonly attempt: number;
  readonly detail: Readonly<Record<string, unknown>>;
  /** What is known of the first event of its aggregate whether the stream still has it or not. */
  readonly first: { readonly eventId: string; readonly eventType: string; readonly phase: string };
};

/** The reason of a row that stands in the place of a first one which neither the record nor the stream has any more. */
export const beginningLost = 'BeginningLost';

export type Adoption = {
  /** Events that were not in the record. */
  readonly adopted: readonly FoundEvent[];
  /** Events in the record under whose id the stream has another text. */
  readonly forked: readonly FoundEvent[];
};

/**
 * When the newest recording was made, by the server's clock; undefined when there is none. What was adopted or repaired
 * since then says nothing of how old the record is.
 * @throws OperatorError DatabaseUnavailable
 */
export async function newestRecordedAt(db: Db): Promise<Date | undefined> {
  const row = await db
    .selectFrom('audit_log')
    .select('at')
    .where('leader_epoch', 'is not', null)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (row !== undefined) return row.at;
  // Retention has taken the audit of a long quiet time; what stands is still recorded.
  const { newest } = await db
    .selectFrom('transition')
    .select((eb) => eb.fn.max('recorded_at').as('newest'))
    .executeTakeFirstOrThrow();
  return newest ?? undefined;
}

type Known = { id: string; seq: number; event_id: string; envelope: string | null; state: string | null };

/** Which of these events the record lacks, or has otherwise. @throws OperatorError DatabaseUnavailable */
export async function compareFound(db: Db, found: readonly FoundEvent[]): Promise<Adoption> {
  const known = await knownOf(db, found);
  const adopted = found.filter((event) => !known.has(keyOf(event)));
  const forked = found.filter((event) => {
    const row = known.get(keyOf(event));
    return row !== undefined && row.envelope !== null && row.state !== 'Skipped' && row.envelope !== event.envelope;
  });
  return { adopted: unique(adopted), forked };
}

/**
 * Makes the record have what the stream has: events it lacks are added as Published with the transitions they told of,
 * those it has as Pending are marked, and those it would tell otherwise are dead-lettered before anybody reads them.
 * Run again it changes nothing.
 * @throws OperatorError DatabaseUnavailable
 */
export async function adopt(trx: Trx, epoch: number, actor: string, found: readonly FoundEvent[]): Promise<Adoption> {
  const adoption = await compareFound(trx, found);
  const { adopted, forked } = adoption;
  const apart = new Set([...adopted, ...forked].map(({ eventId }) => eventId));
  await markPublished(
    trx,
    found.filter(({ eventId }) => !apart.has(eventId)),
  );
  for (const event of adopted.toSorted((a, b) => a.seq - b.seq)) {
    if (event.seq === 1) await removeStandIn(trx, event);
    await add(trx, epoch, actor, event);
  }
  await addStandIns(trx, epoch, adopted);
  if (forked.length > 0) {
    await sql`/*park_forked*/
      with parked as (
        update outbox set state = 'DeadLettered', lease_owner = null, lease_until = null,
          last_error = 'HistoryForked: the stream has another event under this id'
        where event_id = any(${forked.map(({ eventId }) => eventId)}::uuid[]) and ${isIn('Pending')}
        returning event_id, aggregate_kind, aggregate_id, tenant_id
      )
      insert into audit_log (actor, action, aggregate_kind, aggregate_id, tenant_id, leader_epoch, detail)
      select ${actor}, 'event.forked', aggregate_kind, aggregate_id, tenant_id, null, jsonb_build_object(
        'leader_epoch', ${epoch}::bigint, 'event_id', event_id, 'from', jsonb_build_object('state', 'Pending'),
        'to', jsonb_build_object('state', 'DeadLettered'))
      from parked`.execute(trx);
  }
  return adoption;
}

async function knownOf(db: Db, found: readonly FoundEvent[]): Promise<ReadonlyMap<string, Known>> {
  const { rows } = await sql<Known>`
    select t.aggregate_id as id, t.seq, t.event_id, o.envelope, o.state
    from unnest(${found.map(({ aggregateId }) => aggregateId)}::text[], ${found.map(({ seq }) => seq)}::integer[]) as asked(id, seq)
    join transition t on t.aggregate_id = asked.id and t.seq = asked.seq and t.reason <> ${beginningLost}
    left join outbox o on o.aggregate_id = t.aggregate_id and o.aggregate_seq = t.seq`.execute(db);
  return new Map(rows.map((row) => [`${row.id}/${row.seq}`, row]));
}

async function add(trx: Trx, epoch: number, actor: string, event: FoundEvent): Promise<void> {
  const { aggregateId, kind, seq, tenantId } = event;
  await sql`/*adopt_event*/
    with before as (
      select (select to_phase from transition where aggregate_id = ${aggregateId} and seq < ${seq}::integer
          order by seq desc limit 1) as phase,
        (select detail -> 'firstReadyAt' from transition where aggregate_id = ${aggregateId} and to_phase = 'Ready'
          and seq < ${seq}::integer and detail ? 'firstReadyAt' order by seq limit 1) as ready
    ), moved as (
      insert into transition (aggregate_kind, aggregate_id, seq, tenant_id, from_phase, to_phase, reason, attempt,
        observed_at, leader_epoch, event_id, event_type, detail)
      select ${kind}, ${aggregateId}, ${seq}::integer, ${tenantId}, phase,
        coalesce(${event.phase ?? null}::text, phase, 'Active'), ${event.reason}, ${event.attempt}::integer,
        ${event.occurredAt}::timestamptz, ${epoch}::bigint, ${event.eventId}::uuid, ${event.eventType},
        ${JSON.stringify(event.detail)}::jsonb
          || case when ready is null then '{}'::jsonb else jsonb_build_object('firstReadyAt', ready) end
      from before
      returning 1
    ), queued as (
      insert into outbox (event_id, aggregate_kind, aggregate_id, aggregate_seq, tenant_id, event_type, schema_version,
        subject, envelope, occurred_at, trace_context, state, published_at, stream_created, stream_seq)
      values (${event.eventId}::uuid, ${kind}, ${aggregateId}, ${seq}::integer, ${tenantId}, ${event.eventType},
        ${event.schemaVersion}, ${event.subject}, ${event.envelope}, ${event.occurredAt}::timestamptz,
        ${event.traceContext}, 'Published', clock_timestamp(), ${event.streamCreated}, ${event.streamSeq}::bigint)
    )
    insert into audit_log (actor, action, aggregate_kind, aggregate_id, tenant_id, leader_epoch, detail)
    values (${actor}, 'event.adopted', ${kind}, ${aggregateId}, ${tenantId}, null,
      jsonb_build_object('leader_epoch', ${epoch}::bigint, 'event_id', ${event.eventId}::text, 'stream_seq', ${event.streamSeq}::bigint,
        'from', null, 'to', jsonb_build_object('seq', ${event.seq}::integer, 'event_type', ${event.eventType}::text)))`.execute(
    trx,
  );
}

/**
 * Gives an aggregate whose first row is nowhere a row in its place, without an event to send: whatever looks for what
 * is open, holds a place or may be removed looks at first rows. Its time is that of the earliest event there is.
 */
async function addStandIns(trx: Trx, epoch: number, adopted: readonly FoundEvent[]): Promise<void> {
  const earliest = new Map<string, FoundEvent>();
  for (const event of adopted.toSorted((a, b) => b.seq - a.seq)) earliest.set(event.aggregateId, event);
  const cut = [...earliest.values()].filter(({ seq }) => seq > 1);
  if (cut.length === 0) return;
  const rows = cut.map(({ aggregateId, detail, first, kind, occurredAt, tenantId }) => ({
    ...{ kind, id: aggregateId, tenant: tenantId, at: occurredAt, ...first },
    detail: { namespace: detail.namespace, name: detail.name },
  }));
  await sql`/*adopt_beginning*/
    insert into transition (aggregate_kind, aggregate_id, seq, tenant_id, from_phase, to_phase, reason, attempt,
      observed_at, leader_epoch, event_id, event_type, detail)
    select kind, id, 1, tenant, null, phase, ${beginningLost}, 1, at, ${epoch}::bigint, "eventId", "eventType", detail
    from json_to_recordset(${JSON.stringify(rows)}::json) as row(kind text, id text, tenant text, phase text,
      at timestamptz, "eventId" uuid, "eventType" text, detail jsonb)
    on conflict (aggregate_id, seq) do nothing`.execute(trx);
}

/** The stream has the first event after all, behind later ones: it was published again. */
async function removeStandIn(trx: Trx, { aggregateId }: FoundEvent): Promise<void> {
  await sql`delete from transition where aggregate_id = ${aggregateId} and seq = 1 and reason = ${beginningLost}`.execute(
    trx,
  );
}

function keyOf({ aggregateId, seq }: FoundEvent): string {
  return `${aggregateId}/${seq}`;
}

/** A repeat stands in the stream more than once; the first counts. */
function unique(found: readonly FoundEvent[]): readonly FoundEvent[] {
  const firsts = new Map<string, FoundEvent>();
  for (const event of found) if (!firsts.has(event.eventId)) firsts.set(event.eventId, event);
  return [...firsts.values()];
}

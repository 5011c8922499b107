import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely';
import type { Db, Tables } from '../tables/index.ts';
import type { OutboxState } from '../tables/outbox.ts';

/** Which events are meant; what is left out does not matter. */
export type EventFilter = {
  readonly eventIds?: readonly string[];
  readonly tenantId?: string;
  /** UID of the custom resource. */
  readonly aggregateId?: string;
  /** The resources that have, or had, this name. */
  readonly named?: { readonly namespace: string; readonly name: string };
  readonly eventType?: string;
  readonly states?: readonly OutboxState[];
  /** Bounds of occurred_at: from is included, to is not. */
  readonly from?: Date;
  readonly to?: Date;
  /** The first and the last number of the stream. */
  readonly streamSeq?: readonly [number, number];
};

/** An event as the outbox has it, with the name its resource had then. */
export type LoggedEvent = {
  readonly eventId: string;
  readonly pos: number;
  readonly kind: string;
  readonly aggregateId: string;
  readonly namespace: string | null;
  readonly name: string | null;
  readonly seq: number;
  readonly tenantId: string;
  readonly eventType: string;
  readonly schemaVersion: string;
  readonly subject: string;
  readonly envelope: string;
  readonly traceContext: string | null;
  readonly state: OutboxState;
  readonly attempts: number;
  readonly occurredAt: Date;
  readonly publishedAt: Date | null;
  readonly acknowledgedAt: Date | null;
  readonly streamCreated: string | null;
  readonly streamSeq: number | null;
  readonly lastError: string | null;
};

/** The newest events that fit, `limit` at most, in the order in which they were recorded. @throws OperatorError DatabaseUnavailable */
export async function newestEvents(db: Db, filter: EventFilter, limit: number): Promise<readonly LoggedEvent[]> {
  const rows = await selection(db, filter).orderBy('outbox.pos', 'desc').limit(limit).execute();
  return rows.reverse();
}

/** Where a walk over events stands: after this event of this aggregate. */
export type EventCursor = { readonly aggregateId: string; readonly seq: number };

/**
 * A page of the events that fit, aggregate by aggregate and in their order; begins after `cursor`.
 * @throws OperatorError DatabaseUnavailable
 */
export async function eventsAfter(
  db: Db,
  filter: EventFilter,
  cursor: EventCursor | undefined,
  limit: number,
): Promise<readonly LoggedEvent[]> {
  const { aggregateId, seq } = cursor ?? { aggregateId: '', seq: 0 };
  return selection(db, filter)
    .where(sql<SqlBool>`(outbox.aggregate_id, outbox.aggregate_seq) > (${aggregateId}, ${seq}::integer)`)
    .orderBy('outbox.aggregate_id')
    .orderBy('outbox.aggregate_seq')
    .limit(limit)
    .execute();
}

/** How many events fit. @throws OperatorError DatabaseUnavailable */
export async function countEvents(db: Db, filter: EventFilter): Promise<number> {
  const { count } = await db
    .selectFrom('outbox')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where((eb) => eb.and(conditions(eb, filter)))
    .executeTakeFirstOrThrow();
  return count;
}

/** Earlier events of the same aggregate that are not out yet, and later ones that wait behind it. */
export type Neighbours = { readonly openBefore: readonly string[]; readonly waitingBehind: number };

/** @throws OperatorError DatabaseUnavailable */
export async function neighboursOf(db: Db, event: EventCursor): Promise<Neighbours> {
  const { rows } = await sql<{ openBefore: readonly string[]; waitingBehind: number }>`
    select coalesce(array_agg(event_id::text order by aggregate_seq)
        filter (where aggregate_seq < ${event.seq}::integer), '{}') as "openBefore",
      (count(*) filter (where aggregate_seq > ${event.seq}::integer))::integer as "waitingBehind"
    from outbox where aggregate_id = ${event.aggregateId} and state in ('Pending', 'DeadLettered')`.execute(db);
  return rows[0] ?? { openBefore: [], waitingBehind: 0 };
}

function selection(db: Db, filter: EventFilter) {
  return db
    .selectFrom('outbox')
    .leftJoin('transition', (join) =>
      join
        .onRef('transition.aggregate_id', '=', 'outbox.aggregate_id')
        .onRef('transition.seq', '=', 'outbox.aggregate_seq'),
    )
    .where((eb) => eb.and(conditions(eb, filter)))
    .select([
      'outbox.event_id as eventId',
      'outbox.pos as pos',
      'outbox.aggregate_kind as kind',
      'outbox.aggregate_id as aggregateId',
      sql<string | null>`transition.detail ->> 'namespace'`.as('namespace'),
      sql<string | null>`transition.detail ->> 'name'`.as('name'),
      'outbox.aggregate_seq as seq',
      'outbox.tenant_id as tenantId',
      'outbox.event_type as eventType',
      'outbox.schema_version as schemaVersion',
      'outbox.subject as subject',
      'outbox.envelope as envelope',
      'outbox.trace_context as traceContext',
      'outbox.state as state',
      'outbox.attempts as attempts',
      'outbox.occurred_at as occurredAt',
      'outbox.published_at as publishedAt',
      'outbox.acknowledged_at as acknowledgedAt',
      'outbox.stream_created as streamCreated',
      'outbox.stream_seq as streamSeq',
      'outbox.last_error as lastError',
    ]);
}

function conditions(eb: ExpressionBuilder<Tables, 'outbox'>, filter: EventFilter): readonly Expression<SqlBool>[] {
  const { eventIds, tenantId, aggregateId, named, eventType, states, from, to, streamSeq } = filter;
  return [
    eventIds && eb('outbox.event_id', '=', eb.fn.any(eb.val([...eventIds]))),
    tenantId !== undefined && eb('outbox.tenant_id', '=', tenantId),
    aggregateId !== undefined && eb('outbox.aggregate_id', '=', aggregateId),
    named && eb('outbox.aggregate_id', 'in', uidsNamed(eb, named)),
    eventType !== undefined && eb('outbox.event_type', '=', eventType),
    states && eb('outbox.state', 'in', [...states]),
    from && eb('outbox.occurred_at', '>=', from),
    to && eb('outbox.occurred_at', '<', to),
    streamSeq && eb.between('outbox.stream_seq', streamSeq[0], streamSeq[1]),
  ].filter((condition) => typeof condition === 'object');
}

/** Looked up among first rows: a partial index has them all, and nothing else. */
function uidsNamed(
  eb: ExpressionBuilder<Tables, 'outbox'>,
  named: { readonly namespace: string; readonly name: string },
) {
  return eb
    .selectFrom('transition as first')
    .select('first.aggregate_id')
    .where('first.seq', '=', 1)
    .where(sql<SqlBool>`first.detail ->> 'namespace' = ${named.namespace}`)
    .where(sql<SqlBool>`first.detail ->> 'name' = ${named.name}`);
}

import { type RawBuilder, sql } from 'kysely';
import type { Db, Trx } from '../tables/index.ts';
import type { LedgerResource } from '../tables/ledger.ts';

/** Which phases of a kind hold a place: all but these. An aggregate on its way out (`leaving`) holds what it held before. */
export type PlaceRule = {
  readonly kind: string;
  readonly resource: LedgerResource;
  readonly resting: readonly string[];
  readonly leaving?: string;
};

/** What a tenant holds, by resource. */
export type LedgerUse = {
  readonly agents: number;
  readonly pools: number;
  /** Resources whose use was told as exceeded and has not been within bounds since. */
  readonly exceeded: readonly LedgerResource[];
  /** Places booked on the tenant outside of its namespaces, or inside of them on another: `bookPlaces` is due. */
  readonly astray: number;
};

/**
 * How many places of one resource a tenant holds.
 * @throws OperatorError DatabaseUnavailable
 */
export async function placesUsed(db: Db, tenantId: string, resource: LedgerResource): Promise<number> {
  const row = await db
    .selectFrom('tenant_usage')
    .select('used')
    .where('tenant_id', '=', tenantId)
    .where('resource', '=', resource)
    .executeTakeFirst();
  return row?.used ?? 0;
}

/**
 * What a tenant with these namespaces holds of everything.
 * @throws OperatorError DatabaseUnavailable
 */
export async function ledgerUse(db: Db, tenantId: string, namespaces: readonly string[]): Promise<LedgerUse> {
  const { rows } = await sql<{ resource: LedgerResource; used: number; exceeded: boolean }>`
    select resource, used, exceeded from tenant_usage where tenant_id = ${tenantId}`.execute(db);
  const { rows: strays } = await sql<{ astray: number }>`
    select count(*)::integer as astray from tenant_place
    where (tenant_id = ${tenantId} or namespace = any(${[...namespaces]}::text[]))
      and (tenant_id = ${tenantId}) <> (namespace = any(${[...namespaces]}::text[]))`.execute(db);
  const used = (wanted: LedgerResource) => rows.find(({ resource }) => resource === wanted)?.used ?? 0;
  return {
    agents: used('agents'),
    pools: used('pools'),
    exceeded: rows.filter(({ exceeded }) => exceeded).map(({ resource }) => resource),
    astray: strays[0]?.astray ?? 0,
  };
}

/**
 * Books every place in these namespaces on the tenant, and those it has elsewhere on nobody. Nobody loses a place by
 * it: a tenant that gets a namespace may be over its quota afterwards, and then nothing more starts.
 * @throws OperatorError DatabaseUnavailable
 */
export async function bookPlaces(
  trx: Trx,
  tenantId: string,
  namespaces: readonly string[],
  actor: string,
): Promise<void> {
  await sql`/*book_places*/
    with astray as (
      select aggregate_id, tenant_id as was, case when namespace = any(${[...namespaces]}::text[]) then ${tenantId}::text else '' end as becomes
      from tenant_place
      where (tenant_id = ${tenantId} or namespace = any(${[...namespaces]}::text[]))
        and (tenant_id = ${tenantId}) <> (namespace = any(${[...namespaces]}::text[]))
      order by aggregate_id for update
    ), booked as (
      update tenant_place p set tenant_id = astray.becomes from astray where p.aggregate_id = astray.aggregate_id
      returning p.resource, astray.was, astray.becomes
    ), change as materialized (
      select tenant_id, resource, sum(places) as places
      from (select was as tenant_id, resource, -1 as places from booked union all select becomes, resource, 1 from booked) each
      group by tenant_id, resource
    ), before as (
      select change.*, coalesce(u.used, 0) as used from change
      left join tenant_usage u on u.tenant_id = change.tenant_id and u.resource = change.resource
    ), audited as (
      ${audit(actor, 'ledger.booked', sql`used`, sql`greatest(0, used + places)`)} from before where places <> 0
    )
    insert into tenant_usage as u (tenant_id, resource, used)
    select tenant_id, resource, greatest(places, 0) from change order by tenant_id, resource
    on conflict (tenant_id, resource) do update set updated_at = now(), used = greatest(0,
      u.used + (select places from change where change.tenant_id = u.tenant_id and change.resource = u.resource))`.execute(
    trx,
  );
}

/**
 * Remembers whether the use of a resource is told as exceeded.
 * @throws OperatorError DatabaseUnavailable
 */
export async function markExceeded(
  db: Db,
  tenantId: string,
  resource: LedgerResource,
  exceeded: boolean,
  actor: string,
): Promise<void> {
  const state = (value: boolean) => JSON.stringify({ resource, exceeded: value });
  await sql`/*mark_exceeded*/
    with marked as (
      insert into tenant_usage as u (tenant_id, resource, used, exceeded)
      select ${tenantId}::text, ${resource}::text, 0, ${exceeded}
      where ${exceeded} or exists (select 1 from tenant_usage where tenant_id = ${tenantId} and resource = ${resource})
      on conflict (tenant_id, resource) do update set exceeded = ${exceeded}, updated_at = now()
      where u.exceeded <> ${exceeded}
      returning 1
    )
    insert into audit_log (actor, action, aggregate_kind, aggregate_id, tenant_id, leader_epoch, detail)
    select ${actor}::text, ${exceeded ? 'ledger.exceeded' : 'ledger.within'}::text, 'ledger', ${tenantId}::text,
      ${tenantId}::text, null,
      jsonb_build_object('from', ${state(!exceeded)}::jsonb, 'to', ${state(exceeded)}::jsonb)
    from marked`.execute(db);
}

/** The beginning of a statement that says of each (tenant_id, resource) of what it is `from` how its sum changed. */
function audit(actor: string, action: string, was: RawBuilder<unknown>, becomes: RawBuilder<unknown>) {
  const state = (used: RawBuilder<unknown>) => sql`jsonb_build_object('resource', resource, 'used', ${used})`;
  return sql`insert into audit_log (actor, action, aggregate_kind, aggregate_id, tenant_id, leader_epoch, detail)
    select ${actor}::text, ${action}::text, 'ledger', tenant_id, tenant_id, null,
      jsonb_build_object('from', ${state(was)}, 'to', ${state(becomes)})`;
}

/** What a recount had to put right. */
export type Recount = { readonly added: number; readonly removed: number; readonly corrected: number };

/**
 * Makes the ledger what the transitions say: a place for each aggregate whose newest row holds one, and the sums of
 * them. All zeroes when it was so before. Nobody else may record meanwhile: call it in the transaction of a take-over.
 * @throws OperatorError DatabaseUnavailable
 */
export async function recountPlaces(trx: Trx, rules: readonly PlaceRule[], actor: string): Promise<Recount> {
  const { rows } = await sql<{ added: number; removed: number }>`/*recount_places*/
    with rule as (
      select * from json_to_recordset(${JSON.stringify(rules)}::json) as r(kind text, resource text, resting jsonb, leaving text)
    ), holder as materialized (
      select f.aggregate_id, rule.resource, l.tenant_id, coalesce(l.detail ->> 'namespace', '') as namespace
      from rule
      join transition f on f.aggregate_kind = rule.kind and f.seq = 1
      cross join lateral (
        select tenant_id, from_phase, to_phase, detail from transition
        where aggregate_id = f.aggregate_id order by seq desc limit 1
      ) l
      -- Most of those that ever were are Deleted: an index tells, without a look at their rows.
      where not exists (select 1 from transition d where d.aggregate_id = f.aggregate_id and d.to_phase = 'Deleted')
        and not jsonb_exists(rule.resting,
        case when l.to_phase = rule.leaving then coalesce(l.from_phase, l.to_phase) else l.to_phase end)
    ), removed as (
      delete from tenant_place p where not exists (select 1 from holder where holder.aggregate_id = p.aggregate_id)
      returning 1
    ), added as (
      insert into tenant_place (aggregate_id, resource, tenant_id, namespace)
      select aggregate_id, resource, tenant_id, namespace from holder
      on conflict (aggregate_id) do nothing
      returning 1
    )
    select (select count(*) from added)::integer as added, (select count(*) from removed)::integer as removed`.execute(
    trx,
  );
  const { rows: sums } = await sql<{ corrected: number }>`/*recount_usage*/
    with truth as (
      select coalesce(p.tenant_id, u.tenant_id) as tenant_id, coalesce(p.resource, u.resource) as resource,
        coalesce(p.places, 0) as places, coalesce(u.used, 0) as used
      from (select tenant_id, resource, count(*) as places from tenant_place group by tenant_id, resource) p
      full join tenant_usage u on u.tenant_id = p.tenant_id and u.resource = p.resource
      where coalesce(p.places, 0) <> coalesce(u.used, 0)
    ), corrected as (
      insert into tenant_usage (tenant_id, resource, used) select tenant_id, resource, places from truth
      on conflict (tenant_id, resource) do update set used = excluded.used, updated_at = now()
      returning 1
    ), audited as (
      ${audit(actor, 'ledger.recounted', sql`used`, sql`places`)} from truth
    )
    select count(*)::integer as corrected from corrected`.execute(trx);
  return { added: rows[0]?.added ?? 0, removed: rows[0]?.removed ?? 0, corrected: sums[0]?.corrected ?? 0 };
}

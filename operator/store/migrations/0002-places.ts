import { type Kysely, sql } from 'kysely';

/** The quota ledger gets its entries: who holds which place. `tenant_usage` is their sum, and the lock of takers. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Filled from the transitions by the next leader, so that it needs no copy of the rules here.
  `create table tenant_place (
    aggregate_id text primary key,
    resource text not null,
    tenant_id text not null,
    namespace text not null,
    taken_at timestamptz not null default now()
  )`,
  'create index tenant_place_tenant on tenant_place (tenant_id)',
  'create index tenant_place_namespace on tenant_place (namespace)',
  // Whether tenant.quota_exceeded was told of it and it has not been within bounds since.
  'alter table tenant_usage add column exceeded boolean not null default false',
] as const;

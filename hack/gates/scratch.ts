import { Kysely, PostgresDialect, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import pg from 'pg';

/** Migrations by name, as `operator/store/migrations` has them. */
export type Migrations = Readonly<Record<string, Migration>>;

/** Makes an empty database on the server, or a copy of `template`, and returns its URL. */
export async function scratchDatabase(server: string, name: string, template = 'template0'): Promise<string> {
  await withDatabase(server, (db) => sql`create database ${sql.id(name)} template ${sql.id(template)}`.execute(db));
  return server.replace(/[^/]+$/, name);
}

/** Migrates up to and including `last`, or as far as there are migrations. Throws what Postgres says. */
export async function migrateTo(url: string, migrations: Migrations, last?: string): Promise<void> {
  await withDatabase(url, async (db) => {
    const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
    const { error, results } = await (last === undefined ? migrator.migrateToLatest() : migrator.migrateTo(last));
    const failed = results?.find(({ status }) => status === 'Error')?.migrationName;
    if (error !== undefined) throw new Error(`${failed ?? 'the migrator'}: ${messageOf(error)}`, { cause: error });
  });
}

/** The schema as sorted lines of text: columns, constraints, indexes, settings, triggers, functions and views. */
export async function schemaOf(url: string): Promise<readonly string[]> {
  return withDatabase(url, async (db) => {
    const { rows } = await sql<{ line: string }>`
      with ours as (
        select c.oid, c.relname, c.relkind, c.reloptions, c.relpartbound, pg_get_partkeydef(c.oid) as key
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast'
          and c.relname !~ '^kysely_' and c.relkind in ('r', 'p', 'v', 'm', 'S')
      )
      select relname || ' kind ' || relkind::text || coalesce(' ' || array_to_string(reloptions, ','), '') || coalesce(' by ' || key, '') as line
        from ours
      union all
      select relname || '.' || attname || ' ' || format_type(atttypid, atttypmod) || case when attnotnull then ' not null' else '' end
        || case attidentity when '' then '' else ' identity ' || attidentity::text end
        || coalesce(' default ' || pg_get_expr(adbin, adrelid), '')
        from ours join pg_attribute a on attrelid = ours.oid and attnum > 0 and not attisdropped
        left join pg_attrdef d on adrelid = attrelid and adnum = attnum
        where relkind <> 'S'
      union all
      select relname || ' constraint ' || conname || ' ' || pg_get_constraintdef(k.oid) from ours join pg_constraint k on conrelid = ours.oid
      union all
      select relname || ' index ' || pg_get_indexdef(indexrelid) from ours join pg_index on indrelid = ours.oid
      union all
      select relname || ' trigger ' || pg_get_triggerdef(t.oid) from ours join pg_trigger t on tgrelid = ours.oid where not tgisinternal
      union all
      select relname || ' view ' || pg_get_viewdef(oid) from ours where relkind in ('v', 'm')
      union all
      select 'function ' || pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'public' and p.prokind in ('f', 'p')
      order by line`.execute(db);
    return rows.map(({ line }) => line);
  });
}

/** A pool of one connection. Statements fail where they are issued, whatever becomes of the connection. */
export function scratchPool(url: string, types?: pg.CustomTypesConfig): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 1, ...(types && { types }) });
  // The pool ends before its last connection has: a server that is stopped in between must not end the process.
  pool.on('error', () => undefined).on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

async function withDatabase<Result>(url: string, work: (db: Kysely<unknown>) => Promise<Result>): Promise<Result> {
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: scratchPool(url) }) });
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

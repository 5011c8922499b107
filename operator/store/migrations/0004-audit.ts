import { type Kysely, sql } from 'kysely';

/** What the auditor keeps of each incarnation of the stream. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // 0 = nobody has compared the record with this stream yet.
  'alter table stream_watermark add column first_seq bigint not null default 0',
  // Sequences that may have stood for two messages: what consumers say of them is not believed.
  'alter table stream_watermark add column doubt_from bigint',
  'alter table stream_watermark add column doubt_through bigint',
] as const;

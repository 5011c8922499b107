import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../testkit/postgres.ts';
import { openTestDatabase, silent } from '../testkit/store.ts';
import { type Database, migrate, openDatabase, schemaIsCurrent } from './db.ts';
import { migrations } from './migrations/index.ts';

describe('migrations', () => {
  let postgres: TestPostgres;
  let database: Database;

  beforeAll(async () => {
    postgres = await startPostgres();
    database = openTestDatabase(postgres);
  });
  afterAll(async () => {
    await database.close();
    await postgres.stop();
  });

  test('an empty database is not current, and a statement says that the schema is missing', async () => {
    expect(await schemaIsCurrent(database.db)).toBe(false);
    await expect(database.db.selectFrom('outbox').selectAll().execute()).rejects.toMatchObject({
      code: 'SchemaOutdated',
      kind: 'retryable',
    });
  });

  test('three that race: one migrates, all return, each migration is applied once', async () => {
    await Promise.all([1, 2, 3].map(() => migrate(postgres.url, silent)));

    expect(await schemaIsCurrent(database.db)).toBe(true);
    const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(database.db);
    expect(rows).toEqual(Object.keys(migrations).map((name) => ({ name })));
    const epochs = await database.db.selectFrom('leader_epoch').selectAll().execute();
    expect(epochs).toMatchObject([{ epoch: 0, holder: '' }]);
  });

  test('a database that a newer version has migrated is current, and is left alone', async () => {
    await sql`insert into kysely_migration (name, timestamp) values ('9999-future', ${new Date().toISOString()})`.execute(
      database.db,
    );
    expect(await schemaIsCurrent(database.db)).toBe(true);
    await migrate(postgres.url, silent);
  });

  test('a wrong password and an unreachable server are told apart', async () => {
    const wrongPassword = postgres.url.replace('test-password', 'guess');
    await expect(migrate(wrongPassword, silent)).rejects.toMatchObject({ code: 'DatabaseAuthFailed' });
    await expect(migrate('postgres://u:hunter2@127.0.0.1:1/x', silent)).rejects.toMatchObject({
      code: 'DatabaseUnavailable',
    });
  });

  test('a session waits for the disk and has short deadlines, whatever the server defaults to', async () => {
    await sql`alter system set synchronous_commit = off`.execute(database.db);
    await sql`select pg_reload_conf()`.execute(database.db);
    const fresh = openDatabase({
      url: postgres.url,
      poolSize: 1,
      applicationName: 'probe',
      log: silent,
      allowUnsafe: true,
    });
    const { rows } = await sql<Record<string, string>>`
      select current_setting('synchronous_commit') as commit, current_setting('statement_timeout') as statement,
        current_setting('idle_in_transaction_session_timeout') as idle, current_setting('application_name') as name`.execute(
      fresh.db,
    );
    await fresh.close();
    expect(rows).toEqual([{ commit: 'on', statement: '5s', idle: '5s', name: 'probe' }]);
  });
});

import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../testkit/eventually.ts';
import { startPostgres, type TestPostgres } from '../testkit/postgres.ts';
import { openTestDatabase, silent } from '../testkit/store.ts';
import { type Database, openDatabase } from './db.ts';

describe('the database goes and comes back', () => {
  let postgres: TestPostgres;
  let database: Database;
  const seen: boolean[] = [];

  beforeAll(async () => {
    postgres = await startPostgres();
    database = openTestDatabase(postgres, 2);
    database.onAvailability((available) => seen.push(available));
    await database.ping();
  });
  afterAll(async () => {
    await database.close();
    await postgres.stop();
  });

  test('after a crash a statement says so, and the return is noticed without anyone asking', async () => {
    await postgres.kill('SIGKILL');
    await expect(database.ping()).rejects.toMatchObject({ code: 'DatabaseUnavailable', kind: 'retryable' });
    expect(database.available).toBe(false);

    await postgres.restart();
    await eventually('the database is seen to be back', () => database.available);
    expect(seen).toEqual([false, true]);
  });

  test('a terminated backend fails its statement only', async () => {
    // A pool of its own: in the other one a connection may stand that the crash has ended, and nobody has noticed.
    const fresh = openTestDatabase(postgres, 1);
    const asleep = expect(sql`select pg_sleep(30)`.execute(fresh.db)).rejects.toMatchObject({
      code: 'DatabaseUnavailable',
    });
    await eventually('the sleeper is terminated', async () => {
      const { rows } = await sql`
        select pg_terminate_backend(pid) from (select pid from pg_stat_activity where wait_event = 'PgSleep') asleep`.execute(
        database.db,
      );
      return rows.length === 1;
    });
    await asleep;
    await fresh.ping();
    await fresh.close();
  });

  test('a frozen server is given up by our own clock, and its late answers are nobody else’s', async () => {
    const impatient = openDatabase({
      url: postgres.url,
      poolSize: 1,
      applicationName: 'impatient',
      log: silent,
      allowUnsafe: true,
      statementTimeoutMs: 100,
      connectTimeoutMs: 500,
    });
    await impatient.ping();
    postgres.pause();
    await expect(sql`select 'late'`.execute(impatient.db)).rejects.toMatchObject({ code: 'DatabaseUnavailable' });
    postgres.resume();
    await eventually('the server answers again', () => impatient.available);
    expect((await sql`select 'fresh' as answer`.execute(impatient.db)).rows).toEqual([{ answer: 'fresh' }]);
    await impatient.close();
  });

  test('an exhausted pool is a database that is not available', async () => {
    const narrow = openDatabase({
      url: postgres.url,
      poolSize: 1,
      applicationName: 'narrow',
      log: silent,
      allowUnsafe: true,
      connectTimeoutMs: 200,
    });
    await narrow.db.transaction().execute(async (trx) => {
      await sql`select 1`.execute(trx);
      await expect(sql`select 1`.execute(narrow.db)).rejects.toMatchObject({ code: 'DatabaseUnavailable' });
    });
    await narrow.close();
  });
});

describe('a server that may lose what it has committed', () => {
  let postgres: TestPostgres;

  beforeAll(async () => {
    postgres = await startPostgres({ fsync: false });
  });
  afterAll(() => postgres.stop());

  test('is not used, and counts as away', async () => {
    const database = openDatabase({ url: postgres.url, poolSize: 1, applicationName: 'cautious', log: silent });
    await expect(database.ping()).rejects.toMatchObject({ code: 'DatabaseUnsafe', kind: 'retryable' });
    await expect(sql`select 1`.execute(database.db)).rejects.toMatchObject({ code: 'DatabaseUnsafe' });
    expect(database.available).toBe(false);
    await database.close();
  });

  test('is used where that was allowed, and that is said once', async () => {
    const warned: unknown[] = [];
    const log = { ...silent, warn: (fields: object) => void warned.push(fields) };
    const database = openDatabase({
      url: postgres.url,
      poolSize: 2,
      applicationName: 'bold',
      log,
      allowUnsafe: true,
    });
    await Promise.all([database.ping(), database.ping()]);
    await database.close();
    expect(warned).toEqual([{ code: 'DatabaseUnsafe' }]);
  });

  test('one that waits for the disk needs no allowance', async () => {
    const durable = await startPostgres({ fsync: true });
    const database = openDatabase({ url: durable.url, poolSize: 1, applicationName: 'cautious', log: silent });
    await database.ping();
    await database.close();
    await durable.stop();
  });
});

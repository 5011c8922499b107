import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { migrations } from '../../operator/store/migrations/index.ts';
import { eventually } from '../../operator/testkit/eventually.ts';
import { startPostgres, type TestPostgres } from '../../operator/testkit/postgres.ts';
import { checkUpgrades, type Release, readReleases } from './migrations.ts';
import { scratchPool } from './scratch.ts';
import { exerciseStore } from './store-scenario.ts';
import type { Verdict } from './verdict.ts';

let postgres: TestPostgres;
let releases: readonly Release[];

beforeAll(async () => {
  releases = await readReleases();
});
// A server for each test: the databases of a gate have names of their own.
beforeEach(async () => {
  postgres = await startPostgres();
  return () => postgres.stop();
});

function checked(more: Readonly<Record<string, Migration>> = {}): Promise<Verdict> {
  const all = { ...migrations, ...more };
  return checkUpgrades({ server: postgres.url, releases, migrations: all, exercise: exerciseStore });
}

/** A migration after all others. */
function next(...statements: readonly string[]): Readonly<Record<string, Migration>> {
  const up = async (db: Kysely<unknown>) => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  };
  return { '9999-next': { up } };
}

describe('Gate 1 on a real Postgres', () => {
  test('lets pass what is committed', async () => {
    const { findings, checked: done } = await checked();
    expect(findings).toEqual([]);
    expect(done).toHaveLength(3);
  });

  test('lets pass a column that code of the last release need not know', async () => {
    expect((await checked(next('alter table outbox add column colour text'))).findings).toEqual([]);
  });

  test.each<[string, string, string]>([
    ['a column that code of the last release still uses', 'alter table outbox drop column last_error', '42703'],
    ['a column that it does not fill', 'alter table transition add column colour text not null', '23502'],
    ['a table under another name', 'alter table audit_log rename to journal', '42P01'],
    ['a narrower type', 'alter table transition alter column aggregate_id type varchar(8)', '22001'],
    ['what a value no longer may be', `alter table outbox add check (state <> 'Published')`, '23514'],
    ['rows that vanish silently', 'create rule quiet as on insert to audit_log do instead nothing', '0A000'],
  ])('is blocked by %s, and says which statement of which release', async (_, statement, state) => {
    const release = releases.at(-1)?.release;
    const { findings } = await checked(next(statement));
    expect(findings.some(({ where }) => where.includes(`${release}`))).toBe(true);
    expect(findings.map(({ broke }) => broke).join()).toContain(state);
  });

  test('is blocked by a migration that works on empty tables only', async () => {
    const { findings } = await checked(
      next(
        'alter table transition add column colour text not null default lpad($$x$$, 1)',
        'alter table audit_log add column colour text not null',
      ),
    );
    expect(findings.map(({ where }) => where)).toContain(`a database of release ${releases[0]?.release}`);
  });

  test('is blocked by a migration that cannot run at all', async () => {
    const { findings } = await checked(next('create table'));
    expect(findings).toMatchObject([{ where: 'an empty database' }]);
  });

  test('is blocked by a migration that does another thing where there are rows', async () => {
    const conditional =
      'do $$ begin if exists (select from transition) then create table extra (a int); end if; end $$';
    const { findings } = await checked(next(conditional));
    expect(findings.map(({ broke }) => broke).join()).toContain('+ extra.a integer');
  });
});

test('a server that stops under an idle connection of a scratch database ends nobody', async () => {
  const pool = scratchPool(postgres.url);
  await pool.query('select 1');
  await postgres.kill('SIGINT');
  await eventually('the pool has noticed', () => pool.totalCount === 0);
  await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await pool.end();
});

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { startStore, type TestStore } from '../../operator/testkit/store.ts';
import { type Contender, graphileWorker, ourOutbox, pgBoss } from './outbox-contenders.ts';
import { quantile } from './stats.ts';
import { type Figure, figure, note, progress } from './table.ts';

const backlogSize = 20_000;
/** Jobs of one transaction of the backlog. */
const perTransaction = 4;
const writers = 16;
const rate = 200;
const seconds = 10;
const deadlineMs = 60_000;

type Measured = { readonly perSecond: number; readonly p50: number; readonly p95: number };

/**
 * The same work, enqueued in a transaction with the same business row and delivered after its commit, by our outbox
 * and by two job queues that live in Postgres alone: one server, one after the other.
 */
export async function comparison(part: string): Promise<readonly Figure[]> {
  const store = await startStore({ poolSize: writers, fsync: true });
  try {
    await sql`create table business (id uuid primary key default gen_random_uuid(), note text not null)`.execute(
      store.database.db,
    );
    note(`Postgres: ${await serverSettings(store)}`);
    note(
      `${backlogSize} jobs, ${perTransaction} in a transaction with one business row; then ${rate}/s, one in each transaction`,
    );
    const ours = await measured(part, store, ourOutbox);
    const others = [
      { name: 'graphile-worker', found: await measured(part, store, graphileWorker) },
      { name: 'pg-boss', found: await measured(part, store, pgBoss) },
    ];
    note('OpenOS keeps the order of each resource, writes its history and an audit row with it, and is done when the');
    note(
      'broker has the event on the stream. The two others promise neither order nor a broker: their handler is called.',
    );
    return [{ name: 'OpenOS', found: ours }, ...others].flatMap(({ name, found }) =>
      figures(found, ours).map((each) => ({ ...each, what: `${part}: ${name}, ${each.what}` })),
    );
  } finally {
    await store.stop();
  }
}

function figures(found: Measured, ours: Measured): readonly Figure[] {
  const ratio = (value: number, of: number) => `${(value / of).toFixed(2)} ×`;
  return [
    figure(
      'a backlog is delivered, jobs/s',
      `${found.perSecond.toFixed(0)}  (${ratio(found.perSecond, ours.perSecond)})`,
    ),
    figure(`at ${rate}/s, commit → delivered p50`, `${found.p50.toFixed(1)} ms  (${ratio(found.p50, ours.p50)})`),
    figure(`at ${rate}/s, commit → delivered p95`, `${found.p95.toFixed(1)} ms  (${ratio(found.p95, ours.p95)})`),
  ];
}

async function serverSettings({ database }: TestStore): Promise<string> {
  const names = ['fsync', 'synchronous_commit', 'shared_buffers', 'max_wal_size', 'max_connections', 'autovacuum'];
  const { rows } = await sql<{ setting: string }>`select name || '=' || current_setting(name) as setting
    from unnest(${['server_version', ...names]}::text[]) name`.execute(database.db);
  return rows.map(({ setting }) => setting).join(', ');
}

/** The version that is installed; nothing for what is no package. */
async function pinned(name: string): Promise<string> {
  const { devDependencies } = JSON.parse(await readFile('package.json', 'utf8')) as PackageJson;
  const version = devDependencies[name];
  return version === undefined ? '' : ` ${version}`;
}

type PackageJson = { readonly devDependencies: Readonly<Record<string, string>> };

async function measured(
  part: string,
  store: TestStore,
  open: (store: TestStore) => Promise<Contender>,
): Promise<Measured> {
  const contender = await open(store);
  progress(`${part}: ${contender.name}`);
  note(`${contender.name}${await pinned(contender.name)}: ${contender.settings}`);
  const deliveredAt = new Map<string, number>();
  try {
    const ids = await backlog(store, contender);
    // What the ones before have left to write must not be on the account of this one.
    await sql`checkpoint`.execute(store.database.db);
    const started = performance.now();
    await contender.start((id) => {
      // A repeat does not count.
      if (!deliveredAt.has(id)) deliveredAt.set(id, performance.now());
    });
    await done(contender, ids, deliveredAt);
    const perSecond = ids.length / ((performance.now() - started) / 1_000);
    const ms = await atRate(store, contender, deliveredAt);
    return { perSecond, p50: quantile(ms, 0.5), p95: quantile(ms, 0.95) };
  } finally {
    await contender.stop();
  }
}

async function enqueue({ database }: TestStore, contender: Contender, count: number): Promise<readonly string[]> {
  return database.db.transaction().execute(async (trx) => {
    await sql`/*business*/ insert into business (note) values (repeat('b', 200))`.execute(trx);
    return contender.enqueue(trx, count);
  });
}

async function backlog(store: TestStore, contender: Contender): Promise<readonly string[]> {
  const ids: string[] = [];
  let left = backlogSize / perTransaction;
  const writer = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      ids.push(...(await enqueue(store, contender, perTransaction)));
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
  return ids;
}

/** Milliseconds from each commit to its delivery. */
async function atRate(
  store: TestStore,
  contender: Contender,
  deliveredAt: ReadonlyMap<string, number>,
): Promise<readonly number[]> {
  const committedAt = new Map<string, number>();
  const write = async (): Promise<void> => {
    const ids = await enqueue(store, contender, 1);
    for (const id of ids) committedAt.set(id, performance.now());
    contender.committed?.(ids);
  };
  const started = performance.now();
  const writes: Promise<void>[] = [];
  while (writes.length < rate * seconds) {
    const due = Math.min(rate * seconds, Math.floor(((performance.now() - started) / 1_000) * rate));
    while (writes.length < due) writes.push(write());
    await sleep(1);
  }
  await Promise.all(writes);
  await done(contender, [...committedAt.keys()], deliveredAt);
  // A delivery may come before the writer is told of its own commit.
  return [...committedAt].map(([id, at]) => Math.max(0, (deliveredAt.get(id) ?? Number.NaN) - at));
}

/** Resolves when all of these are delivered and nothing is open in the database. */
async function done(
  contender: Contender,
  ids: readonly string[],
  deliveredAt: ReadonlyMap<string, number>,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  const isDelivered = (): boolean => ids.every((id) => deliveredAt.has(id));
  while (!isDelivered() || (await contender.open()) > 0) {
    if (performance.now() > end) throw new Error(`${contender.name}: not all is delivered after ${deadlineMs} ms`);
    await sleep(20);
  }
}

import { sql } from 'kysely';
import { Retention } from '../../operator/events/retention.ts';
import { silentLogger } from '../../operator/kernel/logger.ts';
import { outboxStats } from '../../operator/store/repositories/outbox.ts';
import { retentionSweeps } from '../../operator/store/repositories/retention.ts';
import { openTestDatabase } from '../../operator/testkit/store.ts';
import { comparison } from './outbox-comparison.ts';
import { type AckedEvent, type OutboxWorld, startOutboxWorld } from './outbox-world.ts';
import { quantile } from './stats.ts';
import { atMost, type Figure, figure, progress, report } from './table.ts';

/** `make bench-outbox`: F6 of the targets. PART is one of these. */
const parts: Readonly<Record<string, (part: string) => Promise<readonly Figure[]>>> = {
  drain: (part) => inWorld(part, { syncAlways: false }, drain),
  rate: (part) => inWorld(part, { syncAlways: false }, (world) => steady(world, 10, 30)),
  'open-transaction': (part) => inWorld(part, { syncAlways: false }, besideOpenTransaction),
  'two-publishers': (part) => inWorld(part, { syncAlways: false }, twoPublishers),
  poison: (part) => inWorld(part, { syncAlways: false }, besidePoison),
  retention: (part) => inWorld(part, { syncAlways: false }, besideRetention),
  'sync-always': (part) => inWorld(part, { syncAlways: true }, (world) => steady(world, 20)),
  comparison,
};

const backlogSize = 40_000;
const rate = 1_000;
const seconds = 20;
const openSeconds = 60;
const windowMs = 5_000;
/** Of those who take turns. */
const turns = 3;
const turnSeconds = 5;
const oldEvents = 99_999;

async function inWorld(
  part: string,
  options: { readonly syncAlways: boolean },
  measure: (world: OutboxWorld) => Promise<readonly Figure[]>,
): Promise<readonly Figure[]> {
  progress(part);
  const world = await startOutboxWorld(options);
  try {
    const figures = await measure(world);
    const { events, lost, reordered } = await world.judged();
    const delivered = `events delivered, ${lost} lost, ${reordered} reordered`;
    const target = { text: '0 lost, 0 reordered', met: lost + reordered === 0 };
    return [...figures, { what: delivered, value: `${events}`, target }].map((each) => ({
      ...each,
      what: `${part}: ${each.what}`,
    }));
  } finally {
    await world.stop();
  }
}

/** A backlog of runs of four, as starts leave them; the floor is the bare broker, as many messages in flight. */
async function drain(world: OutboxWorld): Promise<readonly Figure[]> {
  await world.backlog(backlogSize, 4);
  const started = performance.now();
  world.publish();
  await world.drained();
  const perSecond = backlogSize / ((performance.now() - started) / 1_000);
  const floor = await barePublishes(world, backlogSize);
  return [
    {
      what: `a backlog of ${backlogSize} drains, events/s`,
      value: perSecond.toFixed(0),
      target: { text: '≥ 8000', met: perSecond >= 8_000 },
    },
    figure('the bare broker, messages/s (the floor)', floor.toFixed(0)),
    figure('ratio', (perSecond / floor).toFixed(2)),
  ];
}

/** Messages/s of a server of its own without an outbox: what follows in the world is judged by what is in its stream. */
function barePublishes({ bare }: OutboxWorld, count: number): Promise<number> {
  return bare(async (publish) => {
    let sent = 0;
    const started = performance.now();
    const writer = async (): Promise<void> => {
      while (sent < count) {
        sent += 1;
        await publish();
      }
    };
    await Promise.all(Array.from({ length: 128 }, writer));
    return count / ((performance.now() - started) / 1_000);
  });
}

async function steady(world: OutboxWorld, p95: number, p99?: number): Promise<readonly Figure[]> {
  world.publish();
  await world.atRate(rate, 2);
  const floor = await commits(world);
  const acked = await world.atRate(rate, seconds);
  const ms = acked.map((each) => each.ms);
  return [
    atMost(`at ${rate}/s, commit → PubAck p95`, quantile(ms, 0.95), p95, ' ms', 1),
    ...(p99 === undefined ? [] : [atMost(`at ${rate}/s, commit → PubAck p99`, quantile(ms, 0.99), p99, ' ms', 1)]),
    figure('a commit and a bare publish, p95 (the floor)', `${floor.toFixed(1)} ms`),
    figure('ratio', (quantile(ms, 0.95) / floor).toFixed(2)),
  ];
}

/** p95 of what cannot be avoided, on idle servers: one commit, then one acknowledged message. */
function commits({ store, bare }: OutboxWorld): Promise<number> {
  return bare(async (publish) => {
    const ms: number[] = [];
    for (let n = 0; n < 200; n += 1) {
      const started = performance.now();
      await sql`update leader_epoch set taken_at = now()`.execute(store.database.db);
      await publish();
      ms.push(performance.now() - started);
    }
    return quantile(ms, 0.95);
  });
}

/** Vacuum can clean up nothing behind the oldest transaction: claims must not become slow by that. */
async function besideOpenTransaction(world: OutboxWorld): Promise<readonly Figure[]> {
  const unrelated = openTestDatabase(world.store.postgres, 1);
  world.publish();
  await world.atRate(rate, 2);
  const acked = await unrelated.db.transaction().execute(async (trx) => {
    await sql`set local idle_in_transaction_session_timeout = 0`.execute(trx);
    await sql`create table unrelated (id integer)`.execute(trx);
    return world.atRate(rate, openSeconds);
  });
  await unrelated.close();
  const worst = Math.max(...windows(acked).map((ms) => quantile(ms, 0.95)));
  return [atMost(`a write transaction open for ${openSeconds} s: worst p95 of any 5 s`, worst, 25, ' ms', 1)];
}

function windows(acked: readonly AckedEvent[]): readonly (readonly number[])[] {
  return [...Map.groupBy(acked, ({ ackedAt }) => Math.floor(ackedAt / windowMs)).values()]
    .map((window) => window.map(({ ms }) => ms))
    .filter((window) => window.length > rate);
}

async function twoPublishers(world: OutboxWorld): Promise<readonly Figure[]> {
  await world.backlog(backlogSize / 4, 4);
  world.publish();
  world.publish();
  const started = performance.now();
  await world.drained();
  const perSecond = backlogSize / 4 / ((performance.now() - started) / 1_000);
  const ms = (await world.atRate(rate, seconds)).map((each) => each.ms);
  return [
    figure('a backlog drains, events/s', perSecond.toFixed(0)),
    figure(`at ${rate}/s, commit → PubAck p95`, `${quantile(ms, 0.95).toFixed(1)} ms`),
  ];
}

/** One event in a hundred is refused: the others, of other resources, must not feel it. Both in turns, in one run. */
async function besidePoison(world: OutboxWorld): Promise<readonly Figure[]> {
  world.publish({ maxAttempts: 5, attemptBackoffMs: 100 });
  await world.atRate(rate, 2);
  const without: number[] = [];
  const beside: number[] = [];
  let poisoned = 0;
  for (let turn = 0; turn < turns; turn += 1) {
    for (const each of await world.atRate(rate, turnSeconds)) without.push(each.ms);
    const timer = setInterval(() => {
      poisoned += 1;
      void world.poison();
    }, 100_000 / rate);
    const acked = await world.atRate(rate, turnSeconds).finally(() => clearInterval(timer));
    for (const each of acked) beside.push(each.ms);
    await world.drained();
  }
  const { deadLettered } = await outboxStats(world.store.database.db);
  const parked = `${deadLettered} of ${poisoned}`;
  return [
    figure(`at ${rate}/s, commit → PubAck p95`, `${quantile(without, 0.95).toFixed(1)} ms`),
    figure('beside one refused event in 100, p95 of the others', `${quantile(beside, 0.95).toFixed(1)} ms`),
    atMost('ratio', quantile(beside, 0.95) / quantile(without, 0.95), 1.2, '', 2),
    {
      what: 'refused events that were parked after 5 attempts',
      value: parked,
      target: { text: 'all', met: deadLettered === poisoned && poisoned > 0 },
    },
  ];
}

/** Old events go beside the load: claims must not become slow by that. Both in turns, in one run. */
async function besideRetention(world: OutboxWorld): Promise<readonly Figure[]> {
  const { db } = world.store.database;
  await world.past((oldEvents / 3) * 4);
  world.publish();
  await world.atRate(rate, 2);
  const floor: number[] = [];
  const beside: number[] = [];
  let removed = 0;
  const longMs = 365 * 86_400_000;
  const sweeps = retentionSweeps(db, { eventsMs: 3_600_000, transitionsMs: longMs, auditMs: longMs });
  const rowsRemoved = (_table: string, rows: number): void => {
    removed += rows;
  };
  for (let turn = 0; removed < oldEvents && turn < 4 * turns; turn += 1) {
    for (const each of await world.atRate(rate, turnSeconds)) floor.push(each.ms);
    const retention = new Retention({ sweeps, log: silentLogger, metrics: { rowsRemoved } });
    retention.start();
    const acked = await world.atRate(rate, 2 * turnSeconds).finally(() => retention.stop());
    for (const each of acked) beside.push(each.ms);
  }
  return [
    {
      what: 'old events removed',
      value: `${removed}`,
      target: { text: `${oldEvents}`, met: removed === oldEvents },
    },
    figure(`at ${rate}/s, commit → PubAck p95`, `${quantile(floor, 0.95).toFixed(1)} ms`),
    figure('while they go', `${quantile(beside, 0.95).toFixed(1)} ms`),
    atMost('ratio', quantile(beside, 0.95) / quantile(floor, 0.95), 1.2, '', 2),
  ];
}

async function main(): Promise<void> {
  const wanted = process.env.PART || undefined;
  const chosen = Object.entries(parts).filter(([part]) => wanted === undefined || wanted === part);
  if (chosen.length === 0) throw new Error(`PART is one of ${Object.keys(parts).join(', ')}`);
  const figures: Figure[] = [];
  for (const [part, measure] of chosen) figures.push(...(await measure(part)));
  report({ headline: 'The outbox, Postgres with fsync', figures });
}

await main().catch((error: unknown) => {
  process.stderr.write(`bench-outbox: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});

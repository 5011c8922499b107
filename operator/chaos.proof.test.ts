import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { agentResource } from './resources/own.ts';
import { firstAppearances, upTo } from './testkit/events.ts';
import { eventually } from './testkit/eventually.ts';
import type { TestOperator } from './testkit/operator.ts';
import { startWorld, type World } from './testkit/world.ts';

/** How long things are killed, in seconds, and what begins the random numbers. */
const seconds = Number(process.env.CHAOS_SECONDS || '40');
const seed = Number(process.env.CHAOS_SEED || Date.now() % 1_000_000);

const namespace = 'chaos';
const mostAgents = 15;
const settledDeadlineMs = 120_000;

let world: World;
let operator: TestOperator;

beforeAll(async () => {
  world = await startWorld({ syncAlways: true });
  operator = await world.startOperator();
  await world.tenant(namespace);
});
afterAll(() => world?.stop());

/** Each ends what it does: afterwards the part is there again. */
const faults: Readonly<Record<string, (downMs: number) => Promise<void>>> = {
  'Postgres is killed': async (downMs) => {
    await world.postgres.kill('SIGKILL');
    await sleep(downMs);
    await world.postgres.restart();
  },
  'Postgres crashes': async () => {
    await world.postgres.kill('SIGQUIT');
    await world.postgres.restart();
  },
  'Postgres freezes': async (downMs) => {
    world.postgres.pause();
    await sleep(downMs);
    world.postgres.resume();
  },
  'NATS is killed': async (downMs) => {
    await world.nats.kill();
    await sleep(downMs);
    await world.nats.restart();
  },
  'NATS freezes': async (downMs) => {
    world.nats.pause();
    await sleep(downMs);
    world.nats.resume();
  },
  'the operator is killed': async (downMs) => {
    await operator.kill();
    await sleep(downMs);
    operator = await world.launchOperator();
  },
  'the operator freezes longer than its lease, another takes over': async () => {
    const frozen = operator;
    frozen.signal('SIGSTOP');
    operator = await world.launchOperator();
    await sleep(6_000);
    frozen.signal('SIGCONT');
    await sleep(1_000);
    await frozen.kill();
  },
};

const plan = fc.sample(
  fc.record({
    fault: fc.constantFrom(...Object.keys(faults)),
    downMs: fc.integer({ min: 0, max: 3_000 }),
    quietMs: fc.integer({ min: 0, max: 4_000 }),
  }),
  { seed, numRuns: 2_000 },
);

async function breakThings(until: number): Promise<ReadonlyMap<string, number>> {
  const done = new Map<string, number>();
  for (const { fault, downMs, quietMs } of plan) {
    if (performance.now() >= until) break;
    await sleep(quietMs);
    await faults[fault]?.(downMs);
    done.set(fault, (done.get(fault) ?? 0) + 1);
  }
  return done;
}

type Standing = { readonly name: string; readonly uid: string };

/** Makes Agents and deletes the oldest, all the while. Answers the UIDs of those deleted, and those left. */
async function load(until: number): Promise<{ readonly gone: readonly string[]; readonly left: readonly Standing[] }> {
  const standing: Standing[] = [];
  const gone: string[] = [];
  for (let n = 0; performance.now() < until; n += 1) {
    const name = `agent-${n}`;
    standing.push({ name, uid: (await world.createAgent(namespace, name)).metadata.uid });
    const oldest = standing.length > mostAgents ? standing.shift() : undefined;
    if (oldest !== undefined) {
      await world.delete({ resource: agentResource, namespace, name: oldest.name });
      gone.push(oldest.uid);
    }
    await sleep(250);
  }
  return { gone, left: standing };
}

/** Waits until the newest row of each is of this phase and all its events are out. */
async function settled(uids: readonly string[], phase: string): Promise<void> {
  for (const uid of uids) {
    await eventually(
      `${uid} is ${phase}, its events published`,
      async () => {
        const rows = await world.rows(uid);
        if (rows.at(-1)?.phase === phase && rows.every(({ published }) => published)) return true;
        throw new Error(JSON.stringify(rows));
      },
      settledDeadlineMs,
      100,
    );
  }
}

/** Waits until the status of an Agent says that its newest event was told, and which that is. */
async function explained({ name, uid }: Standing): Promise<void> {
  const rows = await world.rows(uid);
  await world.status(namespace, name, 'its consistency is that of its record', ({ consistency }) => {
    const isTold = consistency?.state === 'Published' || consistency?.state === 'Acknowledged';
    return isTold && consistency.lastEventID === rows.at(-1)?.eventId && consistency.sequence === rows.length;
  });
}

test(
  `Postgres, NATS and the operator die at random for ${seconds} s (seed ${seed}): every event is delivered, in order`,
  async () => {
    const until = performance.now() + seconds * 1_000;
    const [{ gone, left: standing }, broken] = await Promise.all([load(until), breakThings(until)]);
    // Those that never got a row have nothing to end with: they came and went while nobody could record them.
    const met: string[] = [];
    const left = standing.map(({ uid }) => uid);
    await settled(left, 'Ready');
    for (const agent of standing) await explained(agent);
    for (const uid of gone) if ((await world.rows(uid)).length > 0) met.push(uid);
    await settled(met, 'Deleted');

    const received = await world.events();
    const appeared = firstAppearances(received.filter(({ event }) => event.event_type.startsWith('agent.')));
    let events = 0;
    for (const uid of [...left, ...met]) {
      const rows = await world.rows(uid);
      events += rows.length;
      expect(rows.map(({ seq }) => seq)).toEqual(upTo(rows.length));
      expect(appeared.get(uid)).toEqual(upTo(rows.length));
      const ids = new Set(received.filter(({ event }) => event.agent_id === uid).map(({ event }) => event.event_id));
      expect(ids).toEqual(new Set(rows.map(({ eventId }) => eventId)));
    }
    // Nothing was told of an Agent that nobody recorded.
    expect(new Set(appeared.keys())).toEqual(new Set([...left, ...met]));
    const total = [...broken.values()].reduce((sum, count) => sum + count, 0);
    const table = [...broken].map(([fault, count]) => `${String(count).padStart(5)}  ${fault}`).join('\n');
    process.stdout.write(
      `${total} faults in ${seconds} s (seed ${seed}); ${left.length + met.length} Agents, ${events} events, ` +
        `${received.length} messages: 0 lost, 0 out of order\n${table}\n`,
    );
  },
  seconds * 1_000 + 400_000,
);

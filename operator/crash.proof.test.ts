import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { agentSteps, poolSteps, type Step, tenantSteps } from './testkit/crash-steps.ts';
import { endState, expectTold } from './testkit/end-state.ts';
import { eventually } from './testkit/eventually.ts';
import { Lane } from './testkit/lane.ts';
import type { CrashPoint } from './testkit/mortal.ts';
import { startWorld, type World } from './testkit/world.ts';

/** How many points are tried, spread evenly over all there are, and where the spread begins. */
const wanted = Number(process.env.CRASH_POINTS || '200');
const seed = Number(process.env.CRASH_SEED || Date.now() % 1_000_000);
/** By then an operator that took over has made everything as it should be. */
const recoveryMs = 30_000;

let world: World;
const tally = new Map<string, { found: number; tried: number; equal: number }>();

beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world?.stop();
  const line = (cells: readonly (string | number)[]) =>
    cells.map((cell, index) => (index === 0 ? `${cell}`.padEnd(34) : `${cell}`.padStart(7))).join('');
  const rows = [...tally].map(([name, { found, tried, equal }]) => line([name, found, tried, equal]));
  const sum = (of: 'found' | 'tried' | 'equal') => [...tally.values()].reduce((all, each) => all + each[of], 0);
  const total = line(['together', sum('found'), sum('tried'), sum('equal')]);
  process.stdout.write(
    `killed before or after a write (seed ${seed})\n${[line(['', 'points', 'tried', 'equal']), ...rows, total].join('\n')}\n`,
  );
});

function triedInAll(): number {
  return [...tally.values()].reduce((all, { tried }) => all + tried, 0);
}

/** A step, what it leaves when nobody dies, and where one may die on the way. */
type Rehearsed = { readonly step: Step; readonly clean: unknown; readonly points: readonly CrashPoint[] };

async function rehearse(lane: Lane, step: Step): Promise<Rehearsed> {
  lane.fate.arm(undefined);
  await step.act(lane, 0);
  await eventually(`${lane.name}: ${step.name}`, () => step.done(lane, 0), 60_000, 25);
  await lane.rests();
  const points = spread(lane.fate.writes.length);
  const { found, ...known } = tally.get(step.name) ?? { found: 0, tried: 0, equal: 0 };
  tally.set(step.name, { ...known, found: Math.max(found, points.length) });
  const clean = await endState(lane);
  await lane.turnOver();
  return { step, clean, points };
}

async function mortalRun(lane: Lane, { step, clean, points }: Rehearsed, round: number, turn: number): Promise<void> {
  lane.fate.arm(points[turn]);
  await step.act(lane, round);
  await eventually(step.name, () => step.done(lane, round), recoveryMs, 25).catch(() => undefined);
  const isEqual = async () => isDeepStrictEqual(await endState(lane), clean);
  await eventually('the end state of the clean run', isEqual, recoveryMs, 100).catch(() => undefined);
  const { struck } = lane.fate;
  const counts = tally.get(step.name);
  if (counts !== undefined && struck !== undefined) counts.tried += 1;
  expect(await endState(lane), `${lane.name}: ${step.name}, killed ${struck} (seed ${seed})`).toEqual(clean);
  if (counts !== undefined && struck !== undefined) counts.equal += 1;
  // What a step leaves behind late is found by the next one.
  await lane.turnOver();
}

/** Goes through the steps again and again, each time with a death at another point. */
async function everyWrite(lane: Lane, steps: readonly Step[], first: number, stride: number): Promise<void> {
  const rehearsed: Rehearsed[] = [];
  for (const step of steps) rehearsed.push(await rehearse(lane, step));
  const most = Math.max(...rehearsed.map(({ points }) => points.length));
  for (let round = 1, turn = first; turn < most && triedInAll() < wanted; round += 1, turn += stride) {
    for (const each of rehearsed) await mortalRun(lane, each, round, turn);
  }
}

/** Both sides of n writes, in an order whose every beginning is spread over all of them. */
function spread(n: number): readonly CrashPoint[] {
  const golden = (each: number) => ((each + seed) * 0.618034) % 1;
  return Array.from({ length: 2 * n }, (_, index) => index)
    .sort((a, b) => golden(a) - golden(b))
    .map((each) => ({ at: 1 + (each >> 1), side: each % 2 === 0 ? 'before' : 'after' }));
}

describe('an operator that dies at any of its writes leaves what one that lives does', () => {
  const lanes = (what: string, steps: readonly Step[], count: number) =>
    Array.from({ length: count }, (_, index) => ({ name: `${what}-${index}`, steps, index, count }));

  test.concurrent.each([
    ...lanes('agents', agentSteps, 2),
    ...lanes('pools', poolSteps, 2),
    ...lanes('tenants', tenantSteps, 1),
  ])('$name', { timeout: 900_000 }, async ({ name, steps, index, count }) => {
    const lane = await Lane.open(world, name);
    try {
      if (steps !== tenantSteps) await lane.withTenant();
      await everyWrite(lane, steps, index, count);
      await expectTold(lane);
    } finally {
      await lane.close();
    }
  });

  test('at as many points as were wanted, or at all there are', () => {
    const found = [...tally.values()].reduce((all, each) => all + each.found, 0);
    expect(triedInAll()).toBeGreaterThanOrEqual(Math.min(wanted, found));
    for (const [step, { tried }] of tally) expect(tried, step).toBeGreaterThan(0);
  });
});

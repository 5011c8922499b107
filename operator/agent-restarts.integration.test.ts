import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { agentResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import { expectTold } from './testkit/told.ts';
import { startWorld, type World } from './testkit/world.ts';

const life = ['agent.created', 'agent.scheduled', 'agent.starting', 'agent.ready'];
const leading = 'started leading';

let world: World;

beforeAll(async () => {
  world = await startWorld();
  const operator = await world.startOperator();
  await world.tenant('again');
  await operator.stop();
});
afterEach(() => world.killOperators());
afterAll(() => world?.stop());

async function uidOf(name: string): Promise<string> {
  return (await world.agent('again', name))?.metadata.uid ?? '';
}

/** Not a wait for anything: some moment within the next `withinMs`, to be killed at. */
function randomPoint(withinMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, withinMs * Math.random()));
}

describe('an Agent that was deleted and made again under its name while the operator was down', () => {
  it('is another one: the old one ends with its pod, the new one begins', async () => {
    const before = await world.startOperator();
    const old = (await world.createAgent('again', 'phoenix')).metadata.uid;
    await world.ready('again', 'phoenix');
    await world.recorded(old, 'Ready');
    await before.kill();
    await world.delete({ resource: agentResource, namespace: 'again', name: 'phoenix' });
    const { uid } = (await world.createAgent('again', 'phoenix')).metadata;
    expect(uid).not.toBe(old);

    const after = await world.startOperator();
    await world.ready('again', 'phoenix');
    await expectTold(world, old, 'Deleted', [...life, 'agent.stopping', 'agent.deleted']);
    await expectTold(world, uid, 'Ready', life);
    expect(await world.podsOf(old)).toEqual([]);
    expect(await world.podsOf(uid)).toHaveLength(1);
    expect(await after.stop()).toBe(0);
  });
});

describe('an operator that is killed', () => {
  it('at twenty random points while ten Agents start: all are Ready, each told once and in one pod', async () => {
    const names = Array.from({ length: 10 }, (_, index) => `cat-${index}`);
    // One pod whose container is restarted keeps its name, and with it the Lease.
    const env = { OPENOS_POD_NAME: 'openos-mortal' };
    for (let round = 0; round < 20; round += 1) {
      const name = round % 2 === 0 ? names[round / 2] : undefined;
      if (name !== undefined) await world.createAgent('again', name);
      const operator = await world.launchOperator(env);
      // Every other time an Agent is about to start; of the rest every other time nothing has begun yet.
      if (round % 4 !== 3) await eventually('it leads', () => operator.log().includes(leading), 30_000);
      await randomPoint(round % 4 === 3 ? 1_000 : 250);
      await operator.kill();
    }
    const last = await world.startOperator(env);
    for (const name of names) {
      const status = await world.ready('again', name);
      const uid = await uidOf(name);
      await expectTold(world, uid, 'Ready', life);
      const pods = await world.podsOf(uid);
      expect(pods.map(({ metadata }) => metadata.uid)).toEqual([status.podRef?.uid]);
    }
    expect(await last.stop()).toBe(0);
  }, 180_000);
});

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from './testkit/eventually.ts';
import type { TestOperator } from './testkit/operator.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

const life = ['agent.created', 'agent.scheduled', 'agent.starting', 'agent.ready'];
const leading = 'started leading';

let world: World;

beforeAll(async () => {
  world = await startWorld();
  const operator = await world.startOperator();
  await world.tenant('lead');
  await operator.stop();
});
afterEach(() => world.killOperators());
afterAll(() => world?.stop());

async function uidOf(name: string): Promise<string> {
  return (await world.agent('lead', name))?.metadata.uid ?? '';
}

/** Exactly these events, recorded and on the stream: in order, without a gap, each once and under one id. */
async function expectTold(uid: string, phase: string, types: readonly string[]): Promise<void> {
  const rows = await world.recorded(uid, phase);
  expect(rows.map(({ eventType }) => eventType)).toEqual(types);
  expect(rows.map(({ seq }) => seq)).toEqual(types.map((_, index) => index + 1));
  const told = (await world.events(uid)).map(({ event }) => event);
  const firsts = told.filter((event, at) => told.findIndex((other) => other.event_id === event.event_id) === at);
  expect(firsts.map((event) => event.event_id)).toEqual(rows.map(({ eventId }) => eventId));
  expect(firsts.map((event) => event.sequence)).toEqual(rows.map(({ seq }) => seq));
}

async function leads(operator: TestOperator, deadlineMs?: number): Promise<void> {
  await eventually(`${operator.identity} leads`, async () => (await world.leader()) === operator.identity, deadlineMs);
}

describe('two operators', () => {
  it('hand over within two seconds when the leader is told to stop', async () => {
    const first = await world.startOperator();
    await leads(first);
    const second = await world.startOperator();
    expect(await world.leader()).toBe(first.identity);
    expect(second.log()).not.toContain(leading);

    const stopped = first.stop();
    await eventually('nobody holds the Lease', async () => (await world.leader()) !== first.identity);
    const free = performance.now();
    await leads(second, 2_000);
    expect(performance.now() - free).toBeLessThan(2_000);
    expect(await stopped).toBe(0);

    await world.createAgent('lead', 'heir');
    await world.ready('lead', 'heir');
    await expectTold(await uidOf('heir'), 'Ready', life);
    expect(await second.stop()).toBe(0);
    expect(await world.leader()).toBe('');
  });

  it('do not disturb each other when the leader was frozen past its Lease', async () => {
    const frozen = await world.startOperator();
    await leads(frozen);
    const { uid } = (await world.createAgent('lead', 'caught')).metadata;
    await eventually('its life is being recorded', async () => (await world.rows(uid)).length > 0);
    frozen.signal('SIGSTOP');
    const heir = await world.startOperator();
    await leads(heir, 20_000);
    await world.ready('lead', 'caught');
    const { resourceVersion } = (await world.agent('lead', 'caught'))?.metadata ?? {};

    const woken = await world.createAgent('lead', 'other');
    frozen.signal('SIGCONT');
    await eventually('it notices', () => frozen.log().includes('stopped leading'));
    await world.ready('lead', 'other');
    await expectTold(uid, 'Ready', life);
    await expectTold(woken.metadata.uid, 'Ready', life);
    expect(await world.leader()).toBe(heir.identity);
    for (const agent of [uid, woken.metadata.uid]) expect(await world.podsOf(agent)).toHaveLength(1);
    const { epoch, holder } = await world.epoch();
    expect(holder).toBe(heir.identity);
    for (const row of await world.rows(woken.metadata.uid)) expect(row.epoch).toBe(epoch);
    const { metadata } = (await world.agent('lead', 'caught')) as StoredAgent;
    expect(metadata.resourceVersion).toBe(resourceVersion);
    expect(await heir.stop()).toBe(0);
  });
});

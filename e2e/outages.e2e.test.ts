import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findCondition } from '../operator/kernel/conditions.ts';
import { agentResource } from '../operator/resources/own.ts';
import { type Changes, watchChanges } from '../operator/testkit/changes.ts';
import type { StoredAgent } from '../operator/testkit/world.ts';
import { readyOf } from './agents.ts';
import { servers } from './installation.ts';
import { coldStart, gapFree, sequences, types } from './told.ts';
import { diagnosed, diagnoseFailures, isNodeReachable, startWorld, type World } from './world.ts';

const namespace = 'e2e-outages';

let world: World;
/** Ready before every outage: it has to stay so through all of them, in the pod it has. */
let steady: StoredAgent;
let seen: Changes<StoredAgent>;

diagnoseFailures(namespace);
beforeAll(() =>
  diagnosed(namespace, async () => {
    world = await startWorld();
    await world.tenant(namespace);
    await world.createAgent(namespace, 'steady');
    await world.ready(namespace, 'steady');
    steady = await world.agent(namespace, 'steady');
  }),
);
beforeEach(async () => {
  seen = await watchChanges<StoredAgent>(world.client, agentResource, namespace, 'steady');
});
afterEach(async () => {
  seen.stop();
  // Also after a failure: what follows needs them.
  for (const server of servers) await world.bringBack(server);
});
afterAll(async () => {
  await world?.removeAgents(namespace);
  await world?.stop();
});

/** Ready, in the only pod it ever had, with every event told exactly once and in order. */
async function expectWholeLife(name: string): Promise<StoredAgent> {
  await world.ready(namespace, name);
  const agent = await world.agent(namespace, name);
  const events = await world.told(agent.metadata.uid);
  expect(types(events)).toEqual(coldStart);
  expect(sequences(events)).toEqual(gapFree(events));
  const pod = await world.podOf(agent.metadata.uid);
  expect(pod.metadata.uid).toBe(agent.status?.podRef?.uid);
  return agent;
}

async function expectSteady(): Promise<void> {
  await seen.caughtUp();
  for (const { type, object } of seen.all()) {
    expect(type).toBe('MODIFIED');
    expect(object.status).toMatchObject({ phase: 'Ready', reason: 'AgentReady', podRef: steady.status?.podRef });
    expect(readyOf(object.status)).toMatchObject({ status: 'True' });
  }
  await expectWholeLife('steady');
}

describe('an operator that is killed while Agents start', () => {
  const ways = [
    { way: 'by deleting its pod without grace', kill: () => world.forceDeleteOperator() },
    ...(isNodeReachable ? [{ way: 'with SIGKILL on the node', kill: () => world.sigkillOperator() }] : []),
  ];

  it.each(ways)('$way: all become Ready, each told once', async ({ kill }) => {
    const names = ['orphan-0', 'orphan-1', 'orphan-2', 'orphan-3'];
    // Slow enough for the operator to be gone before they are ready.
    const env = [{ name: 'WARMUP_MS', value: '3000' }];
    const before = await world.operatorProcess();
    for (const name of names) await world.createAgent(namespace, name, { env });
    await world.status(namespace, 'orphan-0', 'has a pod', ({ podRef }) => podRef !== undefined);
    await kill();
    const states = await Promise.all(names.map((name) => world.agent(namespace, name)));
    expect(states.filter(({ status }) => status?.phase === 'Ready')).toEqual([]);

    for (const name of names) await expectWholeLife(name);
    expect(await world.operatorProcess()).not.toBe(before);
    await expectSteady();
    for (const name of names) await world.removeAgent(namespace, name);
  });
});

describe('without Postgres', () => {
  it('no pod is made, what is Ready stays so, and all goes on by itself when it is back', async () => {
    const process = await world.operatorProcess();
    await world.takeAway('postgres');
    const { metadata } = await world.createAgent(namespace, 'unrecorded');
    const status = await world.status(
      namespace,
      'unrecorded',
      'waits for the database',
      ({ reason }) => reason === 'DatabaseUnavailable',
    );
    expect(status.phase).toBe('Pending');
    expect(await world.podsOf(metadata.uid)).toEqual([]);
    expect(readyOf((await world.agent(namespace, 'steady')).status)).toMatchObject({ status: 'True' });

    await world.bringBack('postgres');
    await expectWholeLife('unrecorded');
    const [created] = await world.told(metadata.uid);
    const pod = await world.podOf(metadata.uid);
    // A pod's age is in whole seconds, rounded down.
    const recordedAt = Math.floor(Date.parse(created?.occurred_at ?? '') / 1000) * 1000;
    expect(Date.parse(pod.metadata.creationTimestamp ?? '')).toBeGreaterThanOrEqual(recordedAt);
    await expectSteady();
    expect(await world.operatorProcess()).toBe(process);
    await world.removeAgent(namespace, 'unrecorded');
  });
});

describe('without NATS', () => {
  it('an Agent runs and is not called Ready before its event is out, and what is Ready stays so', async () => {
    const process = await world.operatorProcess();
    await world.takeAway('nats');
    const { metadata } = await world.createAgent(namespace, 'untold');
    const status = await world.status(
      namespace,
      'untold',
      'awaits its event',
      ({ reason, conditions = [] }) =>
        reason === 'AwaitingEventPublish' &&
        findCondition(conditions, 'EventsPublished')?.reason === 'BrokerUnavailable',
    );
    expect(status.phase).toBe('Starting');
    expect(readyOf(status)).toMatchObject({ status: 'False', reason: 'AwaitingEventPublish' });
    const pod = await world.podOf(metadata.uid);
    expect(pod.status?.conditions).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'True' }));
    expect(readyOf((await world.agent(namespace, 'steady')).status)).toMatchObject({ status: 'True' });

    await world.bringBack('nats');
    const { status: ready } = await expectWholeLife('untold');
    expect(ready?.podRef?.uid).toBe(pod.metadata.uid);
    await expectSteady();
    expect(await world.operatorProcess()).toBe(process);
    await world.removeAgent(namespace, 'untold');
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentStatus } from './api/v1alpha1/agent.ts';
import { findCondition } from './kernel/conditions.ts';
import type { ObjectRef } from './kernel/object.ts';
import { podResource } from './resources/builtin.ts';
import { agentResource } from './resources/own.ts';
import { type Changes, watchChanges } from './testkit/changes.ts';
import { eventually } from './testkit/eventually.ts';
import type { TestOperator } from './testkit/operator.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

const life = ['agent.created', 'agent.scheduled', 'agent.starting', 'agent.ready'];

let world: World;
let operator: TestOperator;
/** Ready before every outage: it has to stay so through all of them. */
let steady: StoredAgent;
let seen: Changes<StoredAgent>;

beforeAll(async () => {
  world = await startWorld();
  operator = await world.startOperator();
  await world.tenant('outage');
  steady = await world.createAgent('outage', 'steady');
  await world.ready('outage', 'steady');
  await world.recorded(steady.metadata.uid, 'Ready');
  seen = await watchChanges<StoredAgent>(world.cluster.client, agentResource, 'outage', 'steady');
});
afterAll(async () => {
  seen?.stop();
  await world?.stop();
});

/** Ready with every event told, on the stream exactly once, in order and under the recorded ids. */
async function expectWholeLife(name: string): Promise<void> {
  await world.ready('outage', name);
  const { uid } = (await world.agent('outage', name))?.metadata ?? { uid: '' };
  await expectTold(uid, 'Ready', life);
}

async function expectTold(uid: string, phase: string, types: readonly string[]): Promise<void> {
  await eventually(`${types.length} rows`, async () => (await world.rows(uid)).length >= types.length, 45_000);
  const rows = await world.recorded(uid, phase);
  expect(rows.map(({ eventType }) => eventType)).toEqual(types);
  const events = (await world.events(uid)).map(({ event }) => event);
  expect(events.map((event) => event.event_id)).toEqual(rows.map(({ eventId }) => eventId));
  expect(events.map((event) => event.sequence)).toEqual(types.map((_, index) => index + 1));
}

/** The Agent that was Ready was so all the time, with the pod it had. */
async function expectSteady(): Promise<void> {
  await seen.caughtUp();
  const { metadata, status } = (await world.agent('outage', 'steady')) as StoredAgent;
  for (const { type, object } of seen.all()) {
    expect(type).not.toBe('DELETED');
    expect(object.status).toMatchObject({ phase: 'Ready', reason: 'AgentReady', podRef: status?.podRef });
    expect(readyOf(object.status)).toMatchObject({ status: 'True' });
  }
  expect((await world.rows(metadata.uid)).map(({ eventType }) => eventType)).toEqual(life);
  expect((await world.podsOf(metadata.uid)).map((pod) => pod.metadata.uid)).toEqual([status?.podRef?.uid]);
}

function readyOf(status: AgentStatus | undefined) {
  return findCondition(status?.conditions ?? [], 'Ready');
}

function eventsPublished({ conditions = [] }: AgentStatus) {
  return findCondition(conditions, 'EventsPublished');
}

const awaitsPublish = (status: AgentStatus) =>
  status.reason === 'AwaitingEventPublish' && eventsPublished(status)?.reason === 'BrokerUnavailable';

describe('without NATS', () => {
  it('an Agent runs and is not called Ready before its event is out', async () => {
    await world.nats.kill();
    const { metadata } = await world.createAgent('outage', 'before');
    const status = await world.status('outage', 'before', 'awaits its event', awaitsPublish);
    expect(status.phase).toBe('Starting');
    expect(readyOf(status)).toMatchObject({ status: 'False', reason: 'AwaitingEventPublish' });
    expect(eventsPublished(status)).toMatchObject({ status: 'False' });
    expect((await world.rows(metadata.uid)).map(({ phase }) => phase)).toEqual([
      'Created',
      'Scheduled',
      'Starting',
      'Ready',
    ]);
    expect(await world.podsOf(metadata.uid)).toHaveLength(1);

    await world.nats.restart();
    await expectWholeLife('before');
    await expectSteady();
  });

  it('that comes and goes while Agents start, all are told in the end', async () => {
    const names = ['during-0', 'during-1', 'during-2', 'during-3', 'during-4', 'during-5'];
    for (const name of names) {
      const { metadata } = await world.createAgent('outage', name);
      await eventually(`${name} has a row`, async () => (await world.rows(metadata.uid)).length > 0);
      await world.nats.restart();
    }
    for (const name of names) await expectWholeLife(name);
    await expectSteady();
  });

  it('that is frozen, nothing is told twice under another id', async () => {
    world.nats.pause();
    await world.createAgent('outage', 'frozen');
    await world.status('outage', 'frozen', 'awaits its event', ({ reason }) => reason === 'AwaitingEventPublish');
    world.nats.resume();
    await expectWholeLife('frozen');
    await expectSteady();
  });

  it('an Agent can be deleted, and that is told later', async () => {
    const { metadata } = await world.createAgent('outage', 'gone');
    await world.ready('outage', 'gone');
    await world.nats.kill();
    await world.delete({ resource: agentResource, namespace: 'outage', name: 'gone' });
    await eventually('its pod is gone', async () => (await world.podsOf(metadata.uid)).length === 0);
    await eventually('its end is recorded', async () => (await world.rows(metadata.uid)).at(-1)?.phase === 'Deleted');
    await world.nats.restart();
    await expectTold(metadata.uid, 'Deleted', [...life, 'agent.stopping', 'agent.deleted']);
    await expectSteady();
  });
});

describe('without Postgres', () => {
  it('no pod is made, running ones stay, deleted Agents lose theirs, and all is recorded later', async () => {
    const doomed = await world.createAgent('outage', 'doomed');
    await world.ready('outage', 'doomed');
    await world.recorded(doomed.metadata.uid, 'Ready');
    await world.postgres.kill('SIGQUIT');

    const { metadata } = await world.createAgent('outage', 'early');
    const away = await world.status('outage', 'early', 'waits', ({ reason }) => reason === 'DatabaseUnavailable');
    expect(away.phase).toBe('Pending');
    expect(eventsPublished(away)).toMatchObject({ status: 'False', reason: 'DatabaseUnavailable' });
    await world.delete({ resource: agentResource, namespace: 'outage', name: 'doomed' });
    await eventually('the pod of the deleted Agent is gone', async () => {
      return (await world.podsOf(doomed.metadata.uid)).length === 0;
    });
    expect(await world.podsOf(metadata.uid)).toEqual([]);
    expect(await world.podsOf(steady.metadata.uid)).toHaveLength(1);

    await world.postgres.restart();
    await expectWholeLife('early');
    await expectTold(doomed.metadata.uid, 'Deleted', [...life, 'agent.stopping', 'agent.deleted']);
    await world.status('outage', 'steady', 'all is told', (status) => eventsPublished(status)?.reason === 'UpToDate');
    await expectSteady();
  });

  it('a pod that is lost is replaced when it is back', async () => {
    const { metadata } = await world.createAgent('outage', 'lost');
    const { podRef } = await world.ready('outage', 'lost');
    await world.recorded(metadata.uid, 'Ready');
    await world.postgres.kill('SIGINT');
    const pod: ObjectRef = { resource: podResource, namespace: 'outage', name: podRef?.name ?? '' };
    await world.delete(pod);
    await eventually('the pod is gone', async () => (await world.podsOf(metadata.uid)).length === 0);
    await world.postgres.restart();
    await expectTold(metadata.uid, 'Ready', [...life, 'agent.recovering', ...life.slice(1)]);
    await expectSteady();
  });

  it('nor NATS, an Agent starts when both are back', async () => {
    await Promise.all([world.postgres.kill('SIGQUIT'), world.nats.kill()]);
    await world.createAgent('outage', 'orphan');
    await world.status('outage', 'orphan', 'waits', ({ reason }) => reason === 'DatabaseUnavailable');
    await Promise.all([world.postgres.restart(), world.nats.restart()]);
    await expectWholeLife('orphan');
    await expectSteady();
  });
});

describe('without the API server', () => {
  it('what happened meanwhile is seen when it is back', async () => {
    const gone = await world.createAgent('outage', 'unseen');
    await world.ready('outage', 'unseen');
    await world.recorded(gone.metadata.uid, 'Ready');
    world.apiServer.refusing = true;
    await world.createAgent('outage', 'unheard');
    await world.delete({ resource: agentResource, namespace: 'outage', name: 'unseen' });
    // Its pod goes with it, and both are there to be seen at once, by two caches that return one after the other.
    await eventually('its pod is gone', async () => (await world.podsOf(gone.metadata.uid)).length === 0, 30_000);
    await eventually('the operator has lost its Lease', () => operator.log().includes('stopped leading'), 30_000);
    world.apiServer.refusing = false;

    await expectWholeLife('unheard');
    await expectTold(gone.metadata.uid, 'Deleted', [...life, 'agent.stopping', 'agent.deleted']);
    expect(await world.podsOf(gone.metadata.uid)).toEqual([]);
    await eventually('the operator is ready again', async () => (await operator.readiness())?.ready);
    await expectSteady();
  });

  it('whose connections break at any moment, Agents start all the same', async () => {
    const names = ['torn-0', 'torn-1', 'torn-2', 'torn-3', 'torn-4'];
    for (const name of names) {
      const { metadata } = await world.createAgent('outage', name);
      await eventually(`${name} has a row`, async () => (await world.rows(metadata.uid)).length > 0);
      world.apiServer.reset();
    }
    for (const name of names) await expectWholeLife(name);
    for (const name of names) {
      const { uid } = (await world.agent('outage', name))?.metadata ?? { uid: '' };
      expect(await world.podsOf(uid)).toHaveLength(1);
    }
    await expectSteady();
  });

  it('that restarts, Agents made just before and after it start', async () => {
    const before = await world.createAgent('outage', 'before-restart');
    await eventually('it has a row', async () => (await world.rows(before.metadata.uid)).length > 0);
    await world.cluster.restartApiServer();
    await world.createAgent('outage', 'after-restart');
    await expectWholeLife('before-restart');
    await expectWholeLife('after-restart');
    await expectSteady();
  });

  it('that no longer answers, the leader steps down and leads again', async () => {
    const before = timesIn(operator.log(), 'stopped leading');
    world.apiServer.frozen = true;
    await eventually('the Lease is given up', () => timesIn(operator.log(), 'stopped leading') > before, 30_000);
    const { metadata } = await world.createAgent('outage', 'thawed');
    world.apiServer.frozen = false;
    await expectWholeLife('thawed');
    expect(await world.podsOf(metadata.uid)).toHaveLength(1);
    await expectSteady();
  });
});

function timesIn(log: string, text: string): number {
  return log.split(text).length - 1;
}

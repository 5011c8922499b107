import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findCondition } from './kernel/conditions.ts';
import { podResource } from './resources/builtin.ts';
import { agentResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import { startWorld, type World } from './testkit/world.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
});
afterAll(() => world.stop());

describe('an Agent in a healthy world', () => {
  it('becomes Ready and its events are on the stream, in order and without a gap', async () => {
    await world.tenant('life');
    const { metadata } = await world.createAgent('life', 'first');
    const status = await world.status('life', 'first', 'Ready', (s) => s.phase === 'Ready');

    const events = await world.events(metadata.uid);
    expect(events.map(({ event }) => event.event_type)).toEqual([
      'agent.created',
      'agent.scheduled',
      'agent.starting',
      'agent.ready',
    ]);
    expect(events.map(({ event }) => event.sequence)).toEqual([1, 2, 3, 4]);
    expect(new Set(events.map(({ event }) => event.trace_id)).size).toBe(1);
    expect(status).toMatchObject({
      tenant: 'life',
      runtimeClassName: 'gvisor',
      attempts: 1,
      consistency: { state: 'Published', lastEventType: 'agent.ready', lastEventID: events[3]?.event.event_id },
    });
    expect(findCondition(status.conditions ?? [], 'Ready')).toMatchObject({ status: 'True', reason: 'AgentReady' });
    expect(findCondition(status.conditions ?? [], 'Reconciling')).toBeUndefined();

    const pod = await world.cluster.client.get({
      resource: podResource,
      namespace: 'life',
      name: status.podRef?.name ?? '',
    });
    expect(pod?.metadata.annotations?.['openos.dev/traceparent']).toContain(events[0]?.event.trace_id);
  });

  it('leaves no pod behind when it is deleted, and says so', async () => {
    const { metadata } = await world.createAgent('life', 'brief');
    const { podRef } = await world.status('life', 'brief', 'Ready', (s) => s.phase === 'Ready');
    await world.delete({ resource: agentResource, namespace: 'life', name: 'brief' });
    await eventually('agent.deleted is on the stream', async () => {
      const events = await world.events(metadata.uid);
      return events.at(-1)?.event.event_type === 'agent.deleted';
    });
    const pod = { resource: podResource, namespace: 'life', name: podRef?.name ?? '' };
    expect(await world.cluster.client.get(pod)).toBeUndefined();
    expect((await world.events(metadata.uid)).map(({ event }) => event.event_type)).toEqual([
      'agent.created',
      'agent.scheduled',
      'agent.starting',
      'agent.ready',
      'agent.stopping',
      'agent.deleted',
    ]);
  });
});

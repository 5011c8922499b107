import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findCondition } from './kernel/conditions.ts';
import { podResource } from './resources/builtin.ts';
import { agentResource } from './resources/own.ts';
import { readHistory } from './store/repositories/history.ts';
import { listProjected, projectedHistory } from './store/repositories/projection.ts';
import { eventually } from './testkit/eventually.ts';
import { openTestDatabase } from './testkit/store.ts';
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

  it('has its events acknowledged, and is known to the projection as its events told it', async () => {
    const { metadata } = await world.createAgent('life', 'known');
    await world.ready('life', 'known');
    const database = openTestDatabase(world.postgres, 1);
    await eventually('its events are acknowledged', async () => {
      const history = await readHistory(database.db, 'agent', metadata.uid);
      return Object.values(history.latestByPhase).every(({ event }) => event.state === 'Acknowledged');
    });
    const projected = await listProjected(database.db, 'agent', 'life');
    expect(projected.find(({ aggregateId }) => aggregateId === metadata.uid)).toMatchObject({
      namespace: 'life',
      name: 'known',
      phase: 'Ready',
      sequence: 4,
    });
    expect((await projectedHistory(database.db, metadata.uid)).map(({ eventType }) => eventType)).toEqual([
      'agent.created',
      'agent.scheduled',
      'agent.starting',
      'agent.ready',
    ]);
    await database.close();
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

  it('has in the audit log who asked for what, and what it was before', async () => {
    const { uid } = (await world.createAgent('life', 'audited')).metadata;
    await world.ready('life', 'audited');
    // Times of writers are whole seconds: two in the same second are both named.
    const patch = ['--type=merge', '-p', '{"spec":{"operatingMode":"Suspended"}}', '--field-manager=anna'];
    await world.cluster.kubectl('patch', 'agent', '-n', 'life', 'audited', ...patch);
    await world.recorded(uid, 'Suspended');
    const database = openTestDatabase(world.postgres, 1);
    const rows = database.db.selectFrom('audit_log').where('aggregate_id', '=', uid).orderBy('id');
    const [first, ...later] = await rows.select(['actor', 'action', 'detail']).execute();
    await database.close();
    expect(first).toMatchObject({ actor: 'openos-controller', detail: { from: null, namespace: 'life' } });
    expect(later.at(-1)).toMatchObject({
      action: expect.stringContaining('agent.stopped'),
      detail: { manager: expect.stringContaining('anna'), name: 'audited', to: 'Suspended' },
    });
  });

  it('is suspended without a pod and resumed with a new one', async () => {
    const { metadata } = await world.createAgent('life', 'nap');
    const before = await world.status('life', 'nap', 'Ready', (s) => s.phase === 'Ready');
    const setMode = (mode: string) =>
      world.cluster.kubectl(
        'patch',
        'agent',
        'nap',
        '-n',
        'life',
        '--type=merge',
        '-p',
        `{"spec":{"operatingMode":"${mode}"}}`,
      );
    const podOf = (name = '') => world.cluster.client.get({ resource: podResource, namespace: 'life', name });

    await setMode('Suspended');
    const held = await world.status('life', 'nap', 'Suspended', (s) => s.phase === 'Suspended');
    expect(findCondition(held.conditions ?? [], 'Suspended')?.status).toBe('True');
    expect(await podOf(before.podRef?.name)).toBeUndefined();

    await setMode('Running');
    const after = await world.status('life', 'nap', 'Ready again', (s) => s.phase === 'Ready');
    expect(after.podRef?.name).not.toBe(before.podRef?.name);
    expect((await world.events(metadata.uid)).map(({ event }) => event.event_type).slice(4)).toEqual([
      'agent.stopping',
      'agent.stopped',
      'agent.resumed',
      'agent.scheduled',
      'agent.starting',
      'agent.ready',
    ]);
  });

  it('is deleted with its pod when its session is over and its policy says so', async () => {
    const lifecycle = { maxSessionDurationSeconds: 1, shutdownPolicy: 'Delete' } as const;
    const { metadata } = await world.createAgent('life', 'session', { image: 'registry.test/agent:1', lifecycle });
    await eventually('agent.deleted is on the stream', async () => {
      const events = await world.events(metadata.uid);
      return events.at(-1)?.event.event_type === 'agent.deleted';
    });
    expect(await world.agent('life', 'session')).toBeUndefined();
  });
});

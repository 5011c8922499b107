import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentStatus } from '../operator/api/v1alpha1/agent.ts';
import { podResource } from '../operator/resources/builtin.ts';
import { eventually } from '../operator/testkit/eventually.ts';
import type { StoredAgent } from '../operator/testkit/world.ts';
import { system } from './installation.ts';
import { anotherStart, coldStart, gapFree, sequences, types } from './told.ts';
import { diagnosed, diagnoseFailures, startWorld, type World } from './world.ts';

/** Tenants of the same names: one stays while OpenOS is away, one goes. */
const staying = 'e2e-staying';
const leaving = 'e2e-leaving';

let world: World;
let stays: StoredAgent;
let leaves: StoredAgent;

diagnoseFailures(staying);
beforeAll(() =>
  diagnosed(staying, async () => {
    world = await startWorld();
    for (const name of [staying, leaving]) {
      await world.tenant(name);
      await world.createAgent(name, 'resident');
    }
    for (const name of [staying, leaving]) await world.ready(name, 'resident');
    stays = await world.agent(staying, 'resident');
    leaves = await world.agent(leaving, 'resident');
  }),
);
afterAll(async () => {
  await world?.removeAgents(staying);
  await world?.stop();
});

/** Everything in the cluster that is on its way out, whatever its kind. */
async function terminating(): Promise<readonly string[]> {
  const kinds = await world.kubectl('api-resources', '--verbs=list', '-o', 'name');
  const listed = kinds.split('\n').filter((kind) => kind !== '' && !/^(componentstatuses$|events\b)/.test(kind));
  const going =
    '{range .items[?(@.metadata.deletionTimestamp)]}{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}';
  const found = await world.kubectl('get', listed.join(','), '-A', '-o', `jsonpath=${going}`);
  return found.split('\n').filter((line) => line !== '');
}

const nothingTerminating = (deadlineMs: number) =>
  eventually(
    'nothing is Terminating',
    async () => {
      const left = await terminating();
      if (left.length === 0) return true;
      throw new Error(left.join(', '));
    },
    deadlineMs,
    500,
  );

async function expectPodUntouched({ status }: StoredAgent, namespace: string): Promise<void> {
  const name = status?.podRef?.name ?? '';
  const pod = await world.client.get({ resource: podResource, namespace, name });
  expect(pod?.metadata.uid).toBe(status?.podRef?.uid);
  expect(pod?.metadata.deletionTimestamp).toBeUndefined();
}

describe('helm uninstall with Tenants and Agents standing', () => {
  it('leaves nothing Terminating, and the Agents run on', async () => {
    const began = performance.now();
    await world.uninstall();
    await eventually(
      'nothing of OpenOS runs',
      async () => (await world.client.list(podResource, { namespace: system })).items.length === 0,
      60_000 - (performance.now() - began),
      100,
    );
    await nothingTerminating(60_000 - (performance.now() - began));
    for (const agent of [stays, leaves]) await expectPodUntouched(agent, agent.metadata.namespace ?? '');
    const { status } = await world.agent(staying, 'resident');
    expect(status).toEqual(stays.status);
  });

  it('nor do Tenants, Agents and namespaces that are deleted afterwards', async () => {
    const began = performance.now();
    for (const [kind, name] of [
      ['agent', 'resident'],
      ['tenant', leaving],
      ['namespace', leaving],
    ] as const) {
      await world.kubectl('delete', kind, name, '-n', leaving, '--timeout=60s');
    }
    await nothingTerminating(60_000 - (performance.now() - began));
    expect(await world.podsOf(leaves.metadata.uid)).toEqual([]);
  });
});

describe('helm install over kept CRDs and data', () => {
  beforeAll(() => world.deploy());

  it('takes the Agents up where they were: same pod, and their story goes on without a gap', async () => {
    const { status } = await world.agent(staying, 'resident');
    expect(status).toMatchObject({ phase: 'Ready', podRef: stays.status?.podRef });
    await expectPodUntouched(stays, staying);

    await world.kubectl('delete', 'pod', status?.podRef?.name ?? '', '-n', staying);
    const replaced = ({ phase, attempts }: AgentStatus) => phase === 'Ready' && attempts === 2;
    await world.status(staying, 'resident', 'Ready at the second try', replaced);
    const events = await world.told(stays.metadata.uid);
    expect(types(events)).toEqual([...coldStart, 'agent.recovering', ...anotherStart]);
    expect(sequences(events)).toEqual(gapFree(events));
    await world.kubectl('wait', '--for=condition=Ready', `tenant/${staying}`, '--timeout=60s');
  });

  it('tells the end of an Agent that was deleted meanwhile', async () => {
    const events = await world.toldUntil(leaves.metadata.uid, 'agent.deleted');
    expect(types(events)).toEqual([...coldStart, 'agent.stopping', 'agent.deleted']);
    expect(sequences(events)).toEqual(gapFree(events));
  });
});

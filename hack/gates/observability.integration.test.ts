import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { KubernetesObject } from '../../operator/kernel/object.ts';
import { agentPoolResource, agentResource } from '../../operator/resources/own.ts';
import { eventually } from '../../operator/testkit/eventually.ts';
import type { TestOperator } from '../../operator/testkit/operator.ts';
import { type StoredAgent, startWorld, type World } from '../../operator/testkit/world.ts';
import { root } from '../lib/process.ts';
import { checkRun, runFile } from './observability.ts';

const namespace = 'acme';
const kinds = ['agent', 'agentpool', 'tenant'];
/** In the environment of an Agent, and so in the API; nowhere else. */
const canary = `canary-${randomBytes(8).toString('hex')}`;

let world: World;
let operator: TestOperator;

beforeAll(async () => {
  world = await startWorld();
  operator = await world.startOperator();
  await world.tenant(namespace);
});
afterAll(() => world?.stop());

/** What an Agent and a pool come across from their beginning to their end, an outage included. */
async function live(): Promise<void> {
  const env = [{ name: 'API_KEY', value: canary }];
  const agent = await world.createAgent(namespace, 'writer', { image: 'registry.test/agent:1', env });
  await world.ready(namespace, 'writer');
  await world.nats.kill();
  const pool = await createPool('flock');
  await world.nats.restart();
  await world.postgres.kill('SIGINT');
  await eventually('the operator says that Postgres is away', () => operator.log().includes('"DatabaseUnavailable"'));
  await world.postgres.restart();
  await suspend('writer');
  await world.delete({ resource: agentPoolResource, namespace, name: 'flock' });
  await world.delete({ resource: agentResource, namespace, name: 'writer' });
  await eventually(
    'both have been told of to their end',
    async () => {
      const types = (await world.events()).map(({ event }) => `${event.agent_id} ${event.event_type}`);
      return types.includes(`${agent.metadata.uid} agent.deleted`) && types.includes(`${pool} agentpool.deleted`);
    },
    60_000,
    200,
  );
}

async function createPool(name: string): Promise<string> {
  const spec = { replicas: 2, template: { spec: { image: 'registry.test/agent:1' } } };
  const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'AgentPool', metadata: { name, namespace }, spec };
  const { metadata } = await world.cluster.client.create<StoredAgent>(agentPoolResource, manifest as KubernetesObject);
  await eventually('its Agents are there', async () => {
    const { items } = await world.cluster.client.list<StoredAgent>(agentResource, { namespace });
    return items.filter((each) => each.metadata.name.startsWith(name)).length === 2;
  });
  return metadata.uid;
}

async function suspend(name: string): Promise<void> {
  const body = JSON.stringify({ spec: { operatingMode: 'Suspended' } });
  await world.cluster.kubectl('patch', 'agent', name, '-n', namespace, '--type=merge', '-p', body);
  await world.status(namespace, name, 'Suspended', ({ phase }) => phase === 'Suspended');
}

async function metrics(): Promise<string> {
  const port = /"port":(\d+)[^\n]*openos controller started/.exec(operator.log())?.[1];
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
}

it('of a tenant, an agent and a pool, with Postgres and NATS away for a while, is observable as it must be', async () => {
  await live();
  const run = {
    canaries: [canary, new URL(world.postgres.url).password],
    events: await world.events(),
    log: operator.log(),
    metrics: await metrics(),
  };
  await mkdir(join(root, dirname(runFile)), { recursive: true });
  await writeFile(join(root, runFile), JSON.stringify(run));
  const { checked, findings } = checkRun(run);
  expect(findings).toEqual([]);
  expect(checked).toHaveLength(5);
  expect(new Set(run.events.map(({ event }) => event.event_type.split('.')[0]))).toEqual(new Set(kinds));
});

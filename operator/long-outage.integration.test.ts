import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { ResourceType, StoredObject } from './kernel/object.ts';
import { podResource } from './resources/builtin.ts';
import { agentPoolResource, agentResource, tenantResource } from './resources/own.ts';
import type { Database } from './store/db.ts';
import { eventually } from './testkit/eventually.ts';
import { poolsOf } from './testkit/pools.ts';
import { openTestDatabase } from './testkit/store.ts';
import { expectTold } from './testkit/told.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

const life = ['agent.created', 'agent.scheduled', 'agent.starting', 'agent.ready'];
const replaced = [...life, 'agent.updated', ...life.slice(1)];
const wholeLife = [...life, 'agent.stopping', 'agent.deleted'];

/** Each test ends and starts the operator, and what the cluster counts is counted at its pace. */
vi.setConfig({ testTimeout: 180_000 });

let world: World;
let database: Database;
let pools: ReturnType<typeof poolsOf>;

beforeAll(async () => {
  world = await startWorld({ syncAlways: true });
  database = openTestDatabase(world.postgres, 2);
  pools = poolsOf(world, 'team');
  await world.startOperator();
  await world.tenant('team');
});
afterAll(async () => {
  await database?.close();
  await world?.stop();
});

/** Nobody is there while `meanwhile` runs, and somebody is afterwards. */
async function outage<Result>(meanwhile: () => Promise<Result>): Promise<Result> {
  await world.killOperators();
  const result = await meanwhile();
  await world.startOperator();
  return result;
}

async function create(...names: readonly string[]): Promise<readonly string[]> {
  const made = await Promise.all(names.map((name) => world.createAgent('team', name)));
  return made.map(({ metadata }) => metadata.uid);
}

/** Ready and told so. */
async function start(...names: readonly string[]): Promise<readonly string[]> {
  const uids = await create(...names);
  for (const uid of uids) await world.recorded(uid, 'Ready');
  return uids;
}

async function startPool(name: string, replicas: number): Promise<readonly string[]> {
  const uid = await pools.create(name, { replicas });
  await pools.ready(name, replicas);
  const members = (await pools.members(uid)).map((agent) => agent.metadata.uid);
  for (const member of members) await world.recorded(member, 'Ready');
  await world.recorded(uid, 'Created');
  return [uid, ...members];
}

const remove = (kind: string, ...names: readonly string[]) =>
  world.cluster.kubectl('delete', kind, '-n', 'team', '--wait', '--cascade=foreground', ...names);

/** For good: nobody is there to take its finalizer off. */
async function removeTenant(name: string): Promise<void> {
  const withoutFinalizer = '{"metadata":{"finalizers":null}}';
  await world.cluster.kubectl('patch', 'tenant', name, '--type=merge', '-p', withoutFinalizer);
  await world.cluster.kubectl('delete', 'tenant', name, '--wait');
}

const change = (name: string) =>
  world.cluster.kubectl(
    'patch',
    'agent',
    name,
    '-n',
    'team',
    '--type=merge',
    '-p',
    '{"spec":{"image":"registry.test/agent:2"}}',
  );

/** Its pod was of another spec than it asks for by now, and is not: it was Ready before and is so again. */
async function expectReplaced(uid: string, types: readonly string[]): Promise<void> {
  await eventually('it is replaced', async () => (await world.rows(uid)).length >= types.length, 45_000);
  await expectTold(world, uid, 'Ready', types);
}

const uidOf = async (resource: ResourceType, name: string) =>
  (await world.cluster.client.get<StoredObject>({ resource, name }))?.metadata.uid ?? '';

const uidsOf = async (resource: ResourceType) =>
  (await world.cluster.client.list<StoredObject>(resource)).items.map(({ metadata }) => metadata.uid);

/** Each Agent that stands is Ready with one pod, nobody else has one, and the ledger holds a place for each and each pool. */
async function expectInOrder(): Promise<void> {
  const { items } = await world.cluster.client.list<StoredAgent>(agentResource);
  for (const { metadata } of items) {
    await world.recorded(metadata.uid, 'Ready');
    await world.ready('team', metadata.name);
    expect(await world.podsOf(metadata.uid)).toHaveLength(1);
  }
  await eventually('no other pods are there', async () => (await uidsOf(podResource)).length === items.length);
  const standing = [...items.map(({ metadata }) => metadata.uid), ...(await uidsOf(agentPoolResource))];
  const places = async () => database.db.selectFrom('tenant_place').selectAll().execute();
  await eventually('the ledger holds what stands', async () => (await places()).length === standing.length, 45_000);
  expect((await places()).map(({ aggregate_id }) => aggregate_id).sort()).toEqual(standing.sort());
  expect(new Set((await places()).map(({ tenant_id }) => tenant_id))).toEqual(new Set(['team']));
  const { rows } = await sql<{ used: number }>`select sum(used)::integer as used from tenant_usage`.execute(
    database.db,
  );
  expect(rows).toEqual([{ used: standing.length }]);
}

it('what came, went and was made anew while nobody was there is told in full', async () => {
  const steady = await start('steady');
  const gone = await start('gone-0', 'gone-1', 'again-0', 'again-1');
  const [sunk = '', ...drowned] = await startPool('sinks', 2);
  const [returning = '', ...left] = await startPool('returns', 2);
  const [stays = ''] = await startPool('stays', 2);
  for (const name of ['leaves', 'turns']) await world.tenant(name);
  const leaves = await uidOf(tenantResource, 'leaves');
  const turned = await uidOf(tenantResource, 'turns');
  const pods = await world.podsOf(steady[0] ?? '');

  const { fresh, another } = await outage(async () => {
    await remove('agent', 'gone-0', 'gone-1', 'again-0', 'again-1');
    await remove('agentpool', 'sinks', 'returns');
    await removeTenant('leaves');
    await removeTenant('turns');
    await world.createTenant('turns', { namespaces: [{ name: 'turns' }] });
    return {
      fresh: await create('again-0', 'again-1', 'new-0', 'new-1'),
      another: await pools.create('returns', { replicas: 1 }),
    };
  });

  for (const uid of [...gone, ...drowned, ...left]) await expectTold(world, uid, 'Deleted', wholeLife);
  for (const uid of [sunk, returning]) {
    await expectTold(world, uid, 'Deleted', ['agentpool.created', 'agentpool.deleted']);
  }
  for (const uid of [leaves, turned]) await expectTold(world, uid, 'Deleted', ['tenant.created', 'tenant.deleted']);
  await expectTold(world, await uidOf(tenantResource, 'turns'), 'Active', ['tenant.created']);
  for (const uid of [...steady, ...fresh]) await expectTold(world, uid, 'Ready', life);
  await pools.ready('returns', 1);
  await pools.ready('stays', 2);
  for (const uid of [another, stays]) await expectTold(world, uid, 'Created', ['agentpool.created']);
  expect(await world.podsOf(steady[0] ?? '')).toEqual(pods);
  await expectInOrder();
});

it('a record put back to before all that is brought up to what the stream and the cluster have', async () => {
  const [kept = ''] = await start('kept');
  const [unrecorded = ''] = await start('unrecorded');
  await world.killOperators();
  await world.postgres.backUp();
  await world.startOperator();
  const [lost = '', late = '', changed = ''] = await start('lost', 'late', 'changed');
  await remove('agent', 'unrecorded');
  await world.recorded(unrecorded, 'Deleted');

  const [unheard = ''] = await outage(async () => {
    await remove('agent', 'late');
    await change('changed');
    await world.postgres.putBack();
    return create('unheard');
  });
  await expectReplaced(changed, replaced);
  // Of what was adopted, the stream does not say the spec.
  await change('lost');
  await expectReplaced(lost, replaced);

  for (const uid of [unrecorded, late]) await expectTold(world, uid, 'Deleted', wholeLife);
  for (const uid of [kept, unheard]) await expectTold(world, uid, 'Ready', life);
  await expectInOrder();
});

it('a record and a stream that are lost begin anew with what stands, which runs on', async () => {
  const [agent = '', removed = '', changed = ''] = await start('survives', 'forgotten', 'edited');
  const [pool = '', ...members] = await startPool('carries-on', 2);
  const pods = await Promise.all([agent, ...members].map(world.podsOf));
  await outage(async () => {
    await remove('agent', 'forgotten');
    await change('edited');
    await sql`drop schema public cascade`.execute(database.db);
    await sql`create schema public`.execute(database.db);
    expect((await world.run('migrate')).code).toBe(0);
    await world.nats.wipe();
  });

  for (const uid of [agent, ...members]) await expectTold(world, uid, 'Ready', life);
  await expectReplaced(changed, ['agent.created', 'agent.updated', ...life.slice(1)]);
  await expectTold(world, pool, 'Created', ['agentpool.created']);
  await expectTold(world, await uidOf(tenantResource, 'team'), 'Active', ['tenant.created']);
  expect(await world.rows(removed)).toEqual([]);
  const after = await Promise.all([agent, ...members].map(world.podsOf));
  const ids = (of: typeof pods) => of.flat().map(({ metadata }) => metadata.uid);
  expect(ids(after)).toEqual(ids(pods));
  await expectInOrder();
});

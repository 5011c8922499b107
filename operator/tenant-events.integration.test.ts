import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finalizers } from './api/v1alpha1/names.ts';
import type { TenantStatus } from './api/v1alpha1/tenant.ts';
import { isTrue } from './kernel/conditions.ts';
import type { StoredObject } from './kernel/object.ts';
import { agentResource, tenantResource } from './resources/own.ts';
import type { Database } from './store/db.ts';
import { placesUsed } from './store/repositories/ledger.ts';
import { eventually } from './testkit/eventually.ts';
import type { TestOperator } from './testkit/operator.ts';
import { kindsAreCounted } from './testkit/quotas.ts';
import { openTestDatabase } from './testkit/store.ts';
import { startWorld, type World } from './testkit/world.ts';

let world: World;
let database: Database;
let operator: TestOperator;
const kubectl = (...args: readonly string[]) => world.cluster.kubectl(...args);
const patch = (tenant: string, spec: object) =>
  kubectl('patch', 'tenant', tenant, '--type=merge', '-p', JSON.stringify({ spec }));
const ready = ({ conditions = [] }: TenantStatus) => isTrue(conditions, 'Ready');
const uidOf = async (name: string) =>
  (await world.cluster.client.get<StoredObject>({ resource: tenantResource, name }))?.metadata.uid ?? '';

beforeAll(async () => {
  world = await startWorld();
  database = openTestDatabase(world.postgres, 2);
  operator = await world.startOperator();
  await kindsAreCounted(world);
});
afterAll(async () => {
  await database?.close();
  await world?.stop();
});

/** Until its controller has counted a new or changed ResourceQuota, the API server refuses whatever it bounds. */
const create = (namespace: string, name: string) =>
  eventually(`${namespace}/${name} is accepted`, () => world.createAgent(namespace, name), 20_000);

/** Waits until exactly these events of the Tenant are on the stream, in this order. */
const toldAs = (uid: string, ...types: readonly string[]) =>
  eventually(`the stream tells ${types.at(-1)}`, async () => {
    const events = await world.events(uid);
    const told = events.map(({ event }) => event.event_type);
    if (told.length < types.length) throw new Error(told.join());
    expect(told).toEqual(types);
    return events;
  });

const kubernetesEvents = async (name: string) =>
  (
    await kubectl(
      'get',
      'events',
      '-n',
      'default',
      '-o',
      'jsonpath={range .items[*]}{.involvedObject.kind} {.involvedObject.name} {.type} {.reason}{"\\n"}{end}',
    )
  )
    .split('\n')
    .filter((line) => line.startsWith(`Tenant ${name} `));

describe('the story of a Tenant', () => {
  it('is recorded, told in order, and shown as Kubernetes Events', async () => {
    await world.tenant('acme');
    const uid = await uidOf('acme');
    await toldAs(uid, 'tenant.created');
    await patch('acme', { suspend: 'Hold', suspendReason: 'unpaid' });
    await toldAs(uid, 'tenant.created', 'tenant.suspended');
    await patch('acme', { suspend: 'None', suspendReason: null });
    await toldAs(uid, 'tenant.created', 'tenant.suspended', 'tenant.resumed');
    await kubectl('delete', 'tenant', 'acme', '--timeout=30s');
    await toldAs(uid, 'tenant.created', 'tenant.suspended', 'tenant.resumed', 'tenant.deleted');
    const rows = await world.recorded(uid, 'Deleted');
    expect(rows.map(({ seq, phase }) => [seq, phase])).toEqual([
      [1, 'Active'],
      [2, 'Suspended'],
      [3, 'Active'],
      [4, 'Deleted'],
    ]);
    await eventually('Kubernetes Events tell it, too', async () => {
      const seen = await kubernetesEvents('acme');
      return ['TenantReady', 'Suspended', 'Resumed'].every((reason) => seen.includes(`Tenant acme Normal ${reason}`));
    });
  });

  it('is another one when the name is used again', async () => {
    await world.tenant('again');
    const first = await uidOf('again');
    await kubectl('delete', 'tenant', 'again', '--timeout=30s');
    await kubectl('annotate', 'namespace', 'again', 'openos.dev/allow-tenant=again');
    await world.tenant('again');
    await toldAs(first, 'tenant.created', 'tenant.deleted');
    await toldAs(await uidOf('again'), 'tenant.created');
  });

  it('that ended while nobody looked is told to its end', async () => {
    await world.tenant('unseen');
    const uid = await uidOf('unseen');
    await toldAs(uid, 'tenant.created');
    await operator.stop();
    const patches = JSON.stringify({ metadata: { finalizers: null } });
    await kubectl('delete', 'tenant', 'unseen', '--wait=false');
    await kubectl('patch', 'tenant', 'unseen', '--type=merge', '-p', patches).catch(() => finalizers.tenantProtection);
    operator = await world.startOperator();
    await toldAs(uid, 'tenant.created', 'tenant.deleted');
  });

  it('leaves an audit row for each step, with what was and what is', async () => {
    const uid = await uidOf('again');
    await patch('again', { suspend: 'HoldAndDrain' });
    await toldAs(uid, 'tenant.created', 'tenant.suspended');
    const rows = await database.db
      .selectFrom('audit_log')
      .select(['action', 'detail'])
      .where('aggregate_id', '=', uid)
      .orderBy('id')
      .execute();
    expect(rows).toMatchObject([
      { action: 'tenant.created', detail: { from: null, to: { name: 'again' } } },
      { action: 'tenant.suspended', detail: { from: { name: 'again' }, to: { suspend: 'HoldAndDrain' } } },
    ]);
    await patch('again', { suspend: 'None' });
  });
});

describe('a quota that is exceeded', () => {
  it('is told on the edge alone, and once more after it was within bounds', async () => {
    await world.createTenant('tight', {
      namespaces: ['a', 'b', 'c'].map((each) => ({ name: `tight-${each}` })),
      quota: { agents: 1 },
    });
    await world.tenantStatus('tight', 'Ready', ready);
    const uid = await uidOf('tight');
    await create('tight-a', 'one');
    await world.ready('tight-a', 'one');
    await create('tight-b', 'two');
    const [, exceeded] = await toldAs(uid, 'tenant.created', 'tenant.quota_exceeded');
    expect(exceeded?.event.data).toMatchObject({
      resource: 'agents',
      waiting: 1,
      hard: { agents: '1' },
      used: { agents: '1' },
    });
    await world.tenantStatus('tight', 'exceeded', ({ conditions = [] }) => isTrue(conditions, 'QuotaExceeded'));
    await create('tight-c', 'three');
    await world.status('tight-c', 'three', 'waits', ({ reason }) => reason === 'WaitingForQuota');
    await patch('tight', { quota: { agents: 3 } });
    await Promise.all([world.ready('tight-b', 'two'), world.ready('tight-c', 'three')]);
    await world.tenantStatus('tight', 'within', ({ conditions = [] }) => !isTrue(conditions, 'QuotaExceeded'));
    await eventually('that it is over is remembered', async () => {
      const row = await database.db
        .selectFrom('tenant_usage')
        .select('exceeded')
        .where('tenant_id', '=', 'tight')
        .where('resource', '=', 'agents')
        .executeTakeFirst();
      return row?.exceeded === false;
    });
    await patch('tight', { quota: { agents: 2 } });
    await toldAs(uid, 'tenant.created', 'tenant.quota_exceeded', 'tenant.quota_exceeded');
  });
});

describe('the ledger', () => {
  const used = (tenant: string) => placesUsed(database.db, tenant, 'agents');

  it('is mended by the next leader when somebody has spoilt it', async () => {
    expect(await used('tight')).toBe(3);
    await operator.stop();
    await database.db.deleteFrom('tenant_place').where('tenant_id', '=', 'tight').execute();
    await database.db.updateTable('tenant_usage').set({ used: 17 }).where('tenant_id', '=', 'tight').execute();
    operator = await world.startOperator();
    await eventually('it counts three again', async () => (await used('tight')) === 3);
  });

  it('follows a namespace that another Tenant gets, and forgets a Tenant that is gone', async () => {
    for (const each of ['tight-b', 'tight-c']) {
      await kubectl('annotate', 'namespace', each, 'openos.dev/allow-tenant=heir', '--overwrite');
    }
    await world.createTenant('heir', { namespaces: [{ name: 'tight-b' }, { name: 'tight-c' }], quota: { agents: 5 } });
    await patch('tight', { namespaces: [{ name: 'tight-a' }] });
    await world.tenantStatus('heir', 'Ready', ready);
    await eventually('two of the three are its own', async () => {
      const places = [await used('tight'), await used('heir')];
      return places.join() === '1,2';
    });
    await world.tenantStatus('heir', 'says so', ({ quota }) => quota?.used?.agents === '2');
    await world.delete({ resource: agentResource, namespace: 'tight-c', name: 'three' });
    await eventually('a place is free', async () => (await used('heir')) === 1);
    await patch('heir', { namespaces: [] });
    await eventually('nobody has it', async () => (await used('heir')) === 0);
  });
});

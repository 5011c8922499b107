import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Tenant } from './api/v1alpha1/tenant.ts';
import { silentLogger } from './kernel/logger.ts';
import { LeaderEpoch } from './leader-epoch.ts';
import { recordAgent, recordPool, recordTenant } from './recorder.ts';
import type { AgentTransition } from './resources/agent/events.ts';
import type { PoolObserved } from './resources/agentpool/decide.ts';
import { adopt, type FoundEvent } from './store/repositories/adoption.ts';
import {
  markExpired,
  markRedelivered,
  markSkipped,
  requeue,
  returnToPending,
} from './store/repositories/event-repair.ts';
import { recountPlaces } from './store/repositories/ledger.ts';
import { recordTransitions } from './store/repositories/recording.ts';
import type { OutboxState } from './store/tables/outbox.ts';
import { unitOfWork } from './store/unit-of-work.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { aHistory, anAgent, anObservedAgent, aRow, aTenant, traceparent } from './testkit/builders.ts';
import { encodedRecording } from './testkit/events.ts';
import { startStore, type TestStore } from './testkit/store.ts';

/** Every path that changes what is recorded says in the audit log who, what, what was before and what is now. */

let store: TestStore;
let epoch: LeaderEpoch;
beforeAll(async () => {
  store = await startStore();
  epoch = new LeaderEpoch(store.database, 'test', { holds: () => true }, silentLogger);
  await epoch.current();
});
afterAll(() => store.stop());

const db = () => store.database.db;
const ports = () => ({
  database: store.database,
  epoch,
  metrics: createMetrics({ version: 'test', phases: [] }),
  log: silentLogger,
  recorded: () => undefined,
  freed: () => undefined,
});
const controller = 'openos-controller';
const person = { actor: 'alice', detail: { command: 'openos events', host: 'openos-0' } };
const manager = 'kubectl-edit';
const managed = <T extends { readonly metadata: object }>(object: T): T => ({
  ...object,
  metadata: { ...object.metadata, lastManager: manager },
});

const inOneTransaction = <T>(work: Parameters<typeof unitOfWork<T>>[2]) =>
  epoch.during((held) => unitOfWork(db(), held, work));

async function agentMoves(uid: string): Promise<void> {
  const agent = managed(anAgent({ uid }));
  const transition = (from: string, to: AgentTransition['to'], type: AgentTransition['event']['type']) => ({
    ...{ from, to, reason: 'Accepted', attempt: 1, observedAt: 0, detail: { namespace: 'team', name: 'writer' } },
    event: { type, data: { namespace: 'team', name: 'writer', attempt: 1, phase: to, reason: 'Accepted' } },
  });
  const created = transition('New', 'Created', 'agent.created') as AgentTransition;
  const scheduled = transition('Created', 'Scheduled', 'agent.scheduled') as AgentTransition;
  const tenancy = { kind: 'member', tenant: 'acme' } as const;
  await recordAgent(ports(), anObservedAgent({ uid, agent, tenancy, history: aHistory() }), [created]);
  const history = aHistory(aRow('Created', { seq: 1 }));
  await recordAgent(ports(), anObservedAgent({ uid, agent, tenancy, history }), [scheduled]);
}

async function poolScales(uid: string): Promise<void> {
  const detail = { namespace: 'team', name: 'flock', replicas: 2, revision: 'a' };
  const observed = {
    ...{ uid, namespace: 'team', name: 'flock', tenancy: { kind: 'member', tenant: 'acme' }, traceparent },
    pool: managed({ metadata: {} }),
  } as unknown as PoolObserved;
  const created = {
    from: 'New',
    to: 'Created',
    reason: 'PoolCreated',
    observedAt: 0,
    detail,
    event: { type: 'agentpool.created', data: { ...detail, reason: 'PoolCreated' } },
  } as const;
  await recordPool(ports(), { ...observed, history: { kind: 'known', last: undefined } }, [created]);
  const last = { seq: 1, to: 'Created', observedAt: 0, tenantId: 'acme', detail } as const;
  const scaled = { ...detail, replicas: 3 };
  const event = {
    type: 'agentpool.scaled',
    data: { ...scaled, reason: 'ReplicasChanged', previousReplicas: 2 },
  } as const;
  await recordPool(ports(), { ...observed, history: { kind: 'known', last } }, [
    { from: 'Created', to: 'Created', reason: 'ReplicasChanged', observedAt: 0, detail: scaled, event },
  ]);
}

/** A Tenant that is new, over its quota and within it again. */
async function tenantMoves(id: string, name: string): Promise<void> {
  const tenant: Tenant = managed(aTenant({ uid: id, name }));
  const observed = { name, tenant, traceparent };
  const told = { kind: 'told', id, to: 'Active', observedAt: 0, detail: { name } } as const;
  const event = { type: 'tenant.created', data: { name, reason: 'TenantCreated' } } as const;
  await recordTenant(ports(), observed, [{ ...told, last: undefined, from: 'New', reason: 'TenantCreated', event }]);
  const last = { seq: 1, to: 'Active', tenantId: name, detail: { name } } as const;
  const data = { name, reason: 'QuotaExceeded', resource: 'agents', waiting: 1, hard: {}, used: {} };
  const exceeded = { ...told, last, from: 'Active', reason: 'QuotaExceeded', exceeded: 'agents' } as const;
  await recordTenant(ports(), observed, [{ ...exceeded, event: { type: 'tenant.quota_exceeded', data } }]);
  await recordTenant(ports(), observed, [{ kind: 'within', resource: 'agents' }]);
}

async function holdPlace(tenantId: string, namespace: string): Promise<string> {
  const aggregateId = randomUUID();
  const place = { aggregate_id: aggregateId, resource: 'agents', tenant_id: tenantId, namespace } as const;
  await db().insertInto('tenant_place').values(place).execute();
  return aggregateId;
}

async function namespaceChangesHands(name: string): Promise<void> {
  await holdPlace('', `${name}-ns`);
  await recordTenant(ports(), { name, tenant: undefined, traceparent }, [{ kind: 'book', namespaces: [`${name}-ns`] }]);
}

async function ledgerDrifts(name: string): Promise<void> {
  await db().insertInto('tenant_usage').values({ tenant_id: name, resource: 'agents', used: 7 }).execute();
  await inOneTransaction((trx) => recountPlaces(trx, [], controller));
}

const streamCreated = '2030-01-01T00:00:00Z';

/** An event in this state; answers its id. */
async function anEvent(id: string, state: OutboxState, streamSeq: number | null): Promise<string> {
  const recording = encodedRecording({ epoch: await epoch.current(), id });
  await recordTransitions(db(), recording);
  const eventId = recording.outbox[0]?.eventId ?? '';
  const place = { stream_created: streamSeq === null ? null : streamCreated, stream_seq: streamSeq };
  await db()
    .updateTable('outbox')
    .set({ state, ...place })
    .where('event_id', '=', eventId)
    .execute();
  return eventId;
}

const mark = (eventId: string, streamSeq: number) => ({ eventId, streamCreated, streamSeq });

async function found(id: string): Promise<FoundEvent> {
  const { outbox, aggregate, tenantId } = encodedRecording({ epoch: 1, id });
  const [event] = outbox;
  if (event === undefined) throw new Error('a recording has an event');
  const place = { streamCreated, streamSeq: 9, phase: 'Starting', reason: 'Found', attempt: 1, detail: {} };
  const first = { eventId: event.eventId, eventType: event.eventType, phase: 'Starting' };
  return { ...event, kind: aggregate.kind, aggregateId: id, tenantId, first, ...place };
}

async function adopted(events: readonly FoundEvent[]): Promise<void> {
  await epoch.during((held) => unitOfWork(db(), held, (trx) => adopt(trx, held, controller, events)));
}

type Entry = { readonly actor: string; readonly action: string; readonly detail: object };
const by =
  (actor: string) =>
  (action: string, from: unknown, to: unknown, more: object = {}): Entry => ({
    ...{ actor, action },
    detail: expect.objectContaining({ from, to, ...more }),
  });
const said = by(controller);
const asked = by(person.actor);
const uses = (used: number) => ({ resource: 'agents', used });
const isOver = (exceeded: boolean) => ({ resource: 'agents', exceeded });
const at = (state: OutboxState, stream_seq: number | null) => ({ state, stream_seq });
const own = person.detail;
const pool = { namespace: 'team', name: 'flock', replicas: 2, revision: 'a' };

test.each<[string, (id: string) => Promise<unknown>, readonly Entry[]]>([
  [
    'an Agent',
    agentMoves,
    [
      said('agent.created', null, 'Created', { namespace: 'research', manager }),
      said('agent.scheduled', 'Created', 'Scheduled', { manager }),
    ],
  ],
  [
    'an AgentPool',
    poolScales,
    [
      said('agentpool.created', null, pool, { manager }),
      said('agentpool.scaled', pool, { ...pool, replicas: 3 }, { manager }),
    ],
  ],
  [
    'a Tenant and whether it is over its quota',
    (id) => tenantMoves(id, id),
    [
      said('tenant.created', null, expect.anything(), { manager }),
      said('tenant.quota_exceeded', expect.anything(), expect.anything(), { manager }),
      said('ledger.exceeded', isOver(false), isOver(true)),
      said('ledger.within', isOver(true), isOver(false)),
    ],
  ],
  ['a namespace that changes hands', namespaceChangesHands, [said('ledger.booked', uses(0), uses(1))]],
  ['a ledger that had drifted', ledgerDrifts, [said('ledger.recounted', uses(7), uses(0))]],
  [
    'an event that a restored database had lost',
    async (id) => adopted([await found(id)]),
    [said('event.adopted', null, expect.objectContaining({ seq: 1 }), { stream_seq: 9 })],
  ],
  [
    'an event that the stream tells otherwise',
    async (id) => {
      await anEvent(id, 'Pending', null);
      await adopted([{ ...(await found(id)), envelope: '{}' }]);
    },
    [expect.anything(), said('event.forked', { state: 'Pending' }, { state: 'DeadLettered' })],
  ],
  [
    'requeue',
    async (id) => requeue(db(), [await anEvent(id, 'DeadLettered', null)], person),
    [expect.anything(), asked('event.requeued', at('DeadLettered', null), at('Pending', null), own)],
  ],
  [
    'skip',
    async (id) => markSkipped(db(), mark(await anEvent(id, 'DeadLettered', null), 3), person),
    [expect.anything(), asked('event.skipped', at('DeadLettered', null), at('Skipped', 3), own)],
  ],
  [
    'replay',
    async (id) => returnToPending(db(), [await anEvent(id, 'Acknowledged', 4)], person),
    [expect.anything(), asked('event.replayed', at('Acknowledged', 4), at('Pending', null), own)],
  ],
  [
    'redeliver',
    async (id) => markRedelivered(db(), mark(await anEvent(id, 'Published', 4), 8), 4, person),
    [expect.anything(), asked('event.redelivered', at('Published', 4), at('Published', 8), own)],
  ],
  [
    'an event that aged out',
    async (id) => markExpired(db(), [await anEvent(id, 'Published', 4)], person),
    [expect.anything(), asked('event.expired', at('Published', 4), at('Expired', 4), own)],
  ],
])('%s', async (_, deed, entries) => {
  const id = randomUUID();
  await deed(id);
  const rows = await db().selectFrom('audit_log').selectAll().where('aggregate_id', '=', id).orderBy('id').execute();
  expect(rows.map(({ actor, action, detail }) => ({ actor, action, detail }))).toEqual(entries);
  for (const { at: when } of rows) expect(Math.abs(Date.now() - when.getTime())).toBeLessThan(60_000);
});

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from './kernel/logger.ts';
import { LeaderEpoch } from './leader-epoch.ts';
import { agentHistory, type RecorderPorts, recordAgent, recordPool, recordTenant } from './recorder.ts';
import { decide } from './resources/agent/decide.ts';
import type { PoolObserved } from './resources/agentpool/decide.ts';
import type { PoolTransition } from './resources/agentpool/events.ts';
import type { TenantRecord } from './resources/tenant/events.ts';
import { readHistory } from './store/repositories/history.ts';
import { createLogger } from './telemetry/log.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { anAgent, anObservedAgent, aPod, t0 } from './testkit/builders.ts';
import { startStore, type TestStore } from './testkit/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await startStore();
});
afterAll(() => store.stop());

test('what a recording answers is what would be read', async () => {
  const { database } = store;
  const uid = randomUUID();
  const ports = {
    database,
    epoch: new LeaderEpoch(database, 'test', { holds: () => true }, silentLogger),
    metrics: createMetrics({ version: 'test', phases: [] }),
    log: silentLogger,
    recorded: () => undefined,
    freed: () => undefined,
  };
  const agent = anAgent({ uid });
  const before = anObservedAgent({ uid, agent, history: await agentHistory(database, uid), pods: [] });
  const created = await recordAgent(ports, before, decide(before, t0).transitions);
  expect(created).toEqual(await agentHistory(database, uid));

  const ready = anObservedAgent({ uid, agent, history: created, pods: [aPod({ agent, readySince: t0 + 1_000 })] });
  const { transitions } = decide(ready, t0 + 1_500);
  expect(transitions.map(({ to }) => to)).toEqual(['Scheduled', 'Starting', 'Ready']);
  expect(await recordAgent(ports, ready, transitions)).toEqual(await agentHistory(database, uid));
});

describe('an event that fails its schema never enters the outbox, and the operator says so', () => {
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const tenancy = { kind: 'member', tenant: 'acme', rules: undefined } as const;
  const data = { namespace: 'team', name: 'x', surprise: true };
  const row = { from: 'New', to: 'Created', reason: 'AgentCreated', attempt: 1, observedAt: t0, detail: data } as const;

  test.each<[string, string, (ports: RecorderPorts, uid: string) => Promise<unknown>]>([
    [
      'an Agent',
      'agent',
      (ports, uid) => {
        const observed = anObservedAgent({ uid, agent: anAgent({ uid }) });
        return recordAgent(ports, observed, [{ ...row, event: { type: 'agent.created', data } }]);
      },
    ],
    [
      'an AgentPool',
      'agentpool',
      (ports, uid) => {
        const observed = { uid, namespace: 'team', name: 'x', tenancy, traceparent, history: { kind: 'known' } };
        const told = { ...row, event: { type: 'agentpool.created', data } };
        return recordPool(ports, observed as unknown as PoolObserved, [told as unknown as PoolTransition]);
      },
    ],
    [
      'a Tenant',
      'tenant',
      (ports, uid) => {
        const told = { ...row, kind: 'told', id: uid, last: undefined, event: { type: 'tenant.created', data } };
        const observed = { name: 'acme', tenant: undefined, traceparent };
        return recordTenant(ports, observed, [told as unknown as TenantRecord]);
      },
    ],
  ])('of %s', async (_, kind, record) => {
    const { database } = store;
    const uid = randomUUID();
    const lines: string[] = [];
    const metrics = createMetrics({ version: 'test', phases: [] });
    const ports = {
      database,
      epoch: new LeaderEpoch(database, 'test', { holds: () => true }, silentLogger),
      metrics,
      log: createLogger({ level: 'info', bindings: {}, destination: { write: (line) => lines.push(line) } }),
      recorded: () => undefined,
      freed: () => undefined,
    };
    await expect(record(ports, uid)).rejects.toMatchObject({ code: 'EventInvalid', kind: 'terminal' });
    const written = database.db.selectFrom('outbox').where('aggregate_id', '=', uid).selectAll().execute();
    expect(await written).toEqual([]);
    expect((await readHistory(database.db, kind, uid)).last).toBeUndefined();
    expect(await metrics.metrics()).toContain(`openos_events_invalid_total{kind="${kind}"} 1`);
    const errors = lines.map((line) => JSON.parse(line)).filter(({ code }) => code === 'EventInvalid');
    expect(errors).toMatchObject([{ level: 'error', kind, uid }]);
  });
});

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from './kernel/logger.ts';
import { LeaderEpoch } from './leader-epoch.ts';
import { agentHistory, recordAgent } from './recorder.ts';
import { decide } from './resources/agent/decide.ts';
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

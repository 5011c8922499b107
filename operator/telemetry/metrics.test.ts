import { expect, test } from 'vitest';
import { aggregateKinds, apiResources, controllerNames, createMetrics, reconcileResults } from './metrics.ts';

const phases = ['New', 'Created', 'Ready'];
const units = /_(?:seconds|bytes|events|keys|total|info|up|leader|ratio)$/;

test('every metric of ours begins with openos_, names its unit and says what it is', async () => {
  const { registry } = createMetrics({ version: '1.2.3', phases, processMetrics: false });
  const metrics = await registry.getMetricsAsJSON();
  expect(metrics.length).toBeGreaterThan(15);
  for (const { name, help, type } of metrics) {
    expect(name).toMatch(/^openos_[a-z][a-z_]*[a-z]$/);
    expect(name).toMatch(units);
    expect(help, name).toMatch(/\.$/);
    if (String(type) === 'counter') expect(name).toMatch(/_total$/);
    if (String(type) === 'histogram') expect(name).toMatch(/_seconds$/);
  }
});

test('metrics of two registries do not meet', async () => {
  const [one, two] = [createMetrics({ version: 'a', phases }), createMetrics({ version: 'b', phases })];
  one.eventDeadLettered();
  expect(await one.metrics()).toContain('openos_events_dead_lettered_total 1');
  expect(await two.metrics()).toContain('openos_events_dead_lettered_total 0');
});

test('what happened is counted under its labels, times in seconds', async () => {
  const metrics = createMetrics({ version: '1.2.3', phases, processMetrics: false });
  metrics.reconciled('agent', 'settled', 15);
  metrics.queueDepth('tenant', 3);
  metrics.queueWaited('agent', 'urgent', 5);
  metrics.queueRetried('agent');
  metrics.apiRequest('create', 'pods', 201);
  metrics.apiRequest('create', 'pods', undefined);
  metrics.watchRestarted('pods');
  metrics.watchListed('agents');
  metrics.transitioned('agent', 'Created', 'Ready');
  metrics.agentStarted(4_900);
  metrics.outbox({ pendingEvents: 7, oldestAgeMs: 1_500 });
  metrics.eventPublished(4);
  metrics.eventAttemptFailed();
  metrics.brokerUp(true);
  metrics.databaseUp(true);
  metrics.leading(true);
  const text = await metrics.metrics();
  for (const line of [
    'openos_reconcile_total{controller="agent",result="settled"} 1',
    'openos_reconcile_duration_seconds_sum{controller="agent"} 0.015',
    'openos_queue_depth_keys{controller="tenant"} 3',
    'openos_queue_latency_seconds_sum{controller="agent",lane="urgent"} 0.005',
    'openos_queue_retries_total{controller="agent"} 1',
    'openos_api_requests_total{verb="create",resource="pods",code="2xx"} 1',
    'openos_api_requests_total{verb="create",resource="pods",code="none"} 1',
    'openos_watch_restarts_total{resource="pods"} 1',
    'openos_watch_lists_total{resource="agents"} 1',
    'openos_transitions_total{kind="agent",from="Created",to="Ready"} 1',
    'openos_agent_start_latency_seconds_bucket{le="5"} 1',
    'openos_agent_start_latency_seconds_bucket{le="4"} 0',
    'openos_outbox_pending_events 7',
    'openos_outbox_oldest_age_seconds 1.5',
    'openos_events_published_total 1',
    'openos_event_publish_latency_seconds_sum 0.004',
    'openos_event_attempt_failures_total 1',
    'openos_broker_up 1',
    'openos_database_up 1',
    'openos_leader 1',
    'openos_build_info{version="1.2.3"} 1',
  ]) {
    expect(text).toContain(`${line}\n`);
  }
});

test('no caller can make series without bound', async () => {
  const metrics = createMetrics({ version: '1', phases, processMetrics: false });
  for (let i = 0; i < 1_000; i++) {
    metrics.apiRequest(`verb${i}`, `resource${i}`, 200 + i);
    metrics.transitioned('agent', `from${i}`, `to${i}`);
    metrics.watchListed(`resource${i}`);
  }
  const series = (await metrics.metrics()).split('\n').filter((line) => /^openos_(?:api|transitions|watch)/.test(line));
  expect(series.length).toBeLessThanOrEqual(8);
  expect(series.join()).toContain('openos_api_requests_total{verb="other",resource="other",code="2xx"} 100');
});

test('what the targets are judged by has a bucket of its own', async () => {
  const metrics = createMetrics({ version: '1', phases, processMetrics: false });
  metrics.agentStarted(1);
  metrics.eventPublished(1);
  metrics.reconciled('agent', 'settled', 1);
  const text = await metrics.metrics();
  expect(text).toContain('openos_agent_start_latency_seconds_bucket{le="5"}');
  expect(text).toContain('openos_event_publish_latency_seconds_bucket{le="2"}');
  expect(text).toContain('openos_reconcile_duration_seconds_bucket{le="0.03",controller="agent"}');
});

test('the process is measured too', async () => {
  const text = await createMetrics({ version: '1', phases }).metrics();
  expect(text).toContain('process_resident_memory_bytes ');
  expect(text).toContain('nodejs_eventloop_lag_p99_seconds ');
});

test('label sets are small and free of doubles', () => {
  for (const set of [controllerNames, reconcileResults, aggregateKinds, apiResources]) {
    expect(new Set(set).size).toBe(set.length);
    expect(set.length).toBeLessThan(24);
  }
});

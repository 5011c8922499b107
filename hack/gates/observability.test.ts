import { describe, expect, test } from 'vitest';
import { cloudEventHeaders } from '../../operator/events/cloud-event.ts';
import { encode } from '../../operator/events/registry.ts';
import { createMetrics } from '../../operator/telemetry/metrics.ts';
import { aDraft } from '../../operator/testkit/events.ts';
import { checkRun, type ObservedRun, type SeenEvent } from './observability.ts';

const secret = 'canary-0123456789';
const encoded = encode(aDraft());
const event = JSON.parse(encoded.envelope) as SeenEvent['event'];
const headers = {
  ...cloudEventHeaders({ ...encoded, kind: 'agent', aggregateId: String(event.agent_id) }),
  'Nats-Msg-Id': encoded.eventId,
};
const told: SeenEvent = { subject: encoded.subject, event, headers };

const line = { level: 'info', time: '2030-01-01T00:00:00.123Z', pod: 'openos-0', msg: 'started leading' };
/** As `recorded-lines.ts` writes it. */
const recorded = {
  ...line,
  ...{ kind: 'agent', uid: event.agent_id, tenant_id: event.tenant_id, trace_id: event.trace_id },
  ...{ namespace: 'team', name: 'writer', from: 'New', to: 'Created', reason: 'Accepted' },
  ...{ span_id: 'b'.repeat(16), event_type: event.event_type, event_id: event.event_id, sequence: event.sequence },
};
const pass = { ...line, controller: 'agent', key: 'uid', reconcileId: 'id' };
const metrics = await page();

/** A page with every metric, each in a series or more. */
async function page(): Promise<string> {
  const all = createMetrics({ version: 'dev', phases: ['New', 'Created'] });
  all.reconciled('agent', 'settled', 15);
  all.queueDepth('agent', 0);
  all.queueWaited('agent', 'urgent', 1);
  all.apiRequest('create', 'pods', 201);
  all.transitioned('agent', 'New', 'Created');
  return all.metrics();
}

function blocked(over: Partial<ObservedRun>): readonly string[] {
  const run = { events: [told], log: JSON.stringify(recorded), metrics, canaries: [secret], ...over };
  return checkRun(run).findings.map(({ where, broke }) => `${where}: ${broke}`);
}

const log = (fields: object) => ({ log: `${JSON.stringify(recorded)}\n${JSON.stringify(fields)}` });
const recordedAs = (over: object) => ({ log: JSON.stringify({ ...recorded, ...over }) });
const withEvent = (over: object) => ({ events: [{ ...told, event: { ...event, ...over } }] });
const withHeaders = (over: Readonly<Record<string, string>>) => ({
  events: [{ ...told, headers: { ...headers, ...over } }],
});
const withMetric = (text: string) => ({ metrics: `${metrics}${text}\n` });

test('a run that shows what it must passes', () => {
  expect(blocked({})).toEqual([]);
  expect(
    blocked(log({ ...pass, level: 'warn', code: 'Timeout', trace_id: 'a'.repeat(32), span_id: 'b'.repeat(16) })),
  ).toEqual([]);
});

describe('Gate 5 is blocked by', () => {
  test.each<[string, Partial<ObservedRun>]>([
    ['no event at all', { events: [] }],
    ...Object.keys(event).map((field): [string, Partial<ObservedRun>] => [
      `an event without ${field}`,
      withEvent({ [field]: undefined }),
    ]),
    ['an event with a field that is in no schema', withEvent({ colour: 'red' })],
    ['an event with data that is in no schema', withEvent({ data: { ...(event.data as object), image: 'x' } })],
    ['a header that is missing', { events: [{ ...told, headers: { ...headers, 'ce-id': '' } }] }],
    ['a header that says something else than the event', withHeaders({ 'ce-time': '2031-01-01T00:00:00.000Z' })],
    ['a header that is in no contract', withHeaders({ 'x-colour': 'red' })],
    ['a trace of another pass', withHeaders({ traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` })],
    [
      'an event on the subject of another tenant',
      { events: [{ ...told, subject: encoded.subject.replace('acme', 'umbrella') }] },
    ],
    ['no log at all', { log: '' }],
    ['a line that is no JSON', { log: 'Error: boom\n    at main.ts:1' }],
    ...Object.keys(line).map((field): [string, Partial<ObservedRun>] => [
      `a line without ${field}`,
      log({ ...line, [field]: undefined }),
    ]),
    ['a level nobody knows', log({ ...line, level: 'fatal' })],
    ['a line of a reconcile without its id', log({ ...pass, reconcileId: undefined })],
    ['a line of a span without its trace', log({ ...line, span_id: 'b'.repeat(16) })],
    ['an alarm without a code', log({ ...line, level: 'error', err: { message: 'boom' } })],
    ['an alarm of a reconcile without its trace', log({ ...pass, level: 'warn', code: 'Timeout' })],
    ['an event that no line tells of', { log: JSON.stringify(line) }],
    ['an event that two lines tell of', log(recorded)],
    ...[
      'kind',
      'uid',
      'name',
      'namespace',
      'tenant_id',
      'event_type',
      'sequence',
      'trace_id',
      'from',
      'to',
      'reason',
    ].map((field): [string, Partial<ObservedRun>] => [
      `a transition without ${field}`,
      recordedAs({ [field]: undefined }),
    ]),
    ['a transition in another trace', recordedAs({ trace_id: 'c'.repeat(32) })],
    ['a transition below info', recordedAs({ level: 'debug' })],
    ['a metric that is missing', { metrics: metrics.replaceAll('openos_leader', 'process_leader') }],
    [
      'a metric without its unit',
      withMetric('# HELP openos_speed How fast.\n# TYPE openos_speed gauge\nopenos_speed 1'),
    ],
    ['a metric that does not say what it is', withMetric('# TYPE openos_x_total counter\nopenos_x_total 1')],
    ['a metric of a stranger', withMetric('# HELP go_info Go.\n# TYPE go_info gauge\ngo_info 1')],
    ['a label for single objects', withMetric('openos_reconcile_total{controller="agent",name="writer"} 1')],
    ['a value that is in no set', withMetric('openos_reconcile_total{controller="other",result="settled"} 1')],
    ['a secret in an event', withEvent({ tenant_id: secret })],
    ['a secret in the log', log({ ...line, msg: `password ${secret}` })],
    ['a secret in a metric', withMetric(`# ${secret}`)],
  ])('%s', (_, over) => {
    expect(blocked(over)).not.toEqual([]);
  });
});

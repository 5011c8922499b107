import { expect, test } from 'vitest';
import { eventsInvocation, eventsUsage } from './index.ts';
import { eventOptions, parseEventsRequest } from './request.ts';

const now = Date.parse('2030-01-02T00:00:00.000Z');
const id = '0af76519-16cd-43dd-8448-eb211c80319c';

test.each([
  [['list'], {}],
  [['show', id], { eventIds: [id] }],
  [['list', '--tenant', 'acme', '--type', 'agent.ready'], { tenantId: 'acme', eventType: 'agent.ready' }],
  [['list', '--agent', id], { aggregateId: id }],
  [['list', '--agent', 'team/writer'], { named: { namespace: 'team', name: 'writer' } }],
  [['list', '--state', 'deadlettered'], { states: ['DeadLettered'] }],
  [
    ['list', '--from', '2h', '--to', '2030-01-01T12:00:00Z'],
    { from: new Date('2030-01-01T22:00:00Z'), to: new Date('2030-01-01T12:00:00Z') },
  ],
  [['replay', '--stream-seq', '12-40'], { streamSeq: [12, 40] }],
  [['replay', '--stream-seq', '7'], { streamSeq: [7, 7] }],
])('%j asks for %j', (args, filter) => {
  expect(parseEventsRequest(args, now).filter).toEqual(filter);
});

test.each([
  [['list', 'writer']],
  [['list', '--agent', 'writer']],
  [['list', '--agent', 'a/b/c']],
  [['list', '--state', 'Lost']],
  [['list', '--from', 'yesterday']],
  [['list', '--to', '12']],
  [['list', '--limit', '0']],
  [['list', '--output', 'yaml']],
  [['replay', '--stream-seq', '40-12']],
  [['replay', '--stream-seq', '0-12']],
  [['replay', '--stream-seq', '12-']],
  [['list', '--actor', ' ']],
  [['list', '--nonsense']],
  [['adopt', '--tenant', 'acme']],
  [['adopt', id]],
  [['rebuild', '--from', '2h']],
  [['rebuild', id]],
  [['list', '--dry-run']],
  [['show', id, '--again']],
  [['skip', id, '--reason', 'x', '--all']],
  [['requeue', '--state', 'Published']],
  [['dead-letters', id]],
  [['purge']],
  [[]],
])('%j is refused with a code', (args) => {
  expect(() => eventsInvocation(args, now)).toThrow(expect.objectContaining({ code: 'UsageInvalid' }));
});

test.each(['requeue', 'replay'])('%s changes nothing without being told which events', async (command) => {
  const invocation = eventsInvocation([command], now);
  if (invocation.kind !== 'run') throw new Error('it is a command');
  // Nothing is asked of the ports before the command line is complete.
  await expect(
    invocation.run({ by: { actor: 'test', detail: {} } } as Parameters<typeof invocation.run>[0]),
  ).rejects.toMatchObject({
    code: 'UsageInvalid',
  });
});

test('the help names every option', () => {
  expect(eventsInvocation(['list', '--help'], now)).toEqual({ kind: 'help' });
  for (const option of Object.keys(eventOptions)) expect(eventsUsage()).toContain(`--${option}`);
});

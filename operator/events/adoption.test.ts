import { describe, expect, test } from 'vitest';
import { aDraft } from '../testkit/events.ts';
import { foundEvent } from './adoption.ts';
import type { StoredMessage } from './broker.ts';
import { cloudEventHeaders } from './cloud-event.ts';
import { type EventDraft, encode, encodeTombstone } from './registry.ts';

function messageOf(draft: EventDraft): StoredMessage {
  const encoded = encode(draft);
  const headers = cloudEventHeaders({ ...encoded, kind: draft.aggregate.kind, aggregateId: draft.aggregate.id });
  return { streamSeq: 7, subject: encoded.subject, payload: encoded.envelope, headers };
}

const aggregate = (kind: string) => ({ kind, id: 'uid' });
const pool = { namespace: 'team', name: 'crew', reason: 'ReplicasChanged', replicas: 3, revision: 'r1' };

describe('an event of the stream says', () => {
  test.each<[string, Partial<EventDraft>, object]>([
    [
      'which phase an agent entered and why',
      {},
      { phase: 'Scheduled', reason: 'PodScheduled', attempt: 1, detail: { namespace: 'team', name: 'writer' } },
    ],
    [
      'since when an agent is Ready',
      {
        type: 'agent.ready',
        data: {
          ...{ namespace: 'team', name: 'writer', attempt: 2, phase: 'Ready', reason: 'AgentReady' },
          startLatencyMilliseconds: 12,
        },
      },
      { phase: 'Ready', attempt: 2, detail: { startLatencyMilliseconds: 12, firstReadyAt: 1_893_456_000_123 } },
    ],
    [
      'what a pool is asked for',
      { type: 'agentpool.scaled', aggregate: aggregate('agentpool'), data: { ...pool, previousReplicas: 1 } },
      { phase: 'Created', attempt: 0, detail: { namespace: 'team', name: 'crew', replicas: 3, revision: 'r1' } },
    ],
    [
      'that a tenant is held',
      {
        type: 'tenant.suspended',
        aggregate: aggregate('tenant'),
        data: { name: 'acme', reason: 'Suspended', suspend: 'Hold' },
      },
      { phase: 'Suspended', detail: { name: 'acme', suspend: 'Hold' } },
    ],
  ])('%s', (_, over, expected) => {
    const draft = aDraft(over);
    const found = foundEvent(messageOf(draft), 'a');
    expect(found).toMatchObject({
      ...expected,
      kind: draft.aggregate.kind,
      aggregateId: draft.aggregate.id,
      seq: 1,
      tenantId: 'acme',
      traceContext: draft.traceContext,
      streamCreated: 'a',
      streamSeq: 7,
    });
  });

  test('no phase of its own where the aggregate stays in the one it is in', () => {
    const data = { name: 'acme', reason: 'QuotaExceeded', resource: 'agents', waiting: 1, hard: {}, used: {} };
    const draft = aDraft({ type: 'tenant.quota_exceeded', aggregate: aggregate('tenant'), data });
    expect(foundEvent(messageOf(draft), 'a')).not.toHaveProperty('phase');
  });
});

describe('nothing is adopted of', () => {
  const message = messageOf(aDraft());
  test.each<[string, StoredMessage]>([
    ['what is no event', { ...message, payload: 'hello' }],
    [
      'an event under the id of another fact',
      { ...message, payload: message.payload.replace('"sequence":1', '"sequence":2') },
    ],
    [
      'a tombstone',
      {
        ...message,
        payload: encodeTombstone({
          ...aDraft(),
          data: {
            skippedEventId: '0af76519-16cd-53dd-8448-eb211c80319c',
            skippedEventType: 'agent.ready',
            reason: 'lost',
          },
        }).envelope,
      },
    ],
  ])('%s', (_, found) => {
    expect(foundEvent(found, 'a')).toBeUndefined();
  });
});

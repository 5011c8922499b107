import { v5 } from 'uuid';
import { describe, expect, test } from 'vitest';
import { aDraft } from '../testkit/events.ts';
import { cloudEventHeaders } from './cloud-event.ts';
import { eventId, eventIdNamespace } from './event-id.ts';
import { decode, encode } from './registry.ts';
import { eventSubject, subjectToken, textOfToken } from './subjects.ts';

const aggregate = { kind: 'agent', id: '3f1f9c1e-0000-4000-8000-000000000001' };

describe('an event id', () => {
  test('is the UUIDv5 of kind, uid and sequence', () => {
    for (const seq of [1, 2, 4_711]) {
      expect(eventId(aggregate, seq)).toBe(v5(`agent/${aggregate.id}/${seq}`, eventIdNamespace));
    }
  });

  test('never changes: consumers have seen this one', () => {
    expect(eventId(aggregate, 1)).toBe('31c58760-00d4-5bce-a079-8e996a6a53a4');
  });
});

describe('encoding', () => {
  test('gives the envelope with every required field, in its order', () => {
    const { envelope, ...rest } = encode(aDraft({ aggregate, seq: 7 }));
    expect(Object.entries(JSON.parse(envelope))).toEqual([
      ['event_id', eventId(aggregate, 7)],
      ['event_type', 'agent.scheduled'],
      ['schema_version', '1.0'],
      ['occurred_at', '2030-01-01T00:00:00.123Z'],
      ['trace_id', '098f6bcd4621d373cade4e832627b4f6'],
      ['agent_id', aggregate.id],
      ['tenant_id', 'acme'],
      ['sequence', 7],
      ['data', aDraft().data],
    ]);
    expect(rest).toMatchObject({
      eventId: eventId(aggregate, 7),
      subject: 'openos.events.acme.agent.scheduled.v1',
      schemaVersion: '1.0',
      seq: 7,
    });
  });

  test('is deterministic', () => {
    expect(encode(aDraft({ aggregate }))).toEqual(encode(aDraft({ aggregate })));
  });

  test.each([
    ['an unknown type', { type: 'agent.exploded' as 'agent.ready' }],
    ['a missing field of its data', { data: { namespace: 'team' } }],
    ['a field its data does not have', { data: { ...aDraft().data, colour: 'red' } }],
    ['agent.ready without its latency', { type: 'agent.ready' as const }],
    ['a sequence of 0', { seq: 0 }],
    ['an empty tenant', { tenantId: '' }],
    ['another kind than its type', { aggregate: { kind: 'tenant', id: 'x' } }],
    ['no trace', { traceContext: '' }],
    ['a trace of zeros', { traceContext: `00-${'0'.repeat(32)}-b7ad6b7169203331-01` }],
    ['a time that is none', { occurredAt: new Date(Number.NaN) }],
  ])('refuses %s', (_, over) => {
    expect(() => encode(aDraft(over))).toThrow(expect.objectContaining({ code: 'EventInvalid', kind: 'terminal' }));
  });

  test('its message names the field and not the value', () => {
    const draft = aDraft({ data: { ...aDraft().data, attempt: 'hunter2' } });
    expect(() => encode(draft)).toThrow(/attempt/);
    expect(() => encode(draft)).not.toThrow(/hunter2/);
  });
});

describe('decoding', () => {
  const { envelope } = encode(aDraft({ aggregate }));
  const changed = (over: object) => JSON.stringify({ ...JSON.parse(envelope), ...over });

  test('gives back what was encoded', () => {
    expect(decode(envelope)).toEqual(JSON.parse(envelope));
  });

  test.each([
    ['a type nobody knows', changed({ event_type: 'agent.exploded' }), 'EventTypeUnknown'],
    ['a type that is no name', changed({ event_type: 'constructor' }), 'EventTypeUnknown'],
    ['a version of the future', changed({ schema_version: '9.0' }), 'EventVersionUnknown'],
    ['a version that is no name', changed({ schema_version: 'toString' }), 'EventVersionUnknown'],
    ['a missing field', changed({ agent_id: undefined }), 'EnvelopeInvalid'],
    ['text', 'hello', 'EnvelopeInvalid'],
    ['a number', '7', 'EnvelopeInvalid'],
  ])('%s is an error of its own', (_, text, code) => {
    expect(() => decode(text)).toThrow(expect.objectContaining({ code }));
  });
});

describe('subjects', () => {
  test.each(['acme', 'a.b', 'a*b>c d', 'ünïcode', '100%', 'a/b'])('%s is one token, and is found again', (tenant) => {
    const token = subjectToken(tenant);
    expect(token).not.toMatch(/[.*>\s]/);
    expect(textOfToken(token)).toBe(tenant);
    expect(eventSubject(tenant, 'agent.ready', '2.3')).toBe(`openos.events.${token}.agent.ready.v2`);
  });
});

test('headers make the message a CloudEvent and carry the trace', () => {
  const event = encode(aDraft({ aggregate }));
  expect(cloudEventHeaders({ ...event, kind: 'agent', aggregateId: aggregate.id })).toEqual({
    'ce-specversion': '1.0',
    'ce-id': event.eventId,
    'ce-type': 'agent.scheduled',
    'ce-source': 'openos.dev/operator',
    'ce-subject': `agent/${aggregate.id}`,
    'ce-time': '2030-01-01T00:00:00.123Z',
    'ce-dataschema': 'urn:openos:event:agent.scheduled:1.0',
    'content-type': 'application/json',
    traceparent: event.traceContext,
  });
});

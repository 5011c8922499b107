import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { aDraft } from '../testkit/events.ts';
import { encode } from './registry.ts';
import { releasableSchemas, renderEventSchemas } from './render.ts';

describe('the rendered contract', () => {
  const files = renderEventSchemas();
  const documents = files.filter(({ path }) => path.endsWith('.json'));
  const parsed = new Map(documents.map(({ path, content }) => [path.split('/').at(-1), JSON.parse(content)]));

  test('has a file per schema, one for all subjects and one for all types', () => {
    expect(files.map(({ path }) => path)).toContain('operator/events/schemas/generated/agent.ready@1.0.generated.json');
    expect(files).toHaveLength(releasableSchemas().length + 2);
  });

  test('a standard validator takes what we encode and refuses what lacks a required field', () => {
    const validate = new Ajv2020({ strict: true, validateFormats: false }).compile(
      parsed.get('agent.scheduled@1.0.generated.json'),
    );
    const event = JSON.parse(encode(aDraft()).envelope);
    expect(validate(event)).toBe(true);
    for (const field of Object.keys(event)) expect(validate({ ...event, [field]: undefined })).toBe(false);
  });

  test('a consumer of today reads an event of the next minor version: unknown fields are allowed', () => {
    const validate = new Ajv2020({ validateFormats: false }).compile(parsed.get('agent.ready@1.0.generated.json'));
    const data = { ...aDraft().data, startLatencyMilliseconds: 12 };
    const event = JSON.parse(encode(aDraft({ type: 'agent.ready', data })).envelope);
    expect(validate({ ...event, more: 1, data: { ...event.data, more: 1 } })).toBe(true);
  });

  test('what a field holds under names of its own has a type too', () => {
    const validate = new Ajv2020({ validateFormats: false }).compile(
      parsed.get('tenant.quota_exceeded@1.0.generated.json'),
    );
    const data = {
      name: 'acme',
      reason: 'QuotaExceeded',
      resource: 'agents',
      waiting: 1,
      hard: { agents: '2' },
      used: {},
    };
    const draft = aDraft({ type: 'tenant.quota_exceeded', aggregate: { kind: 'tenant', id: 'uid' }, data });
    const event = JSON.parse(encode(draft).envelope);
    expect(validate(event)).toBe(true);
    expect(validate({ ...event, data: { ...event.data, hard: { agents: 2 } } })).toBe(false);
  });

  test('the AsyncAPI document names the subject of every event', () => {
    const { asyncapi, channels } = parsed.get('asyncapi.generated.json');
    expect(asyncapi).toBe('3.0.0');
    expect(channels['agent.ready@1.0'].address).toBe('openos.events.{tenant}.agent.ready.v1');
  });
});

import { describe, expect, test } from 'vitest';
import { checkCompatibility, currentSchemas, differences, readSnapshots, unreleased } from './schemas.ts';

type Draft = { required: string[]; properties: Record<string, unknown> };

const name = 'agent.ready@1.0';
const released = await readSnapshots();
const ready = released.get(name) as unknown as Draft & { properties: { data: Draft } };

/** The released agent.ready, changed. */
function changed(change: (schema: typeof ready) => void): typeof ready {
  const copy = structuredClone(ready);
  change(copy);
  return copy;
}

function verdict(overrides: Readonly<Record<string, unknown>>): readonly (readonly [string, string, string])[] {
  const only = new Map([[name, ready]]);
  const current = new Map(Object.entries({ [name]: ready, ...overrides }).filter(([, schema]) => schema !== undefined));
  const { findings } = checkCompatibility(only, current as Parameters<typeof checkCompatibility>[1]);
  return findings.map(({ where, broke, fix }) => [where, broke, /.*@(\d+\.\d+)/.exec(fix)?.[1] ?? ''] as const);
}

const more = { type: 'string', minLength: 1 };
const optionalMore = changed(({ properties }) => {
  properties.data.properties.colour = more;
});
const requiredMore = changed(({ properties }) => {
  properties.data.properties.colour = more;
  properties.data.required.push('colour');
});
const without = changed(({ properties }) => {
  delete properties.data.properties.podName;
});

describe('Gate 2 is blocked by', () => {
  test.each<[string, unknown, string, string]>([
    ['an optional field more in a released version', optionalMore, 'data.colour: was not there', '1.1'],
    ['a required field more', requiredMore, 'data.colour: was not there, became required string', '2.0'],
    ['a field less', without, 'data.podName: was optional string, became nothing', '2.0'],
    [
      'another type',
      changed(({ properties }) => {
        properties.data.properties.attempt = { type: 'string' };
      }),
      'data.attempt: type was "integer", became "string"',
      '2.0',
    ],
    [
      'a field that need not be there any more',
      changed((schema) => {
        schema.required = schema.required.filter((field) => field !== 'sequence');
      }),
      'sequence: was required, became optional',
      '2.0',
    ],
    [
      'other words',
      changed(({ properties }) => {
        Object.assign(properties.data.properties.attempt as object, { description: 'Something else.' });
      }),
      'data.attempt: description was ',
      '1.1',
    ],
  ])('%s, and says which field, what it was, what it became and the version it needs', (_, schema, broke, version) => {
    const [[where, what, needed] = []] = verdict({ [name]: schema });
    expect(where).toBe(name);
    expect(what).toContain(broke);
    expect(needed).toBe(version);
  });

  test('a released version that is gone', () => {
    expect(verdict({ [name]: undefined }).map(([where]) => where)).toEqual([name]);
  });

  test.each<[string, string, unknown, string]>([
    ['a break under a minor version', 'agent.ready@1.1', requiredMore, '2.0'],
    ['a version that leaves one out', 'agent.ready@1.2', optionalMore, '1.1'],
    ['a new event that does not begin with 1.0', 'agent.moved@1.1', ready, ''],
  ])('%s', (_, version, schema, needed) => {
    expect(verdict({ [version]: schema }).map(([where, , fix]) => [where, fix])).toEqual([[version, needed]]);
  });

  test('a new event without a field that every event carries', () => {
    const { required, ...rest } = ready;
    const schema = { ...rest, required: required.filter((field) => field !== 'trace_id') };
    expect(verdict({ 'agent.moved@1.0': schema })).toMatchObject([
      ['agent.moved@1.0', expect.stringMatching(/trace_id/), ''],
    ]);
  });

  test('having nothing to compare with', () => {
    expect(checkCompatibility(new Map(), currentSchemas()).checked).toEqual([]);
  });
});

test.each<[string, string, unknown]>([
  ['an optional field more in a minor version', 'agent.ready@1.1', optionalMore],
  ['an optional field more in a major version', 'agent.ready@2.0', optionalMore],
  ['a break in a major version', 'agent.ready@2.0', without],
  ['a new event', 'agent.moved@1.0', ready],
])('Gate 2 lets pass %s', (_, version, schema) => {
  expect(verdict({ [version]: schema })).toEqual([]);
});

test('fields of objects in lists are told apart too', () => {
  const list = (fields: object) => ({ type: 'array', items: { type: 'object', properties: fields } });
  const schema = (fields: object) => ({ properties: { pods: list(fields) } });
  expect(differences(schema({ a: more, b: more }), schema({ a: more }))).toMatchObject([{ path: 'pods[].b' }]);
});

describe('what is committed', () => {
  test('passes', () => {
    expect(released.size).toBeGreaterThanOrEqual(17);
    expect(checkCompatibility(released, currentSchemas()).findings).toEqual([]);
  });

  test('is released as a whole', () => {
    expect(unreleased(released, currentSchemas())).toEqual([]);
  });
});

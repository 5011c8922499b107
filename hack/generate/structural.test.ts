import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { kubernetes, quantity, rules } from '../../operator/api/v1alpha1/kubernetes.ts';
import type { JsonObject } from './json.ts';
import { type RewriteOptions, structuralSchema } from './structural.ts';

const options: RewriteOptions = { kubernetes: () => ({ type: 'object' }), part: 'spec' };
const status: RewriteOptions = { ...options, part: 'status' };

/** The schema of one field, described as every field must be. */
function field(schema: z.ZodType, given: RewriteOptions = options): unknown {
  const object = structuralSchema(z.object({ field: schema.optional().describe('A field.') }), 'spec', given);
  const { field: converted } = object.properties as { readonly field: JsonObject };
  const { description, ...rest } = converted;
  return rest;
}

describe('what is not structural is refused with its path', () => {
  const described = (schema: z.ZodType) =>
    z.object({
      list: z
        .array(z.object({ x: schema.describe('X.') }))
        .max(9)
        .describe('L.'),
    });
  const refused: Readonly<Record<string, readonly [z.ZodType, string]>> = {
    'a strict object': [z.strictObject({}), 'NotStructural'],
    'a union of strings': [z.union([z.literal('a'), z.array(z.string().max(1)).max(1)]), 'NotStructural'],
    'a union of three': [z.union([z.int(), z.string().max(1), z.boolean()]), 'NotStructural'],
    'a discriminated union': [
      z.discriminatedUnion('k', [z.object({ k: z.literal('a') }), z.object({ k: z.literal('b') })]),
      'NotStructural',
    ],
    'an intersection': [z.int().meta({ allOf: [{ minimum: 1 }] }), 'NotStructural'],
    'a nullable value': [z.string().max(1).nullable(), 'NotStructural'],
    'a default': [z.string().max(1).default('a'), 'SilentLoss'],
    'a default in the metadata of a spec': [z.int().meta({ default: 1 }), 'NotStructural'],
    'a fallback': [z.string().max(1).catch('a'), 'SilentLoss'],
    'a transformation': [
      z
        .string()
        .max(1)
        .transform((text) => text.length),
      'SilentLoss',
    ],
    'a preprocessing step': [z.preprocess(String, z.string().max(1)), 'SilentLoss'],
    'a coercion': [z.coerce.number(), 'SilentLoss'],
    'a refinement without a CEL twin': [
      z
        .string()
        .max(1)
        .refine((text) => text !== 'b'),
      'SilentLoss',
    ],
    'bounds on the keys of a map': [
      z.record(z.string().max(3), z.string().max(1)).meta({ maxProperties: 1 }),
      'SilentLoss',
    ],
    'a look-ahead': [
      z
        .string()
        .max(1)
        .regex(/^(?=a)/),
      'NotRe2',
    ],
    'a look-behind': [
      z
        .string()
        .max(1)
        .regex(/(?<!a)$/),
      'NotRe2',
    ],
    'a back-reference': [
      z
        .string()
        .max(2)
        .regex(/^(.)\1$/),
      'NotRe2',
    ],
    'a value of any kind': [z.unknown(), 'Untyped'],
    'a rule without a message': [z.int().meta({ 'x-kubernetes-validations': [{ rule: 'true' }] }), 'NoMessage'],
    'a list keyed by an optional field': [
      z
        .array(z.object({ k: z.string().max(1).optional().describe('K.') }))
        .max(1)
        .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'] }),
      'ListKey',
    ],
    'an unbounded string': [z.string(), 'Unbounded'],
    'an unbounded list': [z.array(z.int()), 'Unbounded'],
    'an unbounded map': [z.record(z.string(), z.int()), 'Unbounded'],
    'an unknown word of JSON Schema': [z.int().meta({ contentEncoding: 'base64' }), 'NotStructural'],
  };

  it.each(Object.entries(refused))('%s', (_name, [schema, code]) => {
    const convert = () => structuralSchema(described(schema), 'spec', options);
    expect(convert).toThrow(
      expect.objectContaining({ code, path: expect.stringMatching(/^spec\.list(\[\]|\.items)\.x/) }),
    );
  });

  it('an id, even where schemas are written out', () => {
    const shared = z.object({ a: z.int().describe('A.') }).meta({ id: 'Shared', description: 'S.' });
    const convert = () => structuralSchema(z.object({ one: shared, two: shared }), 'spec', options);
    expect(convert).toThrow(expect.objectContaining({ code: 'NotStructural' }));
  });

  it('a recursive schema', () => {
    type Tree = { readonly children?: readonly Tree[] | undefined };
    const tree: z.ZodType<Tree> = z.object({
      children: z
        .array(z.lazy(() => tree))
        .max(2)
        .optional()
        .describe('C.'),
    });
    expect(() => structuralSchema(tree, 'spec', options)).toThrow();
  });

  it('a field without a description', () => {
    const convert = () => structuralSchema(z.object({ bare: z.int() }), 'spec', options);
    expect(convert).toThrow(expect.objectContaining({ code: 'NoDescription', path: 'spec.bare' }));
  });

  it('what zod itself cannot express', () => {
    expect(() => structuralSchema(z.object({ d: z.date().describe('D.') }), 'spec', options)).toThrow();
  });
});

describe('what can be said in another way is rewritten', () => {
  it('an open object keeps unknown fields', () => {
    expect(field(z.looseObject({}))).toEqual({
      type: 'object',
      properties: {},
      'x-kubernetes-preserve-unknown-fields': true,
    });
  });

  it('integers carry a format in place of the bounds of JavaScript', () => {
    expect(field(z.int())).toEqual({ type: 'integer', format: 'int64' });
    expect(field(z.int().min(1).max(60))).toEqual({ type: 'integer', format: 'int32', minimum: 1, maximum: 60 });
  });

  it('integer or string becomes one value with the bounds of both', () => {
    expect(field(z.union([z.int().min(0), z.string().max(4).regex(/%$/)]))).toEqual({
      anyOf: [{ type: 'integer' }, { type: 'string' }],
      'x-kubernetes-int-or-string': true,
      minimum: 0,
      maxLength: 4,
      pattern: '%$',
    });
    expect(field(quantity())).toMatchObject({ 'x-kubernetes-int-or-string': true, maxLength: 64 });
  });

  it('formats are left to the API server', () => {
    expect(field(z.iso.datetime({ offset: true }))).toEqual({ type: 'string', format: 'date-time' });
    expect(field(z.uuid())).toEqual({ type: 'string', format: 'uuid' });
    expect(field(z.email())).toEqual({ type: 'string', format: 'email' });
  });

  it('words for readers of JSON Schema are dropped', () => {
    expect(field(z.boolean().meta({ examples: [true], title: 'T', deprecated: false }))).toEqual({ type: 'boolean' });
    expect(field(z.array(z.int()).max(3).readonly())).toEqual({
      type: 'array',
      items: { type: 'integer', format: 'int64' },
      maxItems: 3,
    });
  });

  it('literals and enums become enums', () => {
    expect(field(z.literal('a'))).toEqual({ type: 'string', enum: ['a'] });
    expect(field(z.enum({ A: 'a', B: 'b' }))).toEqual({ type: 'string', enum: ['a', 'b'] });
  });

  it('a refinement beside its CEL twin is kept to the twin', () => {
    const twin = rules({ rule: "self != 'b'", message: 'choose another' });
    expect(
      field(
        z
          .string()
          .max(1)
          .refine((text) => text !== 'b')
          .meta(twin),
      ),
    ).toEqual({ type: 'string', maxLength: 1, ...twin });
  });

  it('a part of Kubernetes comes from its own document, under our description', () => {
    expect(field(kubernetes('core.v1.PodSpec'))).toEqual({ type: 'object' });
  });

  it('a status may have defaults and no bounds; what has a default is not required', () => {
    const schema = z.object({
      generation: z.int().meta({ default: -1 }).describe('G.'),
      name: z.string().describe('N.'),
    });
    expect(structuralSchema(schema, 'status', status)).toMatchObject({
      required: ['name'],
      properties: { generation: { default: -1 }, name: { type: 'string' } },
    });
  });

  it('a description follows the field', () => {
    const object = structuralSchema(z.object({ a: z.int().describe('An a.') }), 'spec', options);
    expect(object.properties).toMatchObject({ a: { description: 'An a.' } });
  });
});

import { z } from 'zod';
import { kubernetesDefinition } from '../../operator/api/v1alpha1/kubernetes.ts';
import { GenerateError, isObject, type Json, type JsonObject, strings } from './json.ts';
import { checkStructural } from './structural-checks.ts';

/**
 * zod → structural schema of a CRD. Kubernetes accepts only part of JSON Schema, and what it does not
 * accept it drops or refuses far from the cause; so everything here is either known to be structural,
 * rewritten into something that is, or refused with the path of the field.
 */
export type RewriteOptions = {
  /** Resolves a reference made by `kubernetes()`. */
  readonly kubernetes: (definition: string) => JsonObject;
  /** `spec`: bounded, and no defaults. `status`: written by us alone, so bounds are free and defaults allowed. */
  readonly part: 'spec' | 'status';
};

/** The structural schema of a zod schema; `path` names it in errors. Throws GenerateError. */
export function structuralSchema(schema: z.ZodType, path: string, options: RewriteOptions): JsonObject {
  const refined = new Map<string, boolean>();
  const json = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    reused: 'inline',
    cycles: 'throw',
    unrepresentable: 'throw',
    override: ({ zodSchema, jsonSchema, path: steps }) => {
      const here = zodPath(path, steps);
      refuseSilentLoss(zodSchema, here);
      // Called from the inside out for each layer at a path (`.refine()`, then `.meta()`): only the last has all.
      const hasTwin = jsonSchema['x-kubernetes-validations'] !== undefined;
      refined.set(here, !hasTwin && (refined.get(here) === true || isRefined(zodSchema)));
    },
  });
  for (const [here, isLost] of refined) {
    if (isLost)
      throw new GenerateError('SilentLoss', here, 'a refinement is lost in the CRD; write a CEL rule beside it');
  }
  return rewrite(json as JsonObject, path, options);
}

function zodPath(root: string, steps: readonly (string | number)[]): string {
  return [root, ...steps.filter((step) => step !== 'properties')].join('.');
}

function isRefined(schema: z.core.$ZodType): boolean {
  return (schema._zod.def.checks ?? []).some((check) => check._zod.def.check === 'custom');
}

const lossyTypes: ReadonlySet<string> = new Set(['pipe', 'transform', 'catch', 'default', 'prefault']);

/** zod says nothing when these do not survive; the API server and the parser would then disagree. */
function refuseSilentLoss(schema: z.core.$ZodType, path: string): void {
  const { def } = schema._zod;
  if (lossyTypes.has(def.type) || ('coerce' in def && def.coerce === true)) {
    throw new GenerateError('SilentLoss', path, `${def.type} changes the value on parsing, which a CRD cannot do`);
  }
  if (def.type === 'record' && keyChecks(schema as z.core.$ZodRecord) > 0) {
    throw new GenerateError('SilentLoss', path, 'bounds of map keys are lost in the CRD; write a CEL rule');
  }
}

function keyChecks(record: z.core.$ZodRecord): number {
  return (record._zod.def.keyType._zod.def.checks ?? []).length;
}

/** Said to readers of JSON Schema, not to the API server. */
const dropped: ReadonlySet<string> = new Set(['$schema', 'readOnly', 'examples', 'title', 'deprecated']);

const copied: ReadonlySet<string> = new Set([
  'type',
  'format',
  'description',
  'required',
  'enum',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'pattern',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
  'x-kubernetes-int-or-string',
]);

function rewrite(source: JsonObject, path: string, options: RewriteOptions): JsonObject {
  const embedded = source[kubernetesDefinition];
  if (typeof embedded === 'string') return embed(source, options.kubernetes(embedded), path);
  const schema = intOrString(source, path) ?? source;
  const entries = Object.entries(schema).flatMap(([key, value]): [string, Json][] => {
    if (dropped.has(key)) return [];
    if (key === 'anyOf' && schema['x-kubernetes-int-or-string'] === true) return [[key, value]];
    if (copied.has(key)) return [[key, value]];
    if (key === 'default' && options.part === 'status') return [[key, value]];
    if (key === 'properties') return [[key, rewriteProperties(value, path, options)]];
    if (key === 'items') return [[key, rewriteItems(value, path, options)]];
    if (key === 'additionalProperties') return [additionalProperties(value, schema, path, options)];
    throw refusal(key, path);
  });
  const result = requiredWithoutDefault(integerFormat(patternBesideFormat(Object.fromEntries(entries) as JsonObject)));
  checkStructural(result, path, { bounded: options.part === 'spec' });
  return result;
}

function embed(source: JsonObject, schema: JsonObject, path: string): JsonObject {
  const { description, [kubernetesDefinition]: _, ...rest } = source;
  const extra = Object.keys(rest)[0];
  if (extra !== undefined) throw refusal(extra, path);
  return description === undefined ? schema : { description, ...schema };
}

/** A union is only structural as integer-or-string: then both are bounded in one place. */
function intOrString(schema: JsonObject, path: string): JsonObject | undefined {
  const { anyOf, ...rest } = schema;
  if (!Array.isArray(anyOf)) return undefined;
  const [integer, string] = anyOf as readonly Json[];
  if (anyOf.length !== 2 || !isObject(integer) || !isObject(string)) throw refusal('anyOf', path);
  if (integer.type !== 'integer' || string.type !== 'string') throw refusal('anyOf', path);
  const { type: _integer, ...integerBounds } = withoutSafeIntegerBounds(integer);
  const { type: _string, ...stringBounds } = string;
  return {
    ...rest,
    ...integerBounds,
    ...stringBounds,
    anyOf: [{ type: 'integer' }, { type: 'string' }],
    'x-kubernetes-int-or-string': true,
  };
}

function rewriteProperties(value: Json, path: string, options: RewriteOptions): JsonObject {
  if (!isObject(value)) throw refusal('properties', path);
  const entries = Object.entries(value).map(([name, property]) => {
    const here = `${path}.${name}`;
    if (!isObject(property)) throw refusal('properties', here);
    const converted = rewrite(property, here, options);
    if (converted.description === undefined) {
      throw new GenerateError('NoDescription', here, 'every field is described; it is what kubectl explain shows');
    }
    return [name, converted] as const;
  });
  return Object.fromEntries(entries);
}

function rewriteItems(value: Json, path: string, options: RewriteOptions): JsonObject {
  if (!isObject(value)) throw refusal('items', path);
  return rewrite(value, `${path}[]`, options);
}

function additionalProperties(value: Json, schema: JsonObject, path: string, options: RewriteOptions): [string, Json] {
  if (isObject(value) && Object.keys(value).length === 0) return ['x-kubernetes-preserve-unknown-fields', true];
  if (!isObject(value) || schema.properties !== undefined) throw refusal('additionalProperties', path);
  return ['additionalProperties', rewrite(value, `${path}.*`, options)];
}

function withoutSafeIntegerBounds(schema: JsonObject): JsonObject {
  const { minimum, maximum, ...rest } = schema;
  return {
    ...rest,
    ...(minimum !== undefined && minimum !== Number.MIN_SAFE_INTEGER && { minimum }),
    ...(maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER && { maximum }),
  };
}

function integerFormat(schema: JsonObject): JsonObject {
  if (schema.type !== 'integer') return schema;
  const bounded = withoutSafeIntegerBounds(schema);
  const fits32 = typeof bounded.maximum === 'number' && bounded.maximum < 2 ** 31;
  return { ...bounded, format: fits32 ? 'int32' : 'int64' };
}

/** zod adds its own pattern to a format; the API server knows the format. */
function patternBesideFormat(schema: JsonObject): JsonObject {
  if (schema.format === undefined) return schema;
  const { pattern: _, ...rest } = schema;
  return rest;
}

/** What has a default is never missing when it is read, and need not be written. */
function requiredWithoutDefault(schema: JsonObject): JsonObject {
  const { properties, required, ...rest } = schema;
  if (!isObject(properties) || required === undefined) return schema;
  const needed = strings(required).filter((name) => {
    const property = properties[name];
    return !isObject(property) || property.default === undefined;
  });
  return { ...rest, properties, ...(needed.length > 0 && { required: needed }) };
}

const advice: Readonly<Record<string, string>> = {
  $ref: 'schemas are written out; remove .meta({ id })',
  anyOf: 'a union is only possible as integer or string; use optional members and a CEL rule',
  oneOf: 'a union is only possible as integer or string; use optional members and a CEL rule',
  allOf: 'use one object and a CEL rule',
  not: 'use a CEL rule',
  nullable: 'leave the field out in place of null',
  default: 'nothing is filled into a spec; apply the default where the value is used',
  additionalProperties: 'use z.object: unknown fields are dropped, or refused by strict clients',
  uniqueItems: 'use x-kubernetes-list-type: set',
};

function refusal(key: string, path: string): GenerateError {
  return new GenerateError(
    'NotStructural',
    path,
    `${key} is not structural: ${advice[key] ?? 'a CRD cannot say this'}`,
  );
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { quantityPattern } from '../../operator/api/v1alpha1/kubernetes.ts';
import { GenerateError, isObject, type Json, type JsonObject, strings } from './json.ts';

/**
 * Parts of Kubernetes' own API as structural schemas, from its OpenAPI document. Descriptions are dropped
 * (with them a CRD with a pod template is too large to apply) and so is every default (nothing is ever
 * filled into a spec the user wrote).
 */
export type Definitions = Readonly<Record<string, JsonObject>>;

export function kubernetesDefinitions(): Definitions {
  const text = readFileSync(join(import.meta.dirname, 'openapi/kubernetes.generated.json'), 'utf8');
  return (JSON.parse(text) as { readonly definitions: Definitions }).definitions;
}

const refPrefix = '#/components/schemas/';

/** Definitions that are written here rather than converted. */
const written: Readonly<Record<string, JsonObject>> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity': {
    anyOf: [{ type: 'integer' }, { type: 'string' }],
    'x-kubernetes-int-or-string': true,
    pattern: quantityPattern.source,
  },
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': {
    anyOf: [{ type: 'integer' }, { type: 'string' }],
    'x-kubernetes-int-or-string': true,
  },
  // The only metadata inside a pod spec is that of an ephemeral claim, where nothing else is allowed.
  'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta': {
    type: 'object',
    properties: {
      labels: { type: 'object', additionalProperties: { type: 'string' } },
      annotations: { type: 'object', additionalProperties: { type: 'string' } },
    },
  },
};

type Adjustment = {
  readonly omit?: readonly string[];
  readonly require?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonObject>>;
};

const atomic = { 'x-kubernetes-list-type': 'atomic' } as const;

/** What differs from Kubernetes' own words, by definition. */
const adjustments: Readonly<Record<string, Adjustment>> = {
  'io.k8s.api.core.v1.PodSpec': {
    // The scheduler's and the kubelet's business; a template that sets them goes around both.
    omit: ['nodeName', 'schedulingGates', 'ephemeralContainers'],
    properties: { containers: { minItems: 1 }, terminationGracePeriodSeconds: { minimum: 0 } },
  },
  'io.k8s.api.core.v1.Container': {
    // Kubernetes' schema leaves the image open for tools that fill it in later; nobody would here.
    require: ['image'],
    properties: { name: { minLength: 1 }, image: { minLength: 1 } },
  },
};

const kept: ReadonlySet<string> = new Set(['type', 'format', 'required', 'x-kubernetes-map-type']);
const dropped: ReadonlySet<string> = new Set([
  'description',
  'default',
  'x-kubernetes-patch-strategy',
  'x-kubernetes-patch-merge-key',
  'x-kubernetes-unions',
  'x-kubernetes-group-version-kind',
]);

/**
 * The structural schema of `core.v1.PodSpec`, or of one property: `core.v1.Container#env`.
 * Throws GenerateError for a reference that does not exist and for what a CRD cannot say.
 */
export function kubernetesSchema(definitions: Definitions, reference: string): JsonObject {
  const [name = '', property] = reference.split('#');
  const schema = definition(definitions, `io.k8s.api.${name}`, []);
  if (property === undefined) return schema;
  const properties = schema.properties;
  const found = isObject(properties) ? properties[property] : undefined;
  if (!isObject(found)) throw new GenerateError('UnknownDefinition', reference, 'Kubernetes has no such property');
  return found;
}

function definition(definitions: Definitions, name: string, within: readonly string[]): JsonObject {
  if (within.includes(name)) throw new GenerateError('RecursiveSchema', name, 'a CRD cannot hold a recursive schema');
  const fixed = written[name];
  if (fixed !== undefined) return fixed;
  const source = definitions[name];
  if (source === undefined) {
    throw new GenerateError(
      'UnknownDefinition',
      name,
      'not in openapi/kubernetes.generated.json; see openapi/refresh.ts',
    );
  }
  const convert = (schema: Json, path: string) => structural(definitions, schema, path, [...within, name]);
  const adjustment = adjustments[name] ?? {};
  return adjusted(convert(without(source, adjustment.omit), name), adjustment);
}

function structural(definitions: Definitions, schema: Json, path: string, within: readonly string[]): JsonObject {
  if (!isObject(schema)) throw new GenerateError('NotASchema', path, 'expected a schema');
  const target = reference(schema);
  if (target !== undefined) return definition(definitions, target, within);
  const inner = (value: Json, step: string) => structural(definitions, value, `${path}.${step}`, within);
  const entries = Object.entries(schema).flatMap(([key, value]): [string, Json][] => {
    if (dropped.has(key) || key.startsWith('x-kubernetes-list')) return [];
    if (kept.has(key)) return [[key, value]];
    if (key === 'items') return [[key, inner(value, 'items')]];
    if (key === 'additionalProperties') return [[key, inner(value, '*')]];
    if (key !== 'properties' || !isObject(value))
      throw new GenerateError('NotStructural', path, `${key} is not expected`);
    const properties = Object.entries(value).map(([name, property]) => [name, inner(property, name)]);
    return [[key, Object.fromEntries(properties) as JsonObject]];
  });
  return listSemantics(definitions, schema, Object.fromEntries(entries) as JsonObject);
}

function reference(schema: JsonObject): string | undefined {
  const all = schema.allOf;
  const direct = Array.isArray(all) && all.length === 1 ? all[0] : schema;
  const target = isObject(direct) ? direct.$ref : undefined;
  return typeof target === 'string' && target.startsWith(refPrefix) ? target.slice(refPrefix.length) : undefined;
}

/**
 * A list told apart by keys needs each key in every item, by `required` or by a default. Since defaults are
 * dropped, a key whose default means something makes the list atomic; the others become required.
 */
function listSemantics(definitions: Definitions, source: JsonObject, converted: JsonObject): JsonObject {
  const type = source['x-kubernetes-list-type'];
  if (type === undefined) return converted;
  const { items } = converted;
  if (type !== 'map' || !isObject(items)) return { ...converted, 'x-kubernetes-list-type': type };
  const keys = strings(source['x-kubernetes-list-map-keys']);
  if (keys.some((key) => Boolean(keyDefault(definitions, source, key)))) return { ...converted, ...atomic };
  const required = [...new Set([...strings(items.required), ...keys])];
  return {
    ...converted,
    items: { ...items, required },
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': keys,
  };
}

function keyDefault(definitions: Definitions, list: JsonObject, key: string): Json | undefined {
  const { items } = list;
  const target = isObject(items) ? reference(items) : undefined;
  const properties = target === undefined ? undefined : definitions[target]?.properties;
  const property = isObject(properties) ? properties[key] : undefined;
  return isObject(property) ? property.default : undefined;
}

/** Before the conversion, since what is left out may refer to what is not in the snapshot. */
function without(schema: JsonObject, omit: readonly string[] = []): JsonObject {
  const { properties } = schema;
  if (!isObject(properties)) return schema;
  const entries = Object.entries(properties).filter(([name]) => !omit.includes(name));
  return { ...schema, properties: Object.fromEntries(entries) as JsonObject };
}

function adjusted(schema: JsonObject, { require = [], properties: extra = {} }: Adjustment): JsonObject {
  const { properties, required } = schema;
  if (!isObject(properties)) return schema;
  const entries = Object.entries(properties).map(([name, property]) => [
    name,
    isObject(property) ? { ...property, ...extra[name] } : property,
  ]);
  const all = [...strings(required), ...require];
  return {
    ...schema,
    properties: Object.fromEntries(entries) as JsonObject,
    ...(all.length > 0 && { required: all }),
  };
}

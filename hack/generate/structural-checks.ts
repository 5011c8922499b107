import { GenerateError, isObject, type Json, type JsonObject, strings } from './json.ts';

/** Refuses a schema that Kubernetes would not take, or that is less than our own rules ask for. Throws GenerateError. */
export function checkStructural(schema: JsonObject, path: string, { bounded }: { readonly bounded: boolean }): void {
  if (schema.type === undefined && schema['x-kubernetes-int-or-string'] === undefined) {
    throw new GenerateError('Untyped', path, 'a CRD needs a type here; use kubernetes() for a part of its API');
  }
  if (schema.type === 'array' && schema.items === undefined) {
    throw new GenerateError('Untyped', path, 'a list needs a schema of its items');
  }
  checkPattern(schema.pattern, path);
  checkRules(schema['x-kubernetes-validations'], path);
  checkListKeys(schema, path);
  if (bounded) checkBounds(schema, path);
}

/** What RE2 cannot do: look-around and back-references. */
const notRe2 = /\(\?(?:[=!]|<[=!])|\\[1-9]|\\k</;

function checkPattern(pattern: Json | undefined, path: string): void {
  if (typeof pattern === 'string' && notRe2.test(pattern)) {
    throw new GenerateError('NotRe2', path, 'the API server knows no look-around and no back-references');
  }
}

function checkRules(rules: Json | undefined, path: string): void {
  if (!Array.isArray(rules)) return;
  const silent = (rules as readonly Json[]).some((rule) => !isObject(rule) || typeof rule.message !== 'string');
  if (silent) throw new GenerateError('NoMessage', path, 'every rule has a message that says what to do');
}

function checkListKeys(schema: JsonObject, path: string): void {
  const { items } = schema;
  const required = isObject(items) ? strings(items.required) : [];
  const missing = strings(schema['x-kubernetes-list-map-keys']).find((key) => !required.includes(key));
  if (missing !== undefined)
    throw new GenerateError('ListKey', path, `the key ${missing} must be required in every item`);
}

/** The API server estimates what rules cost from these, and refuses a CRD whose estimate is too high. */
function checkBounds(schema: JsonObject, path: string): void {
  const has = (key: string) => schema[key] !== undefined;
  const isFreeString = schema.type === 'string' && !has('enum') && !has('format');
  if (isFreeString && !has('maxLength')) throw new GenerateError('Unbounded', path, 'a string needs maxLength');
  if (schema.type === 'array' && !has('maxItems')) throw new GenerateError('Unbounded', path, 'a list needs maxItems');
  if (has('additionalProperties') && !has('maxProperties')) {
    throw new GenerateError('Unbounded', path, 'a map needs maxProperties');
  }
}

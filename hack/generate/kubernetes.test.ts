import { describe, expect, it } from 'vitest';
import { isObject, type Json, type JsonObject, strings } from './json.ts';
import { type Definitions, kubernetesDefinitions, kubernetesSchema } from './kubernetes.ts';

const definitions = kubernetesDefinitions();
const podSpec = kubernetesSchema(definitions, 'core.v1.PodSpec');

function at(schema: JsonObject, ...steps: readonly string[]): JsonObject {
  return steps.reduce<JsonObject>((current, step) => {
    const next = step === '[]' ? current.items : isObject(current.properties) ? current.properties[step] : undefined;
    if (!isObject(next)) throw new Error(`no ${step} in ${steps.join('.')}`);
    return next;
  }, schema);
}

/** Every schema inside a schema, itself included; the names of properties are not mistaken for keywords. */
function schemasIn(schema: Json | undefined): readonly JsonObject[] {
  if (!isObject(schema)) return [];
  const properties: readonly Json[] = isObject(schema.properties) ? Object.values(schema.properties) : [];
  const inner: readonly (Json | undefined)[] = [...properties, schema.items, schema.additionalProperties];
  return [schema, ...inner.flatMap(schemasIn)];
}

describe('the pod spec from the OpenAPI document of Kubernetes', () => {
  it('has neither defaults nor descriptions nor references', () => {
    for (const schema of schemasIn(podSpec)) {
      expect(Object.keys(schema)).not.toEqual(
        expect.arrayContaining([
          expect.stringMatching(/^(default|description|allOf|oneOf|\$ref|x-kubernetes-patch.*)$/),
        ]),
      );
    }
  });

  it('types every value', () => {
    const untyped = schemasIn(podSpec).filter(
      (schema) => schema.type === undefined && schema['x-kubernetes-int-or-string'] !== true,
    );
    expect(untyped).toEqual([]);
  });

  it('requires the keys of every list that is told apart by keys', () => {
    const lists = schemasIn(podSpec).filter((schema) => schema['x-kubernetes-list-type'] === 'map');
    expect(lists.length).toBeGreaterThan(5);
    for (const list of lists) {
      const items = list.items as JsonObject;
      expect(strings(items.required)).toEqual(expect.arrayContaining([...strings(list['x-kubernetes-list-map-keys'])]));
    }
  });

  it('has ports as a list without keys, for their key protocol lives by its default', () => {
    const ports = at(podSpec, 'containers', '[]', 'ports');
    expect(ports['x-kubernetes-list-type']).toBe('atomic');
    expect(ports['x-kubernetes-list-map-keys']).toBeUndefined();
  });

  it('requires the name of a pull secret', () => {
    expect(at(podSpec, 'imagePullSecrets', '[]').required).toEqual(['name']);
  });

  it('requires a container, its name and its image', () => {
    expect(at(podSpec, 'containers').minItems).toBe(1);
    expect(at(podSpec, 'containers', '[]').required).toEqual(expect.arrayContaining(['name', 'image']));
    expect(at(podSpec, 'containers', '[]', 'name').minLength).toBe(1);
    expect(at(podSpec, 'initContainers', '[]', 'image').minLength).toBe(1);
  });

  it.each(['nodeName', 'schedulingGates', 'ephemeralContainers'])('leaves out %s', (name) => {
    expect(Object.keys(podSpec.properties as JsonObject)).not.toContain(name);
  });

  it('keeps a property that is called like a keyword', () => {
    expect(at(kubernetesSchema(definitions, 'core.v1.LimitRangeSpec'), 'limits', '[]', 'default').type).toBe('object');
  });

  it('takes amounts as numbers and as strings', () => {
    const limits = at(podSpec, 'containers', '[]', 'resources', 'limits').additionalProperties;
    expect(limits).toMatchObject({ 'x-kubernetes-int-or-string': true, pattern: expect.any(String) });
  });

  it('offers single properties too', () => {
    expect(kubernetesSchema(definitions, 'core.v1.Container#env')).toEqual(at(podSpec, 'containers', '[]', 'env'));
  });
});

describe('what cannot be converted is refused', () => {
  const refused: Readonly<Record<string, readonly [Definitions, string, string]>> = {
    'a definition that is not there': [definitions, 'core.v1.Nothing', 'UnknownDefinition'],
    'a property that is not there': [definitions, 'core.v1.PodSpec#nothing', 'UnknownDefinition'],
    'a recursive definition': [
      { 'io.k8s.api.a.A': { type: 'object', properties: { a: { $ref: '#/components/schemas/io.k8s.api.a.A' } } } },
      'a.A',
      'RecursiveSchema',
    ],
    'a keyword nobody has thought of': [{ 'io.k8s.api.a.A': { type: 'object', anyOf: [] } }, 'a.A', 'NotStructural'],
  };

  it.each(Object.entries(refused))('%s', (_name, [given, reference, code]) => {
    expect(() => kubernetesSchema(given, reference)).toThrow(expect.objectContaining({ code }));
  });
});

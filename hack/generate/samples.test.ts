import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { customResources } from '../../operator/api/crds.ts';
import { crdManifest } from './crd.ts';
import { repository } from './files.ts';
import type { JsonObject } from './json.ts';
import { kubernetesDefinitions } from './kubernetes.ts';

const folder = join(repository, 'config/samples');
const samples = readdirSync(folder).map((file) => ({
  file,
  object: parse(readFileSync(join(folder, file), 'utf8')) as { readonly kind: string; readonly spec: JsonObject },
}));

/** The schema of a kind, closed: a field that is not in it is a mistake in the sample. */
function closedSchema(kind: string): JsonObject {
  const custom = customResources.find(({ resource }) => resource.kind === kind);
  if (custom === undefined) throw new Error(`no kind ${kind}`);
  const crd = crdManifest(custom, kubernetesDefinitions()) as unknown as {
    readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: JsonObject } }[] };
  };
  const schema = crd.spec.versions[0]?.schema.openAPIV3Schema;
  return JSON.parse(JSON.stringify(schema), (key, value) => {
    const isClosable = key !== 'properties' && value?.type === 'object' && value.properties !== undefined;
    return isClosable ? { ...value, additionalProperties: false } : value;
  }) as JsonObject;
}

describe.each(samples)('config/samples/$file', ({ object }) => {
  it('fits the schema of its kind, without unknown fields', () => {
    const ajv = new Ajv({ strict: false, allErrors: true, formats: { int32: true, int64: true, 'date-time': true } });
    const validate = ajv.compile(closedSchema(object.kind));
    validate(object);
    expect(validate.errors ?? []).toEqual([]);
  });
});

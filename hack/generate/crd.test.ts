import { describe, expect, it } from 'vitest';
import { customResources } from '../../operator/api/crds.ts';
import { crdManifest } from './crd.ts';
import { isObject, type Json } from './json.ts';
import { kubernetesDefinitions } from './kubernetes.ts';
import { generatedYaml } from './yaml.ts';

const definitions = kubernetesDefinitions();
const crds = customResources.map((custom) => ({
  kind: custom.resource.kind,
  custom,
  crd: crdManifest(custom, definitions),
}));

/** Paths of every value under a key, as `a.b.c`. */
function pathsOf(value: Json | undefined, key: string, path = ''): readonly string[] {
  if (Array.isArray(value)) return (value as readonly Json[]).flatMap((item, i) => pathsOf(item, key, `${path}.${i}`));
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([name, inner]) => [
    ...(name === key ? [`${path}.${name}`] : []),
    ...pathsOf(inner, key, `${path}.${name}`),
  ]);
}

describe.each(crds)('the CRD of $kind', ({ kind, custom, crd }) => {
  const version = ((crd.spec as { versions: readonly Json[] }).versions[0] ?? null) as {
    readonly subresources: Json;
    readonly additionalPrinterColumns: readonly { readonly name: string; readonly priority?: number }[];
    readonly schema: { readonly openAPIV3Schema: { readonly properties: { readonly status: Json } } };
  };

  it('fits into an annotation of kubectl apply: at most 200 KB of compact JSON', () => {
    expect(Buffer.byteLength(JSON.stringify(crd))).toBeLessThanOrEqual(200 * 1024);
  });

  it('has the two defaults of the status and no other', () => {
    const root = '.spec.versions.0.schema.openAPIV3Schema.properties.status';
    expect(pathsOf(crd, 'default').filter((path) => !path.includes('.properties.default'))).toEqual([
      `${root}.properties.observedGeneration.default`,
      `${root}.default`,
    ]);
    expect(version.schema.openAPIV3Schema.properties.status).toMatchObject({
      default: {},
      properties: { observedGeneration: { default: -1 } },
    });
  });

  it('has a status subresource, and a pool a scale one', () => {
    const scale = {
      specReplicasPath: '.spec.replicas',
      statusReplicasPath: '.status.replicas',
      labelSelectorPath: '.status.selector',
    };
    expect(version.subresources).toEqual({ status: {}, ...(kind === 'AgentPool' && { scale }) });
  });

  it('shows its wide columns only when asked', () => {
    const columns = version.additionalPrinterColumns;
    expect(columns.map(({ name }) => name)).toEqual(custom.columns.map(({ name }) => name));
    expect(columns.filter(({ priority }) => priority === 1).map(({ name }) => name)).toEqual(
      custom.columns.filter(({ wide }) => wide).map(({ name }) => name),
    );
  });

  it('holds nothing a template engine would take for its own', () => {
    expect(generatedYaml(crd, 'operator/api')).not.toContain('{{');
  });
});

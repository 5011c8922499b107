import type { Column, CustomResource } from '../../operator/api/crds.ts';
import { category } from '../../operator/api/v1alpha1/names.ts';
import type { Json, JsonObject } from './json.ts';
import { type Definitions, kubernetesSchema } from './kubernetes.ts';
import { structuralSchema } from './structural.ts';

/** The CustomResourceDefinition of a kind, as a plain object. Throws GenerateError. */
export function crdManifest(custom: CustomResource, definitions: Definitions): JsonObject {
  const { resource, singular, shortName, scale } = custom;
  const { group, kind, plural } = resource;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames: [shortName], categories: [category] },
      scope: resource.namespaced ? 'Namespaced' : 'Cluster',
      versions: [
        {
          name: resource.version,
          served: true,
          storage: true,
          subresources: { status: {}, ...(scale && { scale }) },
          additionalPrinterColumns: custom.columns.map(printerColumn),
          schema: { openAPIV3Schema: objectSchema(custom, definitions) },
        },
      ],
    },
  };
}

function objectSchema(custom: CustomResource, definitions: Definitions): JsonObject {
  const kubernetes = (definition: string) => kubernetesSchema(definitions, definition);
  const spec = structuralSchema(custom.spec, 'spec', { kubernetes, part: 'spec' });
  const status = structuralSchema(custom.status, 'status', { kubernetes, part: 'status' });
  return {
    description: custom.description,
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string', description: 'Version of the schema of this object.' },
      kind: { type: 'string', description: 'Kind of this object.' },
      metadata: { type: 'object' },
      spec: withRules(spec, custom.specRules),
      // Both this default and the one of observedGeneration: a fresh object has no status at all, and a
      // status written without the field must not read as settled either.
      status: { ...status, default: {} },
    },
    'x-kubernetes-validations': custom.objectRules as readonly Json[],
  };
}

function withRules(schema: JsonObject, rules: readonly Json[]): JsonObject {
  if (rules.length === 0) return schema;
  const own = (schema['x-kubernetes-validations'] ?? []) as readonly Json[];
  return { ...schema, 'x-kubernetes-validations': [...own, ...rules] };
}

function printerColumn({ wide, ...column }: Column): JsonObject {
  return { ...column, ...(wide && { priority: 1 }) };
}

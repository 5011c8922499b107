import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Json, JsonObject } from '../json.ts';

/**
 * Writes kubernetes.generated.json beside this file: the definitions of Kubernetes' OpenAPI document that our
 * CRDs embed, without descriptions. Needs Go; run it when KUBERNETES_VERSION changes:
 *
 *     node hack/generate/openapi/refresh.ts
 */
const roots = [
  { document: 'api__v1_openapi.json', definition: 'io.k8s.api.core.v1.PodSpec' },
  { document: 'api__v1_openapi.json', definition: 'io.k8s.api.core.v1.PersistentVolumeClaimSpec' },
  { document: 'api__v1_openapi.json', definition: 'io.k8s.api.core.v1.LimitRangeSpec' },
  { document: 'apis__networking.k8s.io__v1_openapi.json', definition: 'io.k8s.api.networking.v1.NetworkPolicySpec' },
] as const;

/** Referred to and never embedded: see kubernetes.ts. */
const leftOut: ReadonlySet<string> = new Set([
  'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta',
  'io.k8s.api.core.v1.EphemeralContainer',
  'io.k8s.api.core.v1.PodSchedulingGate',
]);

type Schemas = Readonly<Record<string, JsonObject>>;

const here = import.meta.dirname;

async function kubernetesVersion(): Promise<string> {
  const text = await readFile(join(here, '../../toolchain/versions.env'), 'utf8');
  const version = /^KUBERNETES_VERSION=(\d+\.\d+\.\d+)\b/m.exec(text)?.[1];
  if (version === undefined) throw new Error('hack/toolchain/versions.env names no KUBERNETES_VERSION');
  return `v${version}`;
}

async function moduleFolder(version: string): Promise<string> {
  const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', `k8s.io/kubernetes@${version}`], {
    // Outside any module, so that no go.mod has a say in the version.
    cwd: '/',
    maxBuffer: 1 << 20,
  });
  return (JSON.parse(stdout) as { readonly Dir: string }).Dir;
}

async function readSchemas(folder: string, document: string): Promise<Schemas> {
  const text = await readFile(join(folder, 'api/openapi-spec/v3', document), 'utf8');
  return (JSON.parse(text) as { readonly components: { readonly schemas: Schemas } }).components.schemas;
}

/** Every definition that `name` refers to, directly or not, itself included. */
function closure(schemas: Schemas, name: string, found: Map<string, Json>): void {
  if (found.has(name) || leftOut.has(name)) return;
  const schema = schemas[name];
  if (schema === undefined) throw new Error(`the OpenAPI document has no ${name}`);
  // A property may itself be called description; only texts are dropped.
  const trimmed = JSON.stringify(schema, (key, value: Json) =>
    key === 'description' && typeof value === 'string' ? undefined : value,
  );
  found.set(name, JSON.parse(trimmed) as Json);
  for (const [, target] of trimmed.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
    closure(schemas, String(target), found);
  }
}

const version = await kubernetesVersion();
const folder = await moduleFolder(version);
const found = new Map<string, Json>();
for (const { document, definition } of roots) closure(await readSchemas(folder, document), definition, found);
const definitions = [...found].sort(([a], [b]) => (a < b ? -1 : 1));
const source = `k8s.io/kubernetes ${version}, api/openapi-spec/v3, descriptions dropped by hack/generate/openapi/refresh.ts`;
// One definition per line: a new Kubernetes version then reads as a list of what changed.
const lines = definitions.map(([name, schema]) => `    ${JSON.stringify(name)}: ${JSON.stringify(schema)}`);
await writeFile(
  join(here, 'kubernetes.generated.json'),
  `{\n  "source": ${JSON.stringify(source)},\n  "license": "Apache-2.0",\n  "definitions": {\n${lines.join(',\n')}\n  }\n}\n`,
);
console.log(`${definitions.length} definitions of Kubernetes ${version}`);

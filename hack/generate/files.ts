import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CustomResource, customResources } from '../../operator/api/crds.ts';
import { renderEventSchemas } from '../../operator/events/render.ts';
import { permissions } from '../../operator/permissions.ts';
import { agentDiagram } from '../../operator/resources/agent/diagram.ts';
import { crdManifest } from './crd.ts';
import { GenerateError } from './json.ts';
import { kubernetesDefinitions } from './kubernetes.ts';
import { mergedRules } from './rbac.ts';
import { generatedHeader, generatedYaml } from './yaml.ts';

export const repository = join(import.meta.dirname, '../..');

/** A file, or part of one, that is generated and committed. `path` is relative to the repository. */
export type GeneratedFile = { readonly path: string; readonly render: () => string };

const crdFolders = ['crds', 'charts/openos/files/crds'] as const;

/** Folders that hold generated files only: what nothing here renders is stale. */
export const generatedFolders: readonly string[] = [...crdFolders, 'operator/events/schemas/generated'];

const roleName = 'openos-controller';

/** Everything `make generate` writes and `make verify` compares. */
export const generatedFiles: readonly GeneratedFile[] = [
  ...customResources.flatMap(crdFiles),
  { path: 'config/rbac/role.yaml', render: clusterRole },
  { path: 'charts/openos/templates/clusterrole.generated.yaml', render: chartClusterRole },
  ...renderEventSchemas().map(({ path, content }) => ({ path, render: () => content })),
  section('operator/resources/agent/README.md', 'diagram', () => `\`\`\`mermaid\n${agentDiagram()}\`\`\``),
];

function crdFiles(custom: CustomResource): readonly GeneratedFile[] {
  const { group, plural } = custom.resource;
  const render = () => generatedYaml(crdManifest(custom, kubernetesDefinitions()), 'operator/api');
  return crdFolders.map((folder) => ({ path: `${folder}/${group}_${plural}.yaml`, render }));
}

function clusterRole(): string {
  const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: roleName } };
  return generatedYaml({ ...role, rules: mergedRules(permissions) }, 'operator/permissions.ts');
}

/** The same rules under the chart's name and labels, which are its helpers `openos.fullname` and `openos.labels`. */
function chartClusterRole(): string {
  const head = [
    'apiVersion: rbac.authorization.k8s.io/v1',
    'kind: ClusterRole',
    'metadata:',
    '  name: {{ include "openos.fullname" . }}',
    '  labels: {{- include "openos.labels" . | nindent 4 }}',
    '',
  ].join('\n');
  const rules = generatedYaml({ rules: mergedRules(permissions) }, 'operator/permissions.ts');
  const header = generatedHeader('operator/permissions.ts');
  return `${header}${head}${rules.slice(header.length)}`;
}

/**
 * A generated part of a file that is otherwise written by hand, between `<!-- generated: NAME -->` and
 * `<!-- end: NAME -->`. Rendering throws GenerateError when the file has no such place.
 */
export function section(path: string, name: string, text: () => string): GeneratedFile {
  return { path, render: () => withSection(readFileSync(join(repository, path), 'utf8'), path, name, text()) };
}

export function withSection(file: string, path: string, name: string, text: string): string {
  const [begin, end] = [`<!-- generated: ${name} -->`, `<!-- end: ${name} -->`];
  const from = file.indexOf(begin);
  const to = file.indexOf(end, from);
  if (from < 0 || to < 0) throw new GenerateError('NoSection', path, `has no ${begin} … ${end}`);
  return `${file.slice(0, from + begin.length)}\n${text.trim()}\n${file.slice(to)}`;
}

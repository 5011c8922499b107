import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '../..');

/** A rendered object, as far as every Kubernetes object is alike. */
export type Rendered = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [key: string]: unknown;
};

export type PodTemplate = {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: Readonly<Record<string, unknown>> & { readonly automountServiceAccountToken?: boolean };
};

/** Path of the pinned helm; built into the user cache when it is not there. */
export async function findHelm(): Promise<string> {
  const { stdout } = await run(join(repository, 'hack/toolchain/get.sh'), ['helm']);
  return join(stdout.trim(), 'helm');
}

/** Renders the chart as `helm template openos -n openos-system --set…`; rejects with what helm wrote to stderr. */
export async function render(helm: string, ...set: readonly string[]): Promise<readonly Rendered[]> {
  const flags = set.flatMap((assignment) => ['--set', assignment]);
  const args = ['template', 'openos', join(repository, 'charts/openos'), '--namespace', 'openos-system', ...flags];
  const { stdout } = await run(helm, args, { maxBuffer: 2 ** 25 });
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

/** What helm says against these values; undefined when it renders them. */
export async function refusal(helm: string, ...set: readonly string[]): Promise<string | undefined> {
  const error: unknown = await render(helm, ...set).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error === undefined) return undefined;
  return error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
}

/** The pod template of a workload; undefined for anything else. */
export function podTemplate(object: Rendered): PodTemplate | undefined {
  if (!['Deployment', 'StatefulSet', 'DaemonSet', 'Job'].includes(object.kind)) return undefined;
  return (object.spec as { readonly template: PodTemplate }).template;
}

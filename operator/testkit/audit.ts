import { readFile } from 'node:fs/promises';
import type { PolicyRule } from '../kernel/rbac.ts';

/** One answered request, as the API server's audit log has it; only what is read here. */
type AuditEvent = {
  readonly verb: string;
  readonly requestURI: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  readonly annotations?: Readonly<Record<string, string>>;
};

/** What the operator asked of the API server: a right as `verb group/resource`, and how often it was used. */
export type RightsUsed = {
  readonly used: ReadonlyMap<string, number>;
  /** Requests refused for want of a right and never granted, as `verb path`. */
  readonly refused: readonly string[];
};

/** Replays an audit log. None yet: the operator has not asked anything. */
export async function replayAudit(path: string): Promise<RightsUsed> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const events = text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as AuditEvent]));
  const used = new Map<string, number>();
  for (const right of events.filter((event) => !isRefused(event)).flatMap(rightsOf)) {
    used.set(right, (used.get(right) ?? 0) + 1);
  }
  // An API server that has just started knows no roles for a moment: what it grants later was no missing right.
  const granted = new Set(events.filter((event) => !isRefused(event)).map(request));
  return {
    used,
    refused: events
      .filter(isRefused)
      .map(request)
      .filter((each) => !granted.has(each)),
  };
}

/** Every right these rules give, as `verb group/resource`. `bind` is left out: it is looked at, never requested. */
export function rightsIn(rules: readonly PolicyRule[]): readonly string[] {
  const rights = rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => right(verb, group, resource)))),
  );
  return [...new Set(rights.filter((each) => !each.startsWith('bind ')))].sort();
}

function rightsOf({ verb, objectRef, responseStatus }: AuditEvent): readonly string[] {
  if (objectRef?.resource === undefined) return [];
  const { apiGroup = '', resource, subresource } = objectRef;
  const what = subresource === undefined ? resource : `${resource}/${subresource}`;
  // Whoever applies an object that is not there yet is asked for both rights.
  const verbs = verb === 'patch' && responseStatus?.code === 201 ? [verb, 'create'] : [verb];
  return verbs.map((each) => right(each, apiGroup, what));
}

/** The same for every page and version that is asked for. */
function request({ verb, requestURI }: AuditEvent): string {
  return `${verb} ${requestURI.split('?', 1)[0]}`;
}

function right(verb: string, group: string, resource: string): string {
  return `${verb} ${group === '' ? 'core' : group}/${resource}`;
}

/** By the authorizer: quota and admission answer 403 as well, and those the operator has to put up with. */
function isRefused({ annotations }: AuditEvent): boolean {
  return annotations?.['authorization.k8s.io/decision'] === 'forbid';
}

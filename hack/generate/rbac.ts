import type { PolicyRule } from '../../operator/kernel/rbac.ts';
import { GenerateError } from './json.ts';

/** What the operator must never be granted, and why. `resources` left out: any. */
type Forbidden = { readonly resources?: readonly string[]; readonly verbs?: readonly string[]; readonly why: string };

const forbidden: readonly Forbidden[] = [
  { verbs: ['escalate'], why: 'grants whatever one likes' },
  { verbs: ['impersonate'], why: 'acts as anybody' },
  { resources: ['nodes/proxy'], why: 'reaches every kubelet' },
  { resources: ['serviceaccounts/token'], verbs: ['create'], why: 'acts as any ServiceAccount' },
  { resources: ['secrets'], verbs: ['list', 'watch'], why: 'reads every secret' },
  {
    resources: [
      'mutatingwebhookconfigurations',
      'validatingwebhookconfigurations',
      'mutatingadmissionpolicies',
      'mutatingadmissionpolicybindings',
      'validatingadmissionpolicies',
      'validatingadmissionpolicybindings',
    ],
    why: 'changes what is checked',
  },
];

/** Rules merged and sorted, so that the order in which controllers declare them does not matter. Throws GenerateError. */
export function mergedRules(rules: readonly PolicyRule[]): readonly PolicyRule[] {
  for (const rule of rules) refuseTooMuch(rule);
  const merged = new Map<string, PolicyRule>();
  for (const rule of rules) {
    const key = ruleKey(rule);
    const verbs = [...new Set([...(merged.get(key)?.verbs ?? []), ...rule.verbs])].sort();
    merged.set(key, { ...sorted(rule), verbs });
  }
  return [...merged.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, rule]) => rule);
}

function sorted({ apiGroups, resources, resourceNames, verbs }: PolicyRule): PolicyRule {
  return {
    apiGroups: apiGroups.toSorted(),
    resources: resources.toSorted(),
    ...(resourceNames && { resourceNames: resourceNames.toSorted() }),
    verbs,
  };
}

function ruleKey(rule: PolicyRule): string {
  const { apiGroups, resources, resourceNames = [] } = sorted(rule);
  return [apiGroups, resources, resourceNames].map((part) => part.join(',')).join(' ');
}

function refuseTooMuch(rule: PolicyRule): void {
  const where = ruleKey(rule);
  const words = [...rule.apiGroups, ...rule.resources, ...(rule.resourceNames ?? []), ...rule.verbs];
  if (words.some((word) => word.includes('*'))) {
    throw new GenerateError('Wildcard', where, 'a wildcard grants what nobody has thought of; write out the names');
  }
  if ([rule.apiGroups, rule.resources, rule.verbs].some((part) => part.length === 0)) {
    throw new GenerateError('EmptyRule', where, 'a rule names at least one group, resource and verb');
  }
  const match = forbidden.find((entry) => forbids(entry, rule));
  if (match !== undefined) throw new GenerateError('TooPowerful', where, `[${rule.verbs.join(' ')}] ${match.why}`);
  if (rule.verbs.includes('bind') && (rule.resourceNames ?? []).length === 0) {
    throw new GenerateError('TooPowerful', where, 'bind needs resourceNames: without them it grants any role');
  }
}

function forbids({ resources, verbs }: Forbidden, rule: PolicyRule): boolean {
  const meets = (some: readonly string[] | undefined, all: readonly string[]) =>
    some === undefined || some.some((word) => all.includes(word));
  return meets(resources, rule.resources) && meets(verbs, rule.verbs);
}

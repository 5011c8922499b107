import type { AgentSpec } from './agent.ts';
import type { TenantSpec } from './tenant.ts';

/**
 * Fields that are in the contract and not yet acted on. A line goes when its behaviour comes; when a
 * list is empty, its function goes too.
 */
type NotYet<Spec> = Readonly<Record<string, (spec: Spec) => boolean>>;

const agentFields: NotYet<AgentSpec> = {
  volumeClaimTemplates: (spec) => spec.volumeClaimTemplates !== undefined,
  persistentVolumeClaimRetentionPolicy: (spec) => spec.persistentVolumeClaimRetentionPolicy !== undefined,
  networkPolicy: (spec) => spec.networkPolicy !== undefined,
};

const tenantFields: NotYet<TenantSpec> = {
  owners: (spec) => spec.owners !== undefined,
  quota: (spec) => spec.quota !== undefined,
  limitRange: (spec) => spec.limitRange !== undefined,
  priorityClasses: (spec) => spec.priorityClasses !== undefined,
  allowedRegistries: (spec) => spec.allowedRegistries !== undefined,
  nodeSelector: (spec) => spec.nodeSelector !== undefined,
  tolerations: (spec) => spec.tolerations !== undefined,
  network: (spec) => spec.network !== undefined,
  podSecurity: (spec) => spec.podSecurity !== undefined,
  suspend: (spec) => spec.suspend !== undefined && spec.suspend !== 'None',
  deletionPolicy: (spec) => spec.deletionPolicy === 'Delete',
};

/** Paths inside `spec`, dotted, that the user has set and this version does not act on: Ready=False, FieldNotSupported. */
export function unsupportedAgentFields(spec: AgentSpec): readonly string[] {
  return unsupported(agentFields, spec);
}

/** As {@link unsupportedAgentFields}, for a Tenant. */
export function unsupportedTenantFields(spec: TenantSpec): readonly string[] {
  return unsupported(tenantFields, spec);
}

function unsupported<Spec>(fields: NotYet<Spec>, spec: Spec): readonly string[] {
  return Object.entries(fields)
    .filter(([, asksForIt]) => asksForIt(spec))
    .map(([path]) => path);
}

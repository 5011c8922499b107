import { group, version } from '../api/v1alpha1/names.ts';
import type { ResourceType } from '../kernel/object.ts';

/** OpenOS' own kinds as the REST API serves them. */
export const agentResource: ResourceType = { group, version, kind: 'Agent', plural: 'agents', namespaced: true };
export const agentPoolResource: ResourceType = {
  group,
  version,
  kind: 'AgentPool',
  plural: 'agentpools',
  namespaced: true,
};
export const tenantResource: ResourceType = { group, version, kind: 'Tenant', plural: 'tenants', namespaced: false };

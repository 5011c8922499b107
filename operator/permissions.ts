import type { PolicyRule } from './kernel/rbac.ts';
import { agentPermissions } from './resources/agent/controller.ts';
import { agentPoolPermissions } from './resources/agentpool/controller.ts';
import { tenantPermissions } from './resources/tenant/controller.ts';

/**
 * What the operator may do in the whole cluster: the sum of what its controllers declare. The generator makes
 * config/rbac/role.yaml and the chart's ClusterRole of it, and refuses wildcards, escalate and impersonate.
 */
export const permissions: readonly PolicyRule[] = [...agentPermissions, ...agentPoolPermissions, ...tenantPermissions];

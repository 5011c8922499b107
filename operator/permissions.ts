/** A rule of a ClusterRole, as Kubernetes writes it. */
export type PolicyRule = {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
};

/**
 * What the operator may do in the cluster: the sum of what its controllers declare. The generator makes
 * config/rbac/role.yaml and the chart's ClusterRole of it, and refuses wildcards, escalate and impersonate.
 */
export const permissions: readonly PolicyRule[] = [];

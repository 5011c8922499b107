/** Every name OpenOS writes into a cluster, in one place. What starts with `openos.dev/` is ours alone. */

export const group = 'openos.dev';
export const version = 'v1alpha1';
export const apiVersion = `${group}/${version}` as const;

/** Labels, annotations and finalizers start with this; nobody but the operator sets them on pods. */
export const reservedPrefix = `${group}/` as const;

/** `kubectl get openos` lists every kind of ours. */
export const category = 'openos';

export const labels = {
  /** On a pod: the name of its Agent. For people and selectors; ownership is decided by UID only. */
  agent: 'openos.dev/agent',
  /** On a pod: the UID of its Agent. */
  agentUid: 'openos.dev/agent-uid',
  /** On an Agent and its pod: the name of the AgentPool it belongs to. */
  pool: 'openos.dev/pool',
  /** On an Agent of a pool: the revision of the template it was made from. */
  revision: 'openos.dev/revision',
  /** On a pod whose Agent has a NetworkPolicy of its own: what the Tenant allows to all does not apply to it. */
  network: 'openos.dev/network',
  /** On a namespace, a pod or a child: the Tenant. On a namespace it mirrors a decision, it never makes one. */
  tenant: 'openos.dev/tenant',
} as const;

export const annotations = {
  /** On a namespace, set by someone with rights on it: the Tenant that may adopt it. */
  allowTenant: 'openos.dev/allow-tenant',
  /** On a namespace that OpenOS made: the UID of the Tenant it was made for. */
  createdFor: 'openos.dev/created-for',
  /** On a namespace: comma-separated runtime classes its Tenant allows; read by the admission policy. */
  allowedRuntimeClasses: 'openos.dev/allowed-runtime-classes',
  /** On a namespace: comma-separated registries its Tenant allows; read by the admission policy. */
  allowedRegistries: 'openos.dev/allowed-registries',
  /** On a namespace: comma-separated priority classes its Tenant allows; read by the admission policy. */
  allowedPriorityClasses: 'openos.dev/allowed-priority-classes',
  /** On a claim that outlives its Agent: the name of the Agent it is kept for. */
  retainedFor: 'openos.dev/retained-for',
  /** On a pod: the W3C trace context of the reconcile that made it. */
  traceparent: 'openos.dev/traceparent',
  /** On a pod: which spec of its Agent it was made from. */
  specHash: 'openos.dev/spec-hash',
} as const;

export const finalizers = {
  /** On a Tenant: kept until no Agents are left and its namespaces are cleaned up. Agents and pools carry none. */
  tenantProtection: 'openos.dev/tenant-protection',
} as const;

/** Field managers: of the children we converge, by server-side apply, and of our own status. */
export const fieldManagers = { children: 'openos', status: 'openos-status' } as const;

/** The container that the short form of an Agent describes. */
export const agentContainerName = 'agent';

/**
 * Longest names in characters. A pod is named after its Agent plus `-` and ten characters, an Agent of a
 * pool after the pool likewise, and both names end up in label values and host names, which hold 63.
 */
export const maxNameLength = { Agent: 52, AgentPool: 41, Tenant: 63 } as const;

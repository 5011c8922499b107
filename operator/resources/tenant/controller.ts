import type { Tenant, TenantStatus } from '../../api/v1alpha1/tenant.ts';
import type { Action } from '../../kernel/action.ts';
import { ApiError, hasCode, type OperatorError } from '../../kernel/errors.ts';
import type { KubernetesObject, ObjectRef, ResourceType, StoredObject } from '../../kernel/object.ts';
import type { PolicyRule } from '../../kernel/rbac.ts';
import type { Explanation, PassPorts } from '../../kernel/reconcile.ts';
import { namespaceResource, roleBindingResource } from '../builtin.ts';
import type { AppliedChildren } from '../children.ts';
import { tenantResource } from '../own.ts';
import { explainUntold } from '../untold.ts';
import { decide, decideRefused, type TenantObserved } from './decide.ts';
import type { TenantRecord } from './events.ts';
import { observeTenant, type TenantSources } from './observe.ts';
import { tenantRoles } from './rbac.ts';

const converged = ['get', 'list', 'watch', 'create', 'patch', 'delete'] as const;

/** What this controller may do on the API server; the chart's role is generated from it. */
export const tenantPermissions: readonly PolicyRule[] = [
  { apiGroups: ['openos.dev'], resources: ['tenants'], verbs: ['get', 'list', 'watch', 'patch'] },
  { apiGroups: ['openos.dev'], resources: ['tenants/status'], verbs: ['update'] },
  { apiGroups: [''], resources: ['namespaces'], verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'] },
  { apiGroups: [''], resources: ['resourcequotas', 'limitranges'], verbs: converged },
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: converged },
  { apiGroups: ['rbac.authorization.k8s.io'], resources: ['rolebindings'], verbs: converged },
  {
    apiGroups: ['rbac.authorization.k8s.io'],
    resources: ['clusterroles'],
    resourceNames: Object.values(tenantRoles),
    verbs: ['bind'],
  },
];

/** What the tenant controller does its work through; wired in the composition root. */
export type TenantPorts = TenantSources & {
  readonly record: (observed: TenantObserved, records: readonly TenantRecord[]) => Promise<void>;
  readonly execute: (action: Action) => Promise<void>;
  /** Server-side apply; answers what the server made of it. */
  readonly apply: (resource: ResourceType, object: KubernetesObject) => Promise<StoredObject>;
  readonly get: (ref: ObjectRef) => Promise<StoredObject | undefined>;
  readonly applied: AppliedChildren;
  readonly writeStatus: (target: {
    readonly resource: typeof tenantResource;
    readonly object: Tenant;
    readonly status: TenantStatus;
  }) => Promise<void>;
};

/** The ports of one tenant pass. Keys are names: a Tenant is cluster-scoped and its namespaces carry its name. */
export function tenantPass(ports: TenantPorts): PassPorts<TenantObserved, TenantRecord, TenantStatus> {
  return {
    observe: (name) => observeTenant(name, ports),
    decide,
    record: ports.record,
    execute: (action) => executeFor(action, ports),
    writeStatus: async ({ tenant }, status) => {
      if (tenant !== undefined) await ports.writeStatus({ resource: tenantResource, object: tenant, status });
    },
    explain: (observed, _decision, error, now, failed) => explain(observed, error, now, failed),
    explainUnrecorded: ({ tenant }, error, now) => explainUntold(tenant, error, now),
  };
}

async function executeFor(action: Action, ports: TenantPorts): Promise<void> {
  if (action.kind === 'delete') ports.applied.forget(action.ref);
  if (action.kind !== 'apply' || action.resource === namespaceResource) return ports.execute(action);
  const { resource, object } = action;
  try {
    ports.applied.remember(resource, object, await ports.apply(resource, object));
  } catch (error) {
    if (resource !== roleBindingResource || !hasCode(error, 'Invalid')) throw error;
    await replaceBinding(object, ports);
  }
}

/** The role of a binding cannot be changed: one that stands under our name and grants another role has to go first. */
async function replaceBinding(object: KubernetesObject, ports: TenantPorts): Promise<void> {
  const { name, namespace = '' } = object.metadata;
  const ref = { resource: roleBindingResource, namespace, name };
  const standing = await ports.get(ref);
  if (standing !== undefined) await ports.execute({ kind: 'delete', ref, uid: standing.metadata.uid });
  ports.applied.remember(roleBindingResource, object, await ports.apply(roleBindingResource, object));
}

/** What the API server cannot accept as the spec has it is shown in the server's own words; only its author can help. */
function explain(
  observed: TenantObserved,
  error: OperatorError,
  now: number,
  failed: Action,
): Explanation<TenantStatus> | undefined {
  if (failed.kind !== 'apply' || failed.resource === namespaceResource) return undefined;
  if (!(error instanceof ApiError) || error.code !== 'Invalid') return undefined;
  const { kind, metadata } = failed.object;
  const what = `The API server refuses the ${kind} this spec asks for in ${metadata.namespace}: ${error.serverMessage}`;
  return decideRefused(observed, what, now);
}

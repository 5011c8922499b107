import type { Tenant, TenantStatus } from '../../api/v1alpha1/tenant.ts';
import type { Action } from '../../kernel/action.ts';
import type { PolicyRule } from '../../kernel/rbac.ts';
import type { PassPorts } from '../../kernel/reconcile.ts';
import { tenantResource } from '../own.ts';
import { decide, type TenantObserved } from './decide.ts';
import { observeTenant, type TenantSources } from './observe.ts';

/** What this controller may do on the API server; the chart's role is generated from it. */
export const tenantPermissions: readonly PolicyRule[] = [
  { apiGroups: ['openos.dev'], resources: ['tenants'], verbs: ['get', 'list', 'watch', 'patch'] },
  { apiGroups: ['openos.dev'], resources: ['tenants/status'], verbs: ['patch'] },
  { apiGroups: [''], resources: ['namespaces'], verbs: ['get', 'list', 'watch', 'create', 'patch'] },
];

/** What the tenant controller does its work through; wired in the composition root. */
export type TenantPorts = TenantSources & {
  readonly execute: (action: Action) => Promise<void>;
  readonly writeStatus: (target: {
    readonly resource: typeof tenantResource;
    readonly object: Tenant;
    readonly status: TenantStatus;
  }) => Promise<void>;
};

/** The ports of one tenant pass. Keys are names: a Tenant is cluster-scoped and its namespaces carry its name. */
export function tenantPass(ports: TenantPorts): PassPorts<TenantObserved, never, TenantStatus> {
  return {
    observe: (name) => observeTenant(name, ports),
    decide,
    record: async () => {},
    execute: ports.execute,
    writeStatus: async ({ tenant }, status) => {
      if (tenant !== undefined) await ports.writeStatus({ resource: tenantResource, object: tenant, status });
    },
  };
}

import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import { roleBindingResource } from '../builtin.ts';
import type { ChildBody } from './children.ts';

type Owner = NonNullable<Tenant['spec']['owners']>[number];

const apiGroup = 'rbac.authorization.k8s.io';

/** The ClusterRoles that the chart ships, by role; the bindings in each namespace have the same names. */
export const tenantRoles = {
  Owner: 'openos-tenant-owner',
  Admin: 'openos-tenant-admin',
  Member: 'openos-tenant-member',
  Viewer: 'openos-tenant-viewer',
} as const satisfies Readonly<Record<Owner['role'], string>>;

/** One RoleBinding for each role that somebody has. */
export function roleBindings({ spec: { owners = [] } }: Tenant): readonly ChildBody[] {
  return Object.entries(tenantRoles).flatMap(([role, name]) => {
    const subjects = owners.filter((owner) => owner.role === role).map(subjectOf);
    if (subjects.length === 0) return [];
    const roleRef = { apiGroup, kind: 'ClusterRole', name };
    return [{ resource: roleBindingResource, name, body: { roleRef, subjects } }];
  });
}

function subjectOf({ kind, name }: Owner): object {
  if (kind !== 'ServiceAccount') return { apiGroup, kind, name };
  // system:serviceaccount:<namespace>:<name>; the contract refuses any other form.
  const [, , namespace, account] = name.split(':');
  return { kind, namespace, name: account };
}

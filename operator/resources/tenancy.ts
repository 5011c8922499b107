import type { Tenant } from '../api/v1alpha1/tenant.ts';
import type { StoredObject } from '../kernel/object.ts';

/** Who a namespace belongs to: by the verified status of a Tenant, checked against the UID the namespace has now. */
export type Tenancy =
  | { readonly kind: 'member'; readonly tenant: string; readonly defaultRuntimeClass?: string }
  /** No Tenant has it, or the one that had it is being deleted. */
  | { readonly kind: 'none' };

export type TenancyPorts = {
  /** Tenants whose status lists the namespace; normally none or one. */
  readonly tenantsOfNamespace: (namespace: string) => readonly Tenant[];
  readonly namespace: (name: string) => StoredObject | undefined;
};

/** The tenancy of a namespace. A namesake made after the verified one was deleted has another UID and belongs to nobody. */
export function tenancyOf(namespace: string, { tenantsOfNamespace, namespace: find }: TenancyPorts): Tenancy {
  const object = find(namespace);
  if (object === undefined) return { kind: 'none' };
  const tenant = tenantsOfNamespace(namespace).find((candidate) => holds(candidate, object));
  if (tenant === undefined) return { kind: 'none' };
  const defaultRuntimeClass = tenant.spec.runtimeClasses?.default;
  return {
    kind: 'member',
    tenant: tenant.metadata.name,
    ...(defaultRuntimeClass === undefined ? {} : { defaultRuntimeClass }),
  };
}

function holds(tenant: Tenant, namespace: StoredObject): boolean {
  if (tenant.metadata.deletionTimestamp !== undefined) return false;
  const { name, uid } = namespace.metadata;
  return tenant.status?.namespaces?.some((entry) => entry.name === name && entry.uid === uid && entry.ready) ?? false;
}

/** The RuntimeClasses pods of a tenant may use: those it lists, else its default, else the operator's. */
export function allowedRuntimeClasses({ runtimeClasses }: Tenant['spec'], operatorDefault: string): readonly string[] {
  return runtimeClasses?.allowed ?? [runtimeClasses?.default ?? operatorDefault];
}

/** Index function: the namespaces a Tenant's verified status lists. */
export function verifiedNamespaces(tenant: Tenant): readonly string[] {
  return tenant.status?.namespaces?.map((entry) => entry.name) ?? [];
}

import type { Tenant } from '../api/v1alpha1/tenant.ts';
import type { StoredObject } from '../kernel/object.ts';

/** Who a namespace belongs to: by the verified status of a Tenant, checked against the UID the namespace has now. */
export type Tenancy =
  | {
      readonly kind: 'member';
      readonly tenant: string;
      readonly defaultRuntimeClass?: string;
      /** What the Tenant says about pods in its namespaces. */
      readonly rules?: TenantRules;
    }
  /** No Tenant has it, or the one that had it is being deleted. */
  | { readonly kind: 'none' };

/** That of a namespace which belongs to a Tenant. */
export type Membership = Extract<Tenancy, { readonly kind: 'member' }>;

export type TenantRules = Pick<
  Tenant['spec'],
  | 'quota'
  | 'limitRange'
  | 'runtimeClasses'
  | 'priorityClasses'
  | 'allowedRegistries'
  | 'network'
  | 'nodeSelector'
  | 'tolerations'
  | 'suspend'
  | 'suspendReason'
>;

/** Whether the Tenant wants no pods at all: those there stop. */
export function isDrained(tenancy: Tenancy): boolean {
  return tenancy.kind === 'member' && tenancy.rules?.suspend === 'HoldAndDrain';
}

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
    rules: tenant.spec,
  };
}

function holds(tenant: Tenant, namespace: StoredObject): boolean {
  if (tenant.metadata.deletionTimestamp !== undefined) return false;
  const { name, uid } = namespace.metadata;
  return tenant.status?.namespaces?.some((entry) => entry.name === name && entry.uid === uid && entry.ready) ?? false;
}

/** The RuntimeClasses pods of a tenant may use: those it lists, else its default, else the operator's. */
export function allowedRuntimeClasses(
  { runtimeClasses }: Pick<TenantRules, 'runtimeClasses'>,
  operatorDefault: string,
): readonly string[] {
  return runtimeClasses?.allowed ?? [runtimeClasses?.default ?? operatorDefault];
}

/**
 * Whether an image comes from one of these registries, each a host with or without a path; the admission policy of
 * the chart judges in the same way. A colon after a host alone would be a port: another registry.
 */
export function isFromRegistry(image: string, registries: readonly string[]): boolean {
  return registries.some(
    (registry) =>
      image.startsWith(`${registry}/`) ||
      (registry.includes('/') &&
        (image === registry || image.startsWith(`${registry}:`) || image.startsWith(`${registry}@`))),
  );
}

/**
 * Whether pods of a tenant may name this priority class. Those of the cluster itself (only Kubernetes can make one that
 * is called system-…) push out everything else, the pods of other tenants too: a Tenant has to list them by name.
 */
export function isPriorityAllowed(name: string, allowed: readonly string[] | undefined): boolean {
  return allowed === undefined ? !name.startsWith('system-') : allowed.includes(name);
}

/** Index function: the namespaces a Tenant's verified status lists. */
export function verifiedNamespaces(tenant: Tenant | undefined): readonly string[] {
  return tenant?.status?.namespaces?.map((entry) => entry.name) ?? [];
}

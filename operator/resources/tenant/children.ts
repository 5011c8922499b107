import { labels } from '../../api/v1alpha1/names.ts';
import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import type { Action } from '../../kernel/action.ts';
import { apiVersionOf, type ResourceType } from '../../kernel/object.ts';
import { limitRangeResource, networkPolicyResource, resourceQuotaResource, roleBindingResource } from '../builtin.ts';
import { isInOrder, type ObservedChild } from '../children.ts';
import { networkPolicies, networkPolicyNames } from './networkpolicy.ts';
import { limitRanges, limitsName, quotaName, resourceQuotas } from './quota.ts';
import { roleBindings, tenantRoles } from './rbac.ts';

/** What one child says besides its metadata. `body` is `{spec}`, or `{roleRef, subjects}` of a binding. */
export type ChildBody = { readonly resource: ResourceType; readonly name: string; readonly body: object };

/** Every object a Tenant may have in a namespace. What stands under another name is never ours to delete. */
const managed: readonly (readonly [ResourceType, readonly string[]])[] = [
  [networkPolicyResource, Object.values(networkPolicyNames)],
  [limitRangeResource, [limitsName]],
  [resourceQuotaResource, [quotaName]],
  [roleBindingResource, Object.values(tenantRoles)],
];

/** What the Tenant asks for in one of its namespaces, what isolates first. */
export function wantedChildren(tenant: Tenant, namespace: string): readonly Extract<Action, { kind: 'apply' }>[] {
  const bodies = [
    ...networkPolicies(tenant),
    ...limitRanges(tenant),
    ...resourceQuotas(tenant),
    ...roleBindings(tenant),
  ];
  return bodies.map(({ resource, name, body }) => {
    const metadata = {
      name,
      namespace,
      labels: { [labels.tenant]: tenant.metadata.name, 'app.kubernetes.io/managed-by': 'openos' },
    };
    const object = { apiVersion: apiVersionOf(resource), kind: resource.kind, metadata, ...body };
    return { kind: 'apply', resource, object };
  });
}

/** What has to be done so that the children in a namespace are those the Tenant asks for; nothing when they are. */
export function convergeChildren(
  tenant: Tenant,
  namespace: string,
  children: readonly ObservedChild[],
): readonly Action[] {
  const wanted = wantedChildren(tenant, namespace);
  const missing = wanted.filter(({ resource, object }) => {
    const child = children.find((each) => isChild(each, resource, object.metadata.name));
    return child === undefined || !isInOrder(object, child);
  });
  const surplus = children.filter(
    (child) =>
      isManaged(child) && !wanted.some(({ resource, object }) => isChild(child, resource, object.metadata.name)),
  );
  return [...missing, ...surplus.map(deleteChild)];
}

/** Takes the access away that the Tenant gave; what isolates and bounds the namespace stays (ADR 7). */
export function revokeAccess(children: readonly ObservedChild[]): readonly Action[] {
  return children.filter((child) => child.resource === roleBindingResource && isManaged(child)).map(deleteChild);
}

function isChild(child: ObservedChild, resource: ResourceType, name: string): boolean {
  return child.resource === resource && child.object.metadata.name === name;
}

function isManaged({ resource, object }: ObservedChild): boolean {
  return managed.some(([kind, names]) => kind === resource && names.includes(object.metadata.name));
}

function deleteChild({ resource, object }: ObservedChild): Action {
  const { name, namespace, uid } = object.metadata;
  return { kind: 'delete', ref: { resource, name, ...(namespace === undefined ? {} : { namespace }) }, uid };
}

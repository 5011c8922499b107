import { annotations, labels } from '../../api/v1alpha1/names.ts';
import type { TenantReason } from '../../api/v1alpha1/reasons.ts';
import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import type { Action } from '../../kernel/action.ts';
import type { KubernetesObject, StoredObject } from '../../kernel/object.ts';
import { namespaceResource } from '../builtin.ts';

/** A namespace as the API server has it; only its metadata matters here. */
export type NamespaceObject = StoredObject;

export type ObservedNamespace = {
  readonly name: string;
  readonly object: NamespaceObject | undefined;
  /** Another Tenant whose verified status already holds it. */
  readonly takenBy: string | undefined;
};

/** What is to be done about one namespace the Tenant names. */
export type Verdict =
  | { readonly kind: 'missing' }
  | { readonly kind: 'ours'; readonly object: NamespaceObject; readonly labelled: boolean }
  | { readonly kind: 'refused'; readonly reason: TenantReason; readonly message: string };

/**
 * A namespace is the Tenant's when we made it for this Tenant's UID, or when someone with rights on it
 * wrote the allow annotation. A label decides nothing: whoever may label a namespace could take it over.
 */
export function judge(tenant: Tenant, { name, object, takenBy }: ObservedNamespace): Verdict {
  if (takenBy !== undefined) {
    const message = `The namespace ${name} belongs to the Tenant ${takenBy}; remove it from one of the two.`;
    return { kind: 'refused', reason: 'NamespaceTaken', message };
  }
  if (object === undefined) return { kind: 'missing' };
  if (object.metadata.deletionTimestamp !== undefined) {
    const message = `The namespace ${name} is being deleted; it is made again when it is gone.`;
    return { kind: 'refused', reason: 'NamespaceTerminating', message };
  }
  const notes = object.metadata.annotations ?? {};
  const made = notes[annotations.createdFor] === tenant.metadata.uid;
  if (!made && notes[annotations.allowTenant] !== tenant.metadata.name) {
    const message = `The namespace ${name} exists and does not allow this Tenant. Someone with rights on it can: kubectl annotate namespace ${name} ${annotations.allowTenant}=${tenant.metadata.name}`;
    return { kind: 'refused', reason: 'NamespaceNotAllowed', message };
  }
  return { kind: 'ours', object, labelled: isLabelled(tenant, object) };
}

/** The labels we own on a tenant's namespace: whose it is, and Pod Security at its strictest level. */
function namespaceLabels(tenant: Tenant): Readonly<Record<string, string>> {
  return { [labels.tenant]: tenant.metadata.name, 'pod-security.kubernetes.io/enforce': 'restricted' };
}

function isLabelled(tenant: Tenant, object: NamespaceObject): boolean {
  return Object.entries(namespaceLabels(tenant)).every(([key, value]) => object.metadata.labels?.[key] === value);
}

/** POSTed, not applied: a namespace that appears in the meantime is somebody else's and must not be taken over. */
export function createNamespace(tenant: Tenant, name: string): Action {
  const object: KubernetesObject = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, annotations: { [annotations.createdFor]: tenant.metadata.uid } },
  };
  return { kind: 'create', resource: namespaceResource, object };
}

export function labelNamespace(tenant: Tenant, object: NamespaceObject): Action {
  return applyLabels(object, namespaceLabels(tenant));
}

/** Applying none of the fields we own takes them off again. */
export function releaseNamespace(object: NamespaceObject): Action {
  return applyLabels(object, {});
}

// With the UID the server refuses (409, 422) what would else create a namespace that has just gone, or touch its namesake.
function applyLabels({ metadata }: NamespaceObject, owned: Readonly<Record<string, string>>): Action {
  const { name, uid } = metadata;
  const object: KubernetesObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, uid, labels: owned } };
  return { kind: 'apply', resource: namespaceResource, object };
}

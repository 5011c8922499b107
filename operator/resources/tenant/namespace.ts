import { annotations, labels } from '../../api/v1alpha1/names.ts';
import type { TenantReason } from '../../api/v1alpha1/reasons.ts';
import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import type { Action } from '../../kernel/action.ts';
import type { KubernetesObject, StoredObject } from '../../kernel/object.ts';
import { namespaceResource } from '../builtin.ts';
import type { ObservedChild } from '../children.ts';
import { allowedRuntimeClasses } from '../tenancy.ts';

/** A namespace as the API server has it; only its metadata matters here. */
export type NamespaceObject = StoredObject;

export type ObservedNamespace = {
  readonly name: string;
  readonly object: NamespaceObject | undefined;
  /** Another Tenant whose verified status already holds it. */
  readonly takenBy: string | undefined;
  /** What stands in it with our label on: policies, bounds, bindings. */
  readonly children: readonly ObservedChild[];
};

/** A namespace that is there, with what stands in it. */
export type HeldNamespace = { readonly object: NamespaceObject; readonly children: readonly ObservedChild[] };

/** What is to be done about one namespace the Tenant names. */
export type Verdict =
  | { readonly kind: 'missing' }
  | { readonly kind: 'ours'; readonly object: NamespaceObject; readonly labelled: boolean }
  | { readonly kind: 'refused'; readonly reason: TenantReason; readonly message: string };

/**
 * A namespace is the Tenant's when we made it for this Tenant's UID, or when someone with rights on it
 * wrote the allow annotation. A label decides nothing: whoever may label a namespace could take it over.
 */
export function judge(
  tenant: Tenant,
  { name, object, takenBy }: Pick<ObservedNamespace, 'name' | 'object' | 'takenBy'>,
  defaultRuntimeClass: string,
): Verdict {
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
  if (!isMadeFor(tenant, object) && notes[annotations.allowTenant] !== tenant.metadata.name) {
    const message = `The namespace ${name} exists and does not allow this Tenant. Someone with rights on it can: kubectl annotate namespace ${name} ${annotations.allowTenant}=${tenant.metadata.name}`;
    return { kind: 'refused', reason: 'NamespaceNotAllowed', message };
  }
  return { kind: 'ours', object, labelled: isLabelled(object, namespaceMarks(tenant, defaultRuntimeClass)) };
}

type Marks = {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};

const podSecurity = { 'pod-security.kubernetes.io/enforce': 'restricted' } as const;

/** Stands for "whatever there is" in the annotations below; no class and no registry is called so. */
const anything = '*';

/**
 * What we own on a tenant's namespace: whose it is, Pod Security at its strictest level, and the allow-lists, which
 * the admission policies read. Each list is always written, so that one forged by somebody else is put right.
 */
function namespaceMarks({ metadata, spec }: Tenant, defaultRuntimeClass: string): Marks {
  return {
    labels: { [labels.tenant]: metadata.name, ...podSecurity },
    annotations: {
      [annotations.allowedRuntimeClasses]: allowedRuntimeClasses(spec, defaultRuntimeClass).join(','),
      [annotations.allowedRegistries]: spec.allowedRegistries?.join(',') ?? anything,
      [annotations.allowedPriorityClasses]: spec.priorityClasses?.allowed.join(',') ?? anything,
    },
  };
}

function isLabelled({ metadata }: NamespaceObject, marks: Marks): boolean {
  const has = (wanted: Marks['labels'], there: Marks['labels'] = {}) =>
    Object.entries(wanted).every(([key, value]) => there[key] === value);
  return has(marks.labels, metadata.labels) && has(marks.annotations, metadata.annotations);
}

/** POSTed, not applied: a namespace that appears in the meantime is somebody else's and must not be taken over. */
export function createNamespace(tenant: Tenant, name: string): Action {
  const object: KubernetesObject = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, annotations: { [annotations.createdFor]: tenant.metadata.uid } },
  };
  return { kind: 'create', resource: namespaceResource, object, ownershipAnnotation: annotations.createdFor };
}

export function labelNamespace(tenant: Tenant, object: NamespaceObject, defaultRuntimeClass: string): Action {
  return applyMarks(object, namespaceMarks(tenant, defaultRuntimeClass));
}

/** Whose it was is taken off again, and the allow-lists with it; Pod Security stays: what runs there stays, too. */
export function releaseNamespace(object: NamespaceObject): Action {
  return applyMarks(object, { labels: podSecurity, annotations: {} });
}

/** Whether we made it, for this Tenant: only such a namespace may go with it. */
export function isMadeFor(tenant: Tenant, { metadata }: NamespaceObject): boolean {
  return metadata.annotations?.[annotations.createdFor] === tenant.metadata.uid;
}

export function deleteNamespace({ metadata: { name, uid } }: NamespaceObject): Action {
  return { kind: 'delete', ref: { resource: namespaceResource, name }, uid };
}

// With the UID the server refuses (409, 422) what would else create a namespace that has just gone, or touch its namesake.
function applyMarks({ metadata }: NamespaceObject, marks: Marks): Action {
  const { name, uid } = metadata;
  const object: KubernetesObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, uid, ...marks } };
  return { kind: 'apply', resource: namespaceResource, object };
}

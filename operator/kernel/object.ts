/** What the kernel knows of Kubernetes objects: raw JSON as the API server sends it, nothing modelled beyond metadata. */

export type OwnerReference = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
};

export type ObjectMeta = {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
  /** The field manager that last wrote anything but the status, or all who did in that second. Our caches keep it in place of managedFields. */
  readonly lastManager?: string;
};

export type KubernetesObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
};

/** An object that came from the API server: UID and resourceVersion are always there. */
export type StoredObject = KubernetesObject & {
  readonly metadata: ObjectMeta & { readonly uid: string; readonly resourceVersion: string };
};

/** Where a kind lives in the REST API. `group` is empty for the core group. */
export type ResourceType = {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
};

/** Identity of one object on the API server. */
export type ObjectRef = {
  readonly resource: ResourceType;
  readonly namespace?: string;
  readonly name: string;
};

/** The UID of the owner that controls the object, if it has one. Ownership is decided by UID only. */
export function controllerUid(object: KubernetesObject): string | undefined {
  return object.metadata.ownerReferences?.find((ref) => ref.controller === true)?.uid;
}

/** Where the object lives. */
export function refOf(resource: ResourceType, object: KubernetesObject): ObjectRef {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? { resource, name } : { resource, namespace, name };
}

/** `group/version`, or only the version in the core group. */
export function apiVersionOf(resource: ResourceType): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

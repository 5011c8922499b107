import type { KubernetesObject, ObjectRef, ResourceType } from './object.ts';

/** A Kubernetes Event to be shown by `kubectl describe`; `reason` is a documented constant of `api/`. */
export type EventAction = {
  readonly kind: 'event';
  readonly type: 'Normal' | 'Warning';
  readonly regarding: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
    readonly uid: string;
  };
  readonly reason: string;
  readonly action: string;
  readonly note: string;
};

/**
 * Every effect a reconcile can have on the cluster, as a plain object. A plan is an ordered list of
 * these: it can be logged, compared in a test, and run again without harm.
 */
export type Action =
  /**
   * POST. On 409 the object standing there counts as ours when its controller UID equals ours, or, for what has no
   * owner, when it carries our value of `ownershipAnnotation`; else NameConflict.
   */
  | {
      readonly kind: 'create';
      readonly resource: ResourceType;
      readonly object: KubernetesObject;
      readonly ownershipAnnotation?: string;
    }
  /** Server-side apply of the fields we own, for children we converge. Never for pods or claims. */
  | { readonly kind: 'apply'; readonly resource: ResourceType; readonly object: KubernetesObject }
  /** DELETE with a UID precondition; an object already gone, or another one under its name, is a success. */
  | {
      readonly kind: 'delete';
      readonly ref: ObjectRef;
      readonly uid: string;
      readonly gracePeriodSeconds?: number;
    }
  | {
      readonly kind: 'finalizer';
      readonly op: 'add' | 'remove';
      readonly ref: ObjectRef;
      readonly finalizer: string;
      /** The observed list and resourceVersion: patching a list without the version loses a concurrent edit. */
      readonly observed: { readonly finalizers: readonly string[]; readonly resourceVersion: string };
    }
  | EventAction;

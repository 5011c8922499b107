import type { Action } from './action.ts';
import type { ObjectRef, StoredObject } from './object.ts';

/** Whether somebody asked for the object to go; it stays until its finalizers are gone. */
export function isDeleting(object: StoredObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

export function hasFinalizer(object: StoredObject, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) ?? false;
}

/** The action that puts our finalizer on, as a plan of none or one. Nothing for an object that is going: the server refuses it. */
export function addFinalizer(ref: ObjectRef, object: StoredObject, finalizer: string): readonly Action[] {
  if (hasFinalizer(object, finalizer) || isDeleting(object)) return [];
  return [finalizerAction('add', ref, object, finalizer)];
}

/** The action that takes our finalizer off, as a plan of none or one. */
export function removeFinalizer(ref: ObjectRef, object: StoredObject, finalizer: string): readonly Action[] {
  if (!hasFinalizer(object, finalizer)) return [];
  return [finalizerAction('remove', ref, object, finalizer)];
}

/** The list as it is to be after the action. */
export function finalizersAfter(action: Extract<Action, { readonly kind: 'finalizer' }>): readonly string[] {
  const others = action.observed.finalizers.filter((each) => each !== action.finalizer);
  return action.op === 'add' ? [...others, action.finalizer] : others;
}

function finalizerAction(op: 'add' | 'remove', ref: ObjectRef, object: StoredObject, finalizer: string): Action {
  const { finalizers = [], resourceVersion } = object.metadata;
  return { kind: 'finalizer', op, ref, finalizer, observed: { finalizers, resourceVersion } };
}

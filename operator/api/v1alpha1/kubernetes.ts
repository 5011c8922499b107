import { z } from 'zod';

/** The key under which a schema names the part of Kubernetes' own API that stands in its place in the CRD. */
export const kubernetesDefinition = 'x-openos-kubernetes';

/**
 * A part of Kubernetes' own API inside ours. `definition` names a schema of Kubernetes' OpenAPI document,
 * `core.v1.PodSpec`, or one property of it, `core.v1.Container#env`; the generator puts it in the CRD, so
 * the API server checks the value and parsing here passes it through. `T` is its type in client-node.
 */
export function kubernetes<T>(definition: string): z.ZodType<Exclude<T, undefined>> {
  return z.unknown().meta({ [kubernetesDefinition]: definition }) as z.ZodType<Exclude<T, undefined>>;
}

/**
 * A CEL rule of the API server. `message` tells the user what to do; `fieldPath` is where the error points to.
 * Of Kubernetes' reasons FieldValueDuplicate is missing: with it the API server leaves out the message.
 */
export type Rule = {
  readonly rule: string;
  readonly message: string;
  readonly fieldPath?: string;
  readonly reason?: 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueRequired';
};

/** Metadata that attaches CEL rules to a schema. Rules see the value as `self`. */
export function rules(...list: readonly Rule[]): { readonly 'x-kubernetes-validations': readonly Rule[] } {
  return { 'x-kubernetes-validations': list };
}

/** Metadata of a list whose items are told apart by `keys`: two writers may own different items. */
export function listMap(...keys: readonly string[]): Record<string, unknown> {
  return { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': keys };
}

/** Metadata of a list without repetition. */
export const listSet = { 'x-kubernetes-list-type': 'set' } as const;

/** What a quantity looks like as a string. */
export const quantityPattern = /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$/;

/** An amount such as `500m`, `2`, `1Gi`. A fraction without a unit must be quoted. */
export function quantity(): z.ZodType<string | number> {
  return z.union([z.int(), z.string().max(64).regex(quantityPattern)]);
}

/** A count or a share of a whole: `2` or `25%`. */
export function countOrPercent(): z.ZodType<string | number> {
  return z.union([
    z.int().min(0),
    z
      .string()
      .max(4)
      .regex(/^(100|[1-9]?[0-9])%$/),
  ]);
}

/** A name of a Kubernetes object: lower-case letters, digits, `-` and `.`. */
export function objectName(): z.ZodString {
  return z
    .string()
    .min(1)
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
}

/** A name without dots, such as that of a namespace. */
export function labelName(): z.ZodString {
  return z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
}

const int32Max = 2_147_483_647;

/** A whole number that is never negative. */
export function count(max: number = int32Max): z.ZodInt {
  return z.int().min(0).max(max);
}

/** A span of time in whole seconds; at least one, unless zero has a meaning of its own. */
export function seconds(min: 0 | 1 = 1, max: number = int32Max): z.ZodInt {
  return z.int().min(min).max(max);
}

/** A moment, RFC 3339. */
export function timestamp(): z.ZodISODateTime {
  return z.iso.datetime({ offset: true });
}

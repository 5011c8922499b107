import { z } from 'zod';
import { listMap, rules, timestamp } from './kubernetes.ts';
import { apiVersion, reservedPrefix } from './names.ts';

/**
 * What zod infers, as the rest of the program reads it: readonly throughout, and an optional field is
 * either there or not (JSON knows no `undefined`).
 */
export type Plain<T> = T extends readonly (infer Item)[]
  ? readonly Plain<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Plain<Exclude<T[Key], undefined>> }
    : T;

/** Metadata of an object as the API server sends it; what we do not name passes through. */
export const storedMetadataSchema = z.looseObject({
  name: z.string(),
  uid: z.string(),
  resourceVersion: z.string(),
  generation: z.int(),
  creationTimestamp: z.string(),
  deletionTimestamp: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  finalizers: z.array(z.string()).optional(),
});

type OwnerReference = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
};

type KnownMetadata = {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
};

/** Metadata of a cluster-scoped object of ours, and of a namespaced one. */
export type ClusterMetadata = KnownMetadata;
export type NamespacedMetadata = KnownMetadata & { readonly namespace: string };

export const conditionSchema = z
  .object({
    type: z.string().min(1).max(316).describe('What is judged. See the list of condition types of the kind.'),
    status: z.enum(['True', 'False', 'Unknown']).describe('The judgement. Unknown: not known yet.'),
    reason: z
      .string()
      .min(1)
      .max(1024)
      .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/)
      .describe('One documented word for programs.'),
    message: z.string().max(32768).describe('A sentence for people: what is the case and what to do about it.'),
    lastTransitionTime: timestamp().describe('When the status of this condition last changed.'),
    observedGeneration: z
      .int()
      .min(0)
      .optional()
      .describe('The generation of the spec that was judged; an older one than metadata.generation is out of date.'),
  })
  .describe('One judgement about the object.');
export type Condition = Plain<z.infer<typeof conditionSchema>>;

export const conditionsSchema = z
  .array(conditionSchema)
  .max(32)
  .meta(listMap('type'))
  .describe('The state of the object, one entry per type. Wait on these rather than on the phase.');

/** -1 in a fresh object, so that tools which compare it with metadata.generation see a change in progress. */
export const observedGenerationSchema = z
  .int()
  .meta({ default: -1 })
  .describe('The generation of the spec this status is about; -1 until the operator has looked at the object.');

const labelValue = z
  .string()
  .max(63)
  .regex(/^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/);

/** Labels and annotations that a template passes on. The reserved prefix is refused: it carries our bookkeeping. */
export function templateMetadata(to: string) {
  const notReserved = (what: string) =>
    rules({
      rule: `self.all(key, !key.startsWith('${reservedPrefix}'))`,
      message: `${what} that start with ${reservedPrefix} are set by the operator alone; choose another prefix`,
      reason: 'FieldValueForbidden',
    });
  return z
    .object({
      labels: z
        .record(z.string(), labelValue)
        .meta({ maxProperties: 64, ...notReserved('labels') })
        .optional()
        .describe(`Labels put on ${to}.`),
      annotations: z
        .record(z.string(), z.string().max(65536))
        .meta({ maxProperties: 64, ...notReserved('annotations') })
        .optional()
        .describe(`Annotations put on ${to}.`),
    })
    .describe(`What is passed on to the metadata of ${to}.`);
}

/** An object parsed, or what is wrong with it as `path: problem` lines. */
export type Parsed<T> =
  | { readonly kind: 'valid'; readonly value: T }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

type KindSchemas = { readonly kind: string; readonly spec: z.ZodType; readonly status: z.ZodType };

/**
 * A parser for objects of the given kind as they come from the API server. A status that does not fit is left
 * out rather than held against the object: it is ours to write anew, and a downgrade must not stop on it.
 */
export function objectParser<T>({ kind, spec, status }: KindSchemas): (raw: unknown) => Parsed<T> {
  const envelope = z.object({
    apiVersion: z.literal(apiVersion),
    kind: z.literal(kind),
    metadata: storedMetadataSchema,
    spec,
    status: z.unknown().optional(),
  });
  return (raw) => {
    const parsed = envelope.safeParse(raw);
    if (!parsed.success) return { kind: 'invalid', problems: parsed.error.issues.map(problemLine) };
    const { status: rawStatus, ...object } = parsed.data;
    const parsedStatus = status.safeParse(rawStatus);
    const value = parsedStatus.success ? { ...object, status: parsedStatus.data } : object;
    return { kind: 'valid', value: value as T };
  };
}

function problemLine(issue: z.core.$ZodIssue): string {
  return `${issue.path.join('.') || '(object)'}: ${issue.message}`;
}

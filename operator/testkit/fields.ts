import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { apiVersion } from '../api/v1alpha1/names.ts';
import type { Condition } from '../kernel/conditions.ts';
import { hasCode, OperatorError } from '../kernel/errors.ts';
import type { KubernetesObject, ObjectRef, ResourceType, StoredObject } from '../kernel/object.ts';
import { eventually } from './eventually.ts';
import type { World } from './world.ts';

/** What a user may write into one field. `$name` in a value stands for the name of the object it is written into. */
export type Field = {
  /** Accepted, and the object comes to rest with it. */
  readonly good: readonly unknown[];
  /** Accepted, and the object cannot do its work with it: its status has to say why. */
  readonly bad?: readonly unknown[];
  /** Accepted, but more than a test can carry out. */
  readonly accepted?: readonly unknown[];
  /** Refused by the API server. */
  readonly refused: readonly unknown[];
  /** What has to stand beside it. */
  readonly beside?: Spec;
  /** It cannot be changed later. */
  readonly immutable?: true;
  /** Taken away again, what it last said stays in effect. */
  readonly lasting?: true;
};

export type Spec = Readonly<Record<string, unknown>>;
export type Fields = Readonly<Record<string, Field>>;

/** What of an object and its children does not depend on the way to it: no names, times, counts. */
export type Outcome = { readonly shown: unknown; readonly isOver?: boolean };

/** One kind, whose fields are tried. */
export type Subject = {
  readonly resource: ResourceType;
  readonly namespace?: string;
  /** Its spec; the CRD is made from it. */
  readonly schema: z.ZodType;
  /** Parts of the spec that are tried elsewhere, as paths. */
  readonly elsewhere?: readonly string[];
  readonly fields: Fields;
  /** A spec with nothing but what is required. */
  readonly base: Spec;
  /** Called by tests alone: the world need not stand before. */
  readonly world: () => World;
  /**
   * Waits until the object shows its own generation and is at rest with it, or, when it is not `isGood`, says why it
   * cannot be. `edited` is what its spec was edited to or back from: what only new children show has to be made anew.
   */
  readonly settled: (name: string, isGood: boolean, edited?: Variant) => Promise<Outcome>;
};

export type Variant = { readonly field: string; readonly value: unknown; readonly spec: Field };

/**
 * Every field good, at its bounds, bad, refused and removed: made with it and edited to it an object ends alike, and a
 * bad one heals.
 */
export function proveFields(subject: Subject): void {
  const { base, fields, settled } = subject;
  const variantsOf = (kind: 'good' | 'bad' | 'accepted' | 'refused'): readonly Variant[] =>
    Object.entries(fields).flatMap(([field, spec]) => (spec[kind] ?? []).map((value) => ({ field, value, spec })));
  const specWith = ({ field, value, spec }: Variant): Spec => ({ ...base, ...spec.beside, [field]: value });
  const { create, replace, dryRun } = objectsOf(subject);

  test('every field of the spec is tried', () => {
    expect(untried(subject)).toEqual([]);
  });

  describe.concurrent('with what it can live with', () => {
    test.for(variantsOf('good'))('$field: $value ends alike from the beginning and by an edit', async (variant) => {
      const spec = specWith(variant);
      const { shown } = await settled(await create(spec), true);
      const edited = await create(base);
      const before = await settled(edited, true);
      if (variant.spec.immutable) {
        await expect(replace(edited, spec)).rejects.toMatchObject({ code: 'Invalid' });
        expect(await settled(edited, true)).toEqual(before);
        return;
      }
      await replace(edited, spec);
      const after = await settled(edited, true, variant);
      expect(after.shown).toEqual(shown);
      if (after.isOver) return;
      await replace(edited, base);
      expect(await settled(edited, true, variant)).toEqual(variant.spec.lasting ? after : before);
    });
  });

  describe.concurrent('with what it cannot live with', () => {
    const bad = variantsOf('bad');
    test.for(bad)('$field: $value says so, alike by both ways, and heals', async (variant) => {
      const fromTheBeginning = await create(specWith(variant));
      const { shown } = await settled(fromTheBeginning, false);
      if (variant.spec.immutable) return;
      const edited = await create(base);
      const before = await settled(edited, true);
      await replace(edited, specWith(variant));
      expect((await settled(edited, false, variant)).shown).toEqual(shown);
      for (const name of [fromTheBeginning, edited]) {
        await replace(name, base);
        expect(await settled(name, true, variant)).toEqual(before);
      }
    });
  });

  describe.concurrent('with what the API server refuses', () => {
    let standing: Promise<string> | undefined;
    test.for(variantsOf('refused'))('$field: $value changes nothing, new or by an edit', async (variant) => {
      standing ??= create(base);
      const name = await standing;
      const writes = [create(specWith(variant)), replace(name, specWith(variant))];
      const answers = await Promise.all(writes.map((write) => write.then(() => 'accepted', codeOf)));
      for (const answer of answers) expect(['Invalid', 'BadRequest']).toContain(answer);
    });
  });

  const accepted = variantsOf('accepted');
  if (accepted.length === 0) return;
  describe.concurrent('at bounds too large to be carried out', () => {
    test.for(accepted)('$field: the API server accepts it', (variant) => dryRun(specWith(variant)));
  });
}

function codeOf(error: unknown): string {
  return error instanceof OperatorError ? error.code : String(error);
}

/** Paths of the schema, to its leaves, that no good value writes to. */
function untried({ schema, fields, elsewhere = [] }: Subject): readonly string[] {
  const tried = Object.entries(fields).flatMap(([field, { good, accepted = [], bad = [] }]) =>
    [...good, ...accepted, ...bad].flatMap((value) => pathsOf(value, field)),
  );
  const json = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' }) as JsonSchema;
  const isWithin = (path: string, other: string) => path === other || path.startsWith(`${other}.`);
  return leavesOf(json).filter(
    (leaf) => !tried.some((path) => isWithin(path, leaf)) && !elsewhere.some((other) => isWithin(leaf, other)),
  );
}

type JsonSchema = { readonly properties?: Readonly<Record<string, JsonSchema>>; readonly items?: JsonSchema };

function leavesOf({ properties, items }: JsonSchema, path = ''): readonly string[] {
  if (items?.properties !== undefined) return leavesOf(items, path);
  if (properties === undefined) return [path];
  return Object.entries(properties).flatMap(([key, each]) => leavesOf(each, path === '' ? key : `${path}.${key}`));
}

function pathsOf(value: unknown, path: string): readonly string[] {
  if (Array.isArray(value)) return [path, ...value.flatMap((each) => pathsOf(each, path))];
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, each]) => pathsOf(each, `${path}.${key}`))];
}

function objectsOf({ resource, namespace, world }: Subject) {
  let made = 0;
  const where = namespace === undefined ? {} : { namespace };
  const refOf = (name: string): ObjectRef => ({ resource, name, ...where });
  const manifest = (name: string, spec: Spec) => {
    const own = JSON.parse(JSON.stringify(spec).replaceAll('$name', name)) as Spec;
    return { apiVersion, kind: resource.kind, metadata: { name, ...where }, spec: own } as KubernetesObject;
  };
  const newName = () => {
    made += 1;
    return `${resource.kind.toLowerCase()}-${made}`;
  };
  return {
    create: async (spec: Spec): Promise<string> => {
      const name = newName();
      await world().cluster.client.create(resource, manifest(name, spec));
      return name;
    },
    /** Exchanges the whole spec, as somebody with an editor does: again when the operator was faster. */
    replace: async (name: string, spec: Spec): Promise<void> => {
      const { client } = world().cluster;
      const isWritten = async () => {
        const standing = await client.get<StoredObject>(refOf(name));
        const next = { ...standing, ...manifest(name, spec), metadata: standing?.metadata } as StoredObject;
        return client.replace(resource, next).then(
          () => ({ error: undefined }),
          (error: unknown) => (hasCode(error, 'Conflict') ? undefined : { error }),
        );
      };
      const { error } = await eventually(`${resource.kind} ${name} is edited`, isWritten);
      if (error !== undefined) throw error;
    },
    dryRun: async (spec: Spec): Promise<void> => {
      const folder = await mkdtemp(join(tmpdir(), 'openos-fields-'));
      const file = join(folder, 'object.json');
      await writeFile(file, JSON.stringify(manifest(newName(), spec)));
      await world().cluster.kubectl('create', '--dry-run=server', '-f', file);
      await rm(folder, { recursive: true });
    },
  };
}

/** Reconciling names the phase, and Stalled follows a while later: both tell of the way. */
const passing = new Set(['Reconciling', 'Stalled', 'EventsAcknowledged']);

/** What conditions say in the end, sorted. */
export function verdictsOf(conditions: readonly Condition[] = []): readonly string[] {
  return conditions
    .filter(({ type }) => !passing.has(type))
    .map(({ type, status, reason }) => `${type}=${status} ${reason}`)
    .sort();
}

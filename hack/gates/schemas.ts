import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { releasableSchemas } from '../../operator/events/render.ts';
import { root } from '../lib/process.ts';
import type { Finding, Verdict } from './verdict.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** JSON Schemas by `type@version`. */
export type Schemas = ReadonlyMap<string, JsonObject>;

export const snapshotFolder = 'operator/events/schemas/released';

/** What every event carries, whatever it tells. */
const envelopeFields: readonly string[] = [
  'event_id',
  'event_type',
  'schema_version',
  'occurred_at',
  'trace_id',
  'agent_id',
  'tenant_id',
  'sequence',
  'data',
];

/** The committed snapshots of every schema that consumers have seen. */
export async function readSnapshots(folder = join(root, snapshotFolder)): Promise<Schemas> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.json')).sort();
  const snapshots = files.map(async (name) => {
    return [name.slice(0, -'.json'.length), JSON.parse(await readFile(join(folder, name), 'utf8'))] as const;
  });
  return new Map<string, JsonObject>(await Promise.all(snapshots));
}

/** The schemas as they are written today. */
export function currentSchemas(): Schemas {
  return new Map(releasableSchemas().map(({ type, version, schema }) => [`${type}@${version}`, schema]));
}

/** Whether what was released is as it was, and what is new may follow on it. */
export function checkCompatibility(released: Schemas, current: Schemas): Verdict {
  const findings = [
    ...[...released].flatMap(([name, schema]) => immutability(name, schema, current.get(name))),
    ...unreleased(released, current).flatMap((name) => succession(name, released, current)),
    ...[...current].flatMap(([name, schema]) => envelope(name, schema)),
  ];
  const checked = released.size === 0 ? [] : [`${current.size} schemas against ${released.size} released ones`];
  return { checked, findings };
}

/** Names of schemas without a snapshot. */
export function unreleased(released: Schemas, current: Schemas): readonly string[] {
  return [...current.keys()].filter((name) => !released.has(name));
}

function immutability(name: string, was: JsonObject, became: JsonObject | undefined): readonly Finding[] {
  if (became === undefined) {
    const fix = 'Put it back: the stream and consumers still hold events of this version.';
    return [{ where: name, broke: 'was released and is gone', fix }];
  }
  const changes = differences(was, became);
  if (changes.length === 0) return [];
  const version = versionFor(name, changes);
  const fix = `Put ${name} back as it was and add the change as ${typeOf(name)}@${version}${meaning(version)}.`;
  return [{ where: name, broke: listed(changes), fix }];
}

/** A new version has to be the one its changes ask for, seen from the version before it. */
function succession(name: string, released: Schemas, current: Schemas): readonly Finding[] {
  const before = predecessor(name, [...released.keys(), ...current.keys()]);
  const was = released.get(before ?? '') ?? current.get(before ?? '');
  const became = current.get(name);
  if (before === undefined || was === undefined || became === undefined) {
    const fix = 'Begin a new event with version 1.0.';
    return versionOf(name) === '1.0' ? [] : [{ where: name, broke: 'is the first version of its event', fix }];
  }
  const changes = differences(was, became);
  const needed = versionFor(before, changes);
  const isMajor = needed.endsWith('.0');
  const isEnough = [needed, ...(isMajor ? [] : [nextMajor(before)])].includes(versionOf(name));
  if (isEnough) return [];
  const fix = `Call it ${typeOf(name)}@${needed}${meaning(needed)}.`;
  return [{ where: name, broke: `differs from ${before}:\n${listed(changes)}`, fix }];
}

function envelope(name: string, schema: JsonObject): readonly Finding[] {
  const required = schema.required;
  const missing = envelopeFields.filter((field) => !Array.isArray(required) || !required.includes(field));
  const fix = 'Make the schema with envelope() of operator/events/schemas/envelope.ts.';
  return missing.map((field) => ({
    where: name,
    broke: `${field}: every event carries it, and this one need not`,
    fix,
  }));
}

/** One thing that is not as it was. Additions are what consumers that do not know them never notice. */
export type Change = { readonly path: string; readonly what: string; readonly kind: 'addition' | 'words' | 'break' };

/** What differs between two schemas, field by field; their names and versions apart. */
export function differences(was: JsonObject, became: JsonObject): readonly Change[] {
  return fieldChanges('', was, became).filter(({ path }) => path !== 'schema_version');
}

const ownWords: readonly string[] = ['$id', 'title', 'properties', 'required', 'items'];

function fieldChanges(path: string, was: JsonObject, became: JsonObject): readonly Change[] {
  return [
    ...keywordChanges(path, was, became),
    ...propertyChanges(path, was, became),
    ...itemChanges(path, was, became),
  ];
}

function keywordChanges(path: string, was: JsonObject, became: JsonObject): readonly Change[] {
  const keywords = new Set([...Object.keys(was), ...Object.keys(became)].filter((key) => !ownWords.includes(key)));
  return [...keywords].flatMap((keyword): readonly Change[] => {
    if (isDeepStrictEqual(was[keyword], became[keyword])) return [];
    const kind = keyword === 'description' ? 'words' : 'break';
    return [{ path, what: `${keyword} was ${shown(was[keyword])}, became ${shown(became[keyword])}`, kind }];
  });
}

function propertyChanges(path: string, was: JsonObject, became: JsonObject): readonly Change[] {
  const [before, after] = [childrenOf(was), childrenOf(became)];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((name): readonly Change[] => {
    const field = path === '' ? name : `${path}.${name}`;
    const [one, two] = [before[name], after[name]];
    const [wasRequired, isRequired] = [isRequiredIn(was, name), isRequiredIn(became, name)];
    if (one === undefined && two !== undefined) {
      const what = `was not there, became ${isRequired ? 'required' : 'optional'} ${typeIn(two)}`;
      return [{ path: field, what, kind: isRequired ? 'break' : 'addition' }];
    }
    if (one === undefined || two === undefined) {
      return [
        {
          path: field,
          what: `was ${wasRequired ? 'required' : 'optional'} ${typeIn(one)}, became nothing`,
          kind: 'break',
        },
      ];
    }
    const duty = (required: boolean) => (required ? 'required' : 'optional');
    const change = {
      path: field,
      what: `was ${duty(wasRequired)}, became ${duty(isRequired)}`,
      kind: 'break',
    } as const;
    return [...(wasRequired === isRequired ? [] : [change]), ...fieldChanges(field, one, two)];
  });
}

function itemChanges(path: string, was: JsonObject, became: JsonObject): readonly Change[] {
  const [one, two] = [was.items, became.items];
  if (isObject(one) && isObject(two)) return fieldChanges(`${path}[]`, one, two);
  if (isDeepStrictEqual(one, two)) return [];
  return [{ path, what: `items was ${shown(one)}, became ${shown(two)}`, kind: 'break' }];
}

function childrenOf(schema: JsonObject): Readonly<Record<string, JsonObject>> {
  return isObject(schema.properties) ? (schema.properties as Readonly<Record<string, JsonObject>>) : {};
}

function isRequiredIn({ required }: JsonObject, name: string): boolean {
  return Array.isArray(required) && required.includes(name);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function typeIn(schema: JsonObject | undefined): string {
  return typeof schema?.type === 'string' ? schema.type : shown(schema);
}

function shown(value: unknown): string {
  return value === undefined ? 'not said' : JSON.stringify(value);
}

function listed(changes: readonly Change[]): string {
  return changes.map(({ path, what }) => `${path || 'the event'}: ${what}`).join('\n');
}

function versionFor(before: string, changes: readonly Change[]): string {
  if (changes.some(({ kind }) => kind === 'break')) return nextMajor(before);
  const [major = 1, minor = 0] = numbers(before);
  return `${major}.${minor + 1}`;
}

function nextMajor(name: string): string {
  return `${(numbers(name)[0] ?? 0) + 1}.0`;
}

function meaning(version: string): string {
  const [major, minor] = version.split('.');
  return minor === '0' ? `: a break, on a subject of its own (….v${major})` : ', a minor version';
}

function predecessor(name: string, all: readonly string[]): string | undefined {
  const older = all.filter((other) => typeOf(other) === typeOf(name) && isOlder(other, name));
  return older.sort((a, b) => (isOlder(a, b) ? -1 : 1)).at(-1);
}

function isOlder(one: string, two: string): boolean {
  const [[a = 0, b = 0], [c = 0, d = 0]] = [numbers(one), numbers(two)];
  return a === c ? b < d : a < c;
}

function numbers(name: string): readonly number[] {
  return versionOf(name).split('.').map(Number);
}

function typeOf(name: string): string {
  return name.slice(0, name.lastIndexOf('@'));
}

function versionOf(name: string): string {
  return name.slice(name.lastIndexOf('@') + 1);
}

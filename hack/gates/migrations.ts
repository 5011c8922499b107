import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Db } from '../../operator/store/tables/index.ts';
import { root } from '../lib/process.ts';
import { scan } from '../verify/source.ts';
import { type Migrations, migrateTo, schemaOf, scratchDatabase } from './scratch.ts';
import { type Deviation, type IssuedStatement, issuedStatements, replay } from './statements.ts';
import type { Finding, Verdict } from './verdict.ts';

export const migrationsFolder = 'operator/store/migrations';
export const releasesFolder = `${migrationsFolder}/released`;

/** What a release left in databases out there: its migrations, and the statements its code goes on to issue. */
export type Release = {
  readonly release: string;
  /** SHA-256 of the text of each migration by its name, in order. */
  readonly migrations: Readonly<Record<string, string>>;
  readonly statements: readonly IssuedStatement[];
};

const releaseFile = z.object({
  release: z.string().regex(/^\d+\.\d+\.\d+$/),
  migrations: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
  statements: z.array(
    z.object({
      text: z.string(),
      values: z.array(z.unknown()),
      answer: z.union([z.string(), z.array(z.record(z.string(), z.unknown()))]),
    }),
  ),
});

/** The committed releases, oldest first. */
export async function readReleases(folder = join(root, releasesFolder)): Promise<readonly Release[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.json'));
  const releases = await Promise.all(
    files.map(async (name) => releaseFile.parse(JSON.parse(await readFile(join(folder, name), 'utf8')))),
  );
  return releases.sort((a, b) => (isBefore(a.release, b.release) ? -1 : 1));
}

function isBefore(one: string, two: string): boolean {
  const [a, b] = [one, two].map((version) => version.split('.').map(Number));
  const at = [0, 1, 2].find((index) => a?.[index] !== b?.[index]) ?? 0;
  return (a?.[at] ?? 0) < (b?.[at] ?? 0);
}

/** The texts of the migrations by their names. */
export async function readTexts(folder = join(root, migrationsFolder)): Promise<ReadonlyMap<string, string>> {
  const files = (await readdir(folder)).filter((name) => /^\d{4}-[^.]+\.ts$/.test(name)).sort();
  const texts = files.map(async (name) => [name.slice(0, -3), await readFile(join(folder, name), 'utf8')] as const);
  return new Map(await Promise.all(texts));
}

/** What stands for the text of a migration in a release. */
export function textHash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Whether what was released is as it was, and what is new comes after it and goes forward only. */
export function checkTexts(
  releases: readonly Release[],
  migrations: Migrations,
  texts: ReadonlyMap<string, string>,
): Verdict {
  const released = new Map(releases.flatMap((each) => Object.entries(each.migrations)));
  const newest = [...released.keys()].sort().at(-1) ?? '';
  const findings = [
    ...[...released].flatMap(([name, hash]) => releasedFindings(name, hash, migrations, texts)),
    ...Object.keys(migrations)
      .filter((name) => !released.has(name) && name < newest)
      .map((name) => finding(name, `comes before ${newest}, which is released`, 'Give it the next free number.')),
    ...Object.entries(migrations).flatMap(([name, migration]) => forwardFindings(name, migration, texts.get(name))),
    ...[...texts.keys()]
      .filter((name) => migrations[name] === undefined && !released.has(name))
      .map((name) => finding(name, 'is in no list and would never run', `Add it to ${migrationsFolder}/index.ts.`)),
    ...disorder(Object.keys(migrations)),
  ];
  const count = Object.keys(migrations).length;
  return { checked: [`${count} migrations, ${released.size} of them released: texts, order, no way back`], findings };
}

function releasedFindings(
  name: string,
  hash: string,
  migrations: Migrations,
  texts: ReadonlyMap<string, string>,
): readonly Finding[] {
  const text = texts.get(name);
  if (text === undefined || migrations[name] === undefined) {
    return [finding(name, 'was released and is gone', 'Put it back; undo what it does in a new migration.')];
  }
  if (textHash(text) === hash) return [];
  const fix = 'Put its text back; databases have run it and will not run it again. Say what is new in a new migration.';
  return [finding(name, `was released as ${hash.slice(0, 12)}… and is now ${textHash(text).slice(0, 12)}…`, fix)];
}

function forwardFindings(name: string, migration: Migrations[string], text = ''): readonly Finding[] {
  const strangers = scan(text).imports.filter(({ specifier }) => !/^kysely(?:\/|$)/.test(specifier));
  return [
    ...(migration.down === undefined
      ? []
      : [finding(name, 'has a way back (down)', 'Remove it: what is released is mended by the next migration.')]),
    ...strangers.map(({ specifier }) =>
      finding(name, `imports ${specifier}, whose text may change`, 'Write what it needs into the migration itself.'),
    ),
  ];
}

function disorder(names: readonly string[]): readonly Finding[] {
  return names.flatMap((name, index) => {
    const before = names[index - 1];
    if (before === undefined || before.slice(0, 4) < name.slice(0, 4)) return [];
    return [finding(name, `follows ${before}`, 'Number migrations in the order in which they run.')];
  });
}

export type Upgrade = {
  /** URL of a Postgres that may be filled with databases. */
  readonly server: string;
  readonly releases: readonly Release[];
  readonly migrations: Migrations;
  /** The store of this version at work; it throws when something does not. */
  readonly exercise: (db: Db, digit: string) => Promise<void>;
};

/** Migrates real databases: from empty, and from every release with that release's rows in it. */
export async function checkUpgrades(upgrade: Upgrade): Promise<Verdict> {
  const { server, migrations, releases } = upgrade;
  const empty = await scratchDatabase(server, 'gate_empty');
  const failure = await reasonOf(migrateTo(empty, migrations));
  if (failure !== undefined) {
    const fix = 'Mend the migration; nothing can be installed as it is.';
    return { checked: ['from an empty database'], findings: [finding('an empty database', failure, fix)] };
  }
  const schema = await schemaOf(empty);
  const findings: Finding[] = [];
  for (const release of releases) findings.push(...(await fromRelease(upgrade, release, schema)));
  for (const release of releases) findings.push(...(await codeOf(upgrade, release)));
  const names = releases.map(({ release }) => release).join(', ');
  const count = releases.reduce((sum, { statements }) => sum + statements.length, 0);
  return {
    checked: [
      `from an empty database: ${schema.length} columns, constraints, indexes and settings`,
      `from each release with its rows (${names}): the same schema, and this version works on it`,
      `code of each release on this schema: ${count} statements are answered as they were`,
    ],
    findings,
  };
}

async function fromRelease(upgrade: Upgrade, release: Release, schema: readonly string[]): Promise<readonly Finding[]> {
  const { server, migrations, exercise } = upgrade;
  const where = `a database of release ${release.release}`;
  const url = await scratchDatabase(server, `gate_from_${release.release}`);
  const last = Object.keys(release.migrations).sort().at(-1);
  const unusable = await reasonOf(migrateTo(url, migrations, last));
  if (unusable !== undefined) return [finding(where, unusable, 'Put the released migrations back.')];
  const own = await replay(url, release.statements);
  if (own.length > 0) return own.map((each) => deviated(where, each, `Do not edit ${releasesFolder}.`));
  const failure = await reasonOf(migrateTo(url, migrations));
  if (failure !== undefined) return [finding(where, failure, 'Let the migration work on tables that hold rows.')];
  const upgraded = await schemaOf(url);
  const lost = schema.filter((line) => !upgraded.includes(line));
  const more = upgraded.filter((line) => !schema.includes(line));
  if (lost.length + more.length > 0) {
    const broke = [...lost.map((line) => `- ${line}`), ...more.map((line) => `+ ${line}`)].join('\n');
    return [
      finding(`${where}, upgraded`, `differs from a new one:\n${broke}`, 'A migration must not ask what it finds.'),
    ];
  }
  const faulty = await reasonOf(issuedStatements(url, (db) => exercise(db, 'f')));
  return faulty === undefined ? [] : [finding(`${where}, upgraded`, faulty, 'This version must work on it.')];
}

/** While an upgrade rolls out, the old code runs on the new schema. */
async function codeOf({ server, migrations }: Upgrade, release: Release): Promise<readonly Finding[]> {
  const url = await scratchDatabase(server, `gate_code_${release.release}`);
  await migrateTo(url, migrations);
  const fix =
    'Expand first, contract a release later: add what is new as nullable or with a default, and keep what is old until no release that uses it runs.';
  return (await replay(url, release.statements)).map((each) =>
    deviated(`code of release ${release.release}`, each, fix),
  );
}

function deviated(where: string, { statement, was, became }: Deviation, fix: string): Finding {
  return finding(where, `was answered: ${was}\nis answered:  ${became}\n${statement.text.trim()}`, fix);
}

async function reasonOf(deed: Promise<unknown>): Promise<string | undefined> {
  return deed.then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

function finding(where: string, broke: string, fix: string): Finding {
  return { where, broke, fix };
}

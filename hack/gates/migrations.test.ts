import type { Migration } from 'kysely/migration';
import { describe, expect, test } from 'vitest';
import { migrations } from '../../operator/store/migrations/index.ts';
import { checkTexts, type Release, readReleases, readTexts, textHash } from './migrations.ts';
import { checkExercised, storeFunctions } from './store-scenario.ts';
import { isOpen } from './verdict.ts';

const first = "import { sql } from 'kysely';\n";
const forward: Migration = { up: async () => undefined };
const released: Release = { release: '0.1.0', migrations: { '0001-first': textHash(first) }, statements: [] };
const texts = new Map([
  ['0001-first', first],
  ['0002-second', '// new'],
]);
const both = { '0001-first': forward, '0002-second': forward };

const blocked = (...args: Parameters<typeof checkTexts>) => checkTexts(...args).findings.map(({ where }) => where);

test('what is released as it was, and something new after it, passes', () => {
  expect(blocked([released], both, texts)).toEqual([]);
});

describe('Gate 1 is blocked by', () => {
  test.each<[string, typeof both | Record<string, Migration>, ReadonlyMap<string, string>, string]>([
    ['a released migration that is edited', both, new Map([...texts, ['0001-first', `${first} `]]), '0001-first'],
    ['a released migration that is gone', { '0002-second': forward }, texts, '0001-first'],
    ['a way back', { ...both, '0002-second': { ...forward, down: async () => undefined } }, texts, '0002-second'],
    ['a new one before a released one', { '0000-early': forward, ...both }, texts, '0000-early'],
    ['two with one number', { ...both, '0002-third': forward }, texts, '0002-third'],
    ['one that is in no list', both, new Map([...texts, ['0003-third', '']]), '0003-third'],
    [
      'one that imports what may change',
      both,
      new Map([...texts, ['0002-second', "import '../x.ts';"]]),
      '0002-second',
    ],
  ])('%s', (_, list, files, where) => {
    expect(blocked([released], list, files)).toEqual([where]);
  });
});

test('what is committed passes, and there is a release to hold it against', async () => {
  const releases = await readReleases();
  expect(Object.keys(releases[0]?.migrations ?? {})).toContain('0001-initial');
  expect(releases[0]?.statements.length).toBeGreaterThan(20);
  expect(checkTexts(releases, migrations, await readTexts()).findings).toEqual([]);
});

test('every function of the store is exercised, and Gate 1 is blocked by one that is not', async () => {
  const functions = await storeFunctions();
  expect(checkExercised(functions).findings).toEqual([]);
  const forgotten = async () => undefined;
  expect(checkExercised({ ...functions, forgotten }).findings.map(({ where }) => where)).toEqual(['forgotten']);
  expect(isOpen(checkExercised({}))).toBe(false);
});

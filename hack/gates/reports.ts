import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { z } from 'zod';
import { root } from '../lib/process.ts';

/** A test that a run reported. */
export type RanTest = {
  /** From the root of the checkout. */
  readonly file: string;
  /** Titles of the groups it is in and its own, separated by spaces. */
  readonly name: string;
  /** `passed`, or whatever else it was: skipped is not passed. */
  readonly status: string;
};

/** What the last run of the tests left. */
export type Reports = {
  readonly tests: readonly RanTest[];
  /** Levels whose report is not there. */
  readonly missing: readonly string[];
};

export const levels = ['unit', 'integration', 'proof', 'e2e'] as const;
export const reportsFolder = 'dist/reports';

const report = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })),
    }),
  ),
});

/** Reads the JSON reports `make test` leaves in `folder`, one for each level. */
export async function readReports(folder = join(root, reportsFolder)): Promise<Reports> {
  const read = await Promise.all(levels.map(async (level) => ({ level, tests: await readReport(folder, level) })));
  return {
    tests: read.flatMap(({ tests = [] }) => tests),
    missing: read.flatMap(({ level, tests }) => (tests === undefined ? [level] : [])),
  };
}

async function readReport(folder: string, level: string): Promise<readonly RanTest[] | undefined> {
  const text = await readFile(join(folder, `${level}.json`), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : parseReport(text);
}

/** The tests of one vitest report. Throws when the text is none. */
export function parseReport(text: string): readonly RanTest[] {
  return report.parse(JSON.parse(text)).testResults.flatMap(({ name, assertionResults }) => {
    const file = relative(root, name).replaceAll('\\', '/');
    return assertionResults.map(({ fullName, status }) => ({ file, name: fullName, status }));
  });
}

/**
 * Why a reference to tests is no proof; undefined when it is one. A reference is a file, which stands for
 * every test in it, or `file > words`: every test in it whose name begins with these words.
 */
export function doubt(reference: string, tests: readonly RanTest[]): string | undefined {
  const [file = '', words = ''] = reference.split(/ > (.*)/s);
  const named = tests.filter((test) => test.file === file && test.name.startsWith(words));
  if (named.length === 0) return `no such test ran: ${reference}`;
  const bad = named.filter(({ status }) => status !== 'passed');
  if (bad.length === 0) return undefined;
  return bad.map(({ name, status }) => `${status}: ${file} > ${name}`).join('\n');
}

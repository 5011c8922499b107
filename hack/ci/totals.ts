import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { complaints, lastWords } from './complaints.ts';

/** What one level of tests came to. Nothing may be skipped here, so a skipped test is a failed one. */
export type Total = {
  readonly level: string;
  readonly passed: number;
  readonly failed: number;
  /** The full names of the tests that did not pass, each with the first line it failed with. */
  readonly failures: readonly string[];
  /** What went wrong beside failing tests; each of these counts as one failure. */
  readonly problems: readonly string[];
  /** What its runner said of errors that belong to no test; lines that count for nothing. */
  readonly said: readonly string[];
};

/** What a level left behind: its JSON report and its runner's exit code, undefined when they are not there, and its stderr. */
export type Evidence = {
  readonly report: unknown;
  readonly exitCode: number | undefined;
  readonly stderr?: string | undefined;
};

const vitestReport = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().nullish(),
      assertionResults: z.array(
        z.object({ status: z.string(), fullName: z.string(), failureMessages: z.array(z.string()).nullish() }),
      ),
    }),
  ),
});

type Outcome = z.output<typeof vitestReport>['testResults'][number]['assertionResults'][number];

/** The total of one level; whatever is missing or does not fit together counts as a failure. */
export function total(level: string, { report, exitCode, stderr = '' }: Evidence): Total {
  const parsed = vitestReport.safeParse(report);
  const files = parsed.success ? parsed.data.testResults : [];
  const outcomes = files.flatMap((file) => file.assertionResults);
  const failures = outcomes.filter(({ status }) => status !== 'passed').map(described);
  const failedTests = failures.length;
  const problems = [
    ...(parsed.success ? [] : ['there is no report']),
    ...(parsed.success && outcomes.length === 0 ? ['no test ran'] : []),
    ...(exitCode === undefined ? ['the runner did not come to its end'] : []),
    ...files.filter(failedAsAWhole).map(({ name, message }) => `${name} failed as a whole: ${firstLine(message)}`),
  ];
  const isUnexplained = exitCode !== 0 && exitCode !== undefined && failedTests + problems.length === 0;
  if (isUnexplained) problems.push(`the runner ended with ${exitCode}`);
  return {
    level,
    passed: outcomes.length - failedTests,
    failed: failedTests + problems.length,
    failures,
    problems,
    said: exitCode === 0 ? [] : explanation(stderr, failedTests),
  };
}

// Tests that failed have said why; what nobody named is looked for at the end.
function explanation(stderr: string, failedTests: number): readonly string[] {
  const named = complaints(stderr);
  return named.length > 0 || failedTests > 0 ? named : lastWords(stderr);
}

function described({ fullName, status, failureMessages }: Outcome): string {
  return `${fullName}: ${firstLine(failureMessages?.[0] ?? status)}`;
}

function firstLine(text: string | null | undefined): string {
  return text?.split('\n', 1)[0] || 'it did not say why';
}

// A file that cannot be loaded, or whose hooks throw, fails without any test of it failing.
function failedAsAWhole(file: z.output<typeof vitestReport>['testResults'][number]): boolean {
  return file.status === 'failed' && file.assertionResults.every(({ status }) => status === 'passed');
}

/** The line everything ends with. */
export function closingLine(totals: readonly Total[]): string {
  const sum = (pick: (each: Total) => number): number => totals.reduce((sofar, each) => sofar + pick(each), 0);
  return `${sum(({ passed }) => passed)} passed, ${sum(({ failed }) => failed)} failed`;
}

/** A row per level, a line for every test that failed and for everything else that went wrong, and what was said of it. */
export function table(totals: readonly Total[]): string {
  const width = Math.max(...totals.map(({ level }) => level.length));
  const margin = ' '.repeat(width);
  const rows = totals.flatMap(({ level, passed, failed, failures, problems, said }) => [
    `${level.padEnd(width)}  ${String(passed).padStart(5)} passed  ${String(failed).padStart(5)} failed`,
    ...[...failures, ...problems].map((problem) => `${margin}  ! ${problem}`),
    ...said.map((line) => `${margin}  | ${line}`),
  ]);
  return rows.join('\n');
}

async function evidence(folder: string, level: string): Promise<Evidence> {
  const [report, exit, stderr] = await Promise.all(
    ['json', 'exit', 'stderr'].map((kind) => readFile(join(folder, `${level}.${kind}`), 'utf8').catch(() => undefined)),
  );
  const code = Number.parseInt(exit ?? '', 10);
  return { report: parseJson(report), exitCode: Number.isNaN(code) ? undefined : code, stderr };
}

function parseJson(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    // A runner that was killed while writing: as good as none.
    return undefined;
  }
}

async function main([folder, ...levels]: readonly string[]): Promise<void> {
  if (folder === undefined || levels.length === 0) {
    console.error('usage: totals.ts FOLDER LEVEL…');
    process.exitCode = 2;
    return;
  }
  const totals = await Promise.all(levels.map(async (level) => total(level, await evidence(folder, level))));
  console.log(`\n${table(totals)}\n\n${closingLine(totals)}`);
  process.exitCode = totals.some(({ failed }) => failed > 0) ? 1 : 0;
}

if (import.meta.main) await main(process.argv.slice(2));

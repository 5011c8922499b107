import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attempt } from '../lib/process.ts';
import { checkPromises, filesOf, promises } from './outbox.ts';
import { parseReport, type RanTest, readReports } from './reports.ts';
import { conclude, type Verdict } from './verdict.ts';

/** The levels of tests that promises are shown by. */
const levels = ['integration', 'proof'] as const;

/** Gate 3: no event is lost, reordered or told twice as two. `--run` runs the tests instead of reading the last report. */
async function gate([option]: readonly string[]): Promise<Verdict> {
  const reports = await readReports();
  const mustRun = option === '--run' || levels.some((level) => reports.missing.includes(level));
  return checkPromises(promises, mustRun ? { tests: await runTests() } : reports);
}

async function runTests(): Promise<readonly RanTest[]> {
  const folder = await mkdtemp(join(tmpdir(), 'openos-gate-3-'));
  const report = join(folder, 'report.json');
  const output = ['--reporter=json', `--outputFile.json=${report}`];
  try {
    const { stderr } = await attempt('vitest', [
      'run',
      ...levels.map((level) => `--project=${level}`),
      ...output,
      ...filesOf(promises),
    ]);
    return parseReport(await readFile(report, 'utf8').catch(() => Promise.reject(new Error(stderr))));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await conclude('Gate 3: outbox and idempotency', gate(process.argv.slice(2)));

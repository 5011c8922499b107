import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root, run } from '../lib/process.ts';
import { checkRun, type ObservedRun, runFile } from './observability.ts';
import { conclude, type Verdict } from './verdict.ts';

const test = 'hack/gates/observability.integration.test.ts';

/** Gate 5: a run can be observed, and shows nothing that is nobody's business. */
async function gate(): Promise<Verdict> {
  return checkRun((await lastRun()) ?? (await newRun()));
}

async function lastRun(): Promise<ObservedRun | undefined> {
  const text = await readFile(join(root, runFile), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as ObservedRun);
}

async function newRun(): Promise<ObservedRun> {
  // Judged below, with everything it found.
  await run('vitest', ['run', '--project', 'integration', test]).catch(() => undefined);
  const seen = await lastRun();
  if (seen === undefined) throw new Error(`${test} left nothing to look at; run it to see why`);
  return seen;
}

await conclude('Gate 5: observability', gate());

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attempt, root } from './process.ts';

export type Check = {
  readonly title: string;
  /** Program and arguments, run at the root of the checkout; any exit code but 0 fails the check. */
  readonly command: readonly [string, ...string[]];
};

type Result = { readonly fullName: string; readonly status: 'passed' | 'failed' };

/**
 * Runs every check, also after one has failed, and leaves a report like the tests' in dist/reports/NAME.json.
 * What a check printed is shown when it fails, or `always`. The process exits with 1 when one failed.
 */
export async function runChecks(name: string, checks: readonly Check[], show: 'failures' | 'always'): Promise<void> {
  const results: Result[] = [];
  for (const { title, command } of checks) {
    const began = performance.now();
    const [program = '', ...args] = command;
    const { code, stdout, stderr } = await attempt(program, args);
    const isGood = code === 0;
    console.error(`${isGood ? '✓' : '✗'} ${title} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    if (!isGood || show === 'always') console.error(indent(`$ ${command.join(' ')}\n${stdout}${stderr}`));
    results.push({ status: isGood ? 'passed' : 'failed', fullName: title });
  }
  await report(name, results);
  if (results.some(({ status }) => status === 'failed')) process.exitCode = 1;
}

async function report(name: string, assertionResults: readonly Result[]): Promise<void> {
  const folder = join(root, 'dist/reports');
  const status = assertionResults.every((each) => each.status === 'passed') ? 'passed' : 'failed';
  await mkdir(folder, { recursive: true });
  const testResults = [{ name: `hack/${name}`, status, assertionResults }];
  await writeFile(join(folder, `${name}.json`), JSON.stringify({ testResults }));
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, '    ');
}

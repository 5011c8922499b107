import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attempt, root } from '../lib/process.ts';
import { checks } from './checks.ts';

/** Runs every check, also after one has failed, and leaves a report like the tests' in dist/reports/verify.json. */
async function main(): Promise<void> {
  const results: { readonly status: string; readonly title: string }[] = [];
  for (const { title, command } of checks) {
    const began = performance.now();
    const [program = '', ...args] = command;
    const { code, stdout, stderr } = await attempt(program, args);
    const isGood = code === 0;
    console.error(`${isGood ? '✓' : '✗'} ${title} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    if (!isGood) console.error(indent(`$ ${command.join(' ')}\n${stdout}${stderr}`));
    results.push({ status: isGood ? 'passed' : 'failed', title });
  }
  await report(results);
  if (results.some(({ status }) => status === 'failed')) process.exitCode = 1;
}

async function report(assertionResults: readonly { readonly status: string }[]): Promise<void> {
  const folder = join(root, 'dist/reports');
  const status = assertionResults.every((each) => each.status === 'passed') ? 'passed' : 'failed';
  await mkdir(folder, { recursive: true });
  const testResults = [{ name: 'hack/verify', status, assertionResults }];
  await writeFile(join(folder, 'verify.json'), JSON.stringify({ testResults }));
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, '    ');
}

await main();

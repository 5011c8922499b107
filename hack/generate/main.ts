import { parseArgs } from 'node:util';
import { generatedFiles, generatedFolders, repository } from './files.ts';
import { generate, staleFiles } from './run.ts';

/**
 * Writes every generated file of the repository, or with --check names those that are stale and exits
 * with 1. Needs neither a cluster nor Go.
 */
const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const tree = { root: repository, files: generatedFiles, folders: generatedFolders };

if (values.check) {
  const stale = await staleFiles(tree);
  for (const path of stale) console.error(`stale: ${path}`);
  if (stale.length > 0) console.error('Run: make generate');
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  const written = await generate(tree);
  console.log(written.length > 0 ? written.join('\n') : 'Everything is up to date.');
}

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root, run } from '../lib/process.ts';
import { checkCompatibility, currentSchemas, readSnapshots, snapshotFolder, unreleased } from './schemas.ts';
import { conclude, isOpen, together, type Verdict } from './verdict.ts';

const command = 'node hack/gates/gate-2-schemas.ts --release';

/** Gate 2: a consumer of any event ever released goes on reading it. `--release` writes snapshots of what is new. */
async function gate([option]: readonly string[]): Promise<Verdict> {
  const [released, current] = [await readSnapshots(), currentSchemas()];
  const verdict = checkCompatibility(released, current);
  const missing = unreleased(released, current);
  if (option !== '--release') {
    const findings = missing.map((where) => ({
      where,
      broke: 'is written and has no snapshot',
      fix: `Run ${command}`,
    }));
    return together(verdict, { checked: [], findings });
  }
  if (!isOpen(verdict)) return verdict;
  for (const name of missing) {
    const path = join(root, snapshotFolder, `${name}.json`);
    // wx: what is released is never written again.
    await writeFile(path, JSON.stringify(current.get(name), null, 2), { flag: 'wx' });
    await run(join(root, 'node_modules/.bin/biome'), ['format', '--write', path]);
  }
  return together(verdict, { checked: missing.map((name) => `released ${name}`), findings: [] });
}

await conclude('Gate 2: event schemas', gate(process.argv.slice(2)));

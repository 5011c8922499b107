import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { migrations } from '../../operator/store/migrations/index.ts';
import { startPostgres } from '../../operator/testkit/postgres.ts';
import { root } from '../lib/process.ts';
import { type Release, readReleases, readTexts, releasesFolder, textHash } from './migrations.ts';
import { migrateTo, scratchDatabase } from './scratch.ts';
import { type IssuedStatement, issuedStatements, withoutChance } from './statements.ts';
import { checkExercised, exerciseStore, storeFunctions } from './store-scenario.ts';

/**
 * Writes down what a release leaves in databases, for Gate 1 of every later one. Refuses to write a release
 * twice, and one whose statements would be written down in part.
 */
async function main([release]: readonly string[]): Promise<void> {
  if (release === undefined || !/^\d+\.\d+\.\d+$/.test(release)) throw new Error('usage: release.ts MAJOR.MINOR.PATCH');
  const { findings } = checkExercised(await storeFunctions());
  if (findings.length > 0) throw new Error(`not exercised: ${findings.map(({ where }) => where).join(', ')}`);
  const folder = join(root, releasesFolder);
  await mkdir(folder, { recursive: true });
  if ((await readReleases()).some((known) => known.release === release)) throw new Error(`${release} is released`);
  const texts = [...(await readTexts())].map(([name, text]) => [name, textHash(text)]);
  const content: Release = { release, migrations: Object.fromEntries(texts), statements: await statements() };
  await writeFile(join(folder, `${release}.generated.json`), `${JSON.stringify(content, null, 2)}\n`, { flag: 'wx' });
  console.log(`${releasesFolder}/${release}.generated.json: ${content.statements.length} statements`);
}

async function statements(): Promise<readonly IssuedStatement[]> {
  const postgres = await startPostgres();
  try {
    const issued = async (name: string) => {
      const url = await scratchDatabase(postgres.url, name);
      await migrateTo(url, migrations);
      return issuedStatements(url, (db) => exerciseStore(db, '0'));
    };
    return withoutChance(await issued('one'), await issued('two'));
  } finally {
    await postgres.stop();
  }
}

await main(process.argv.slice(2));

import { migrations } from '../../operator/store/migrations/index.ts';
import { startPostgres } from '../../operator/testkit/postgres.ts';
import { checkTexts, checkUpgrades, readReleases, readTexts } from './migrations.ts';
import { checkExercised, exerciseStore, storeFunctions } from './store-scenario.ts';
import { conclude, together, type Verdict } from './verdict.ts';

/** Gate 1: an upgrade loses nothing, can be rolled out beside the version before, and is never rewritten. */
async function gate(): Promise<Verdict> {
  const releases = await readReleases();
  const texts = checkTexts(releases, migrations, await readTexts());
  const postgres = await startPostgres();
  try {
    const upgrades = await checkUpgrades({ server: postgres.url, releases, migrations, exercise: exerciseStore });
    return together(texts, upgrades, checkExercised(await storeFunctions()));
  } finally {
    await postgres.stop();
  }
}

await conclude('Gate 1: migrations', gate());

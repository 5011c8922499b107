import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { GeneratedFile } from './files.ts';

type Tree = { readonly root: string; readonly files: readonly GeneratedFile[]; readonly folders: readonly string[] };

/** Paths that differ from what would be generated: changed, missing, or left over in a generated folder. */
export async function staleFiles(tree: Tree): Promise<readonly string[]> {
  const stale = await Promise.all(
    tree.files.map(async ({ path, render }) => ((await readIfThere(join(tree.root, path))) === render() ? [] : [path])),
  );
  return [...stale.flat(), ...(await leftOver(tree))].sort();
}

/** Writes what is stale and removes what is left over; answers with the paths it touched. */
export async function generate(tree: Tree): Promise<readonly string[]> {
  const stale = new Set(await staleFiles(tree));
  for (const { path, render } of tree.files) {
    if (!stale.has(path)) continue;
    await mkdir(dirname(join(tree.root, path)), { recursive: true });
    await writeFile(join(tree.root, path), render());
  }
  for (const path of await leftOver(tree)) await rm(join(tree.root, path));
  return [...stale];
}

async function leftOver({ root, files, folders }: Tree): Promise<readonly string[]> {
  const known = new Set(files.map(({ path }) => path));
  const found = await Promise.all(
    folders.map(async (folder) => (await namesIn(join(root, folder))).map((name) => `${folder}/${name}`)),
  );
  return found.flat().filter((path) => !known.has(path));
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (
    (await ifThere(readdir(folder, { withFileTypes: true })))
      ?.filter((entry) => entry.isFile())
      .map((entry) => entry.name) ?? []
  );
}

function readIfThere(path: string): Promise<string | undefined> {
  return ifThere(readFile(path, 'utf8'));
}

async function ifThere<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

import { mkdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const repository = join(import.meta.dirname, '..');

/** What can be bundled: the file each program starts in. */
const entries = { openos: 'operator/main.ts', 'sample-agent': 'hack/sample-agent/agent.ts' } as const;
type Program = keyof typeof entries;

/** Loaded by a `require` in a `try` and absent on purpose: the bundle must not look for them at build time. */
const optionalModules = ['pg-native', 'bufferutil', 'utf-8-validate'];

/** CommonJS dependencies call `require` for Node's own modules; an ES module has none unless it makes one. */
const requireBanner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

export type Bundle = { readonly file: string; readonly bytes: number };

/**
 * Bundles one entry file and everything it imports into a single minified ES module for Node 24, with
 * its source map beside it (`<outfile>.map`, not referenced from the file: it stays out of the image).
 * `process.env.OPENOS_VERSION` in the sources becomes the literal `version`. Throws esbuild's BuildFailure.
 */
export async function bundle(entry: string, outfile: string, version: string): Promise<Bundle> {
  await mkdir(dirname(outfile), { recursive: true });
  await build({
    absWorkingDir: repository,
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Prefer the ES module of a package that ships both: only that one can be tree-shaken.
    mainFields: ['module', 'main'],
    minify: true,
    // Error classes are told apart by name in logs, and a stack of one-letter functions helps nobody.
    keepNames: true,
    sourcemap: 'external',
    legalComments: 'none',
    external: optionalModules,
    banner: { js: requireBanner },
    define: { 'process.env.OPENOS_VERSION': JSON.stringify(version) },
    logLevel: 'warning',
  });
  return { file: outfile, bytes: (await stat(outfile)).size };
}

/** The version in package.json: one place for the package, the bundle and what the operator says of itself. */
export async function packageVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'));
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version);
  throw new TypeError('package.json has no version');
}

const usage = `usage: bundle.ts [--entry FILE] [--out FILE] [PROGRAM…]

Bundles each PROGRAM (${Object.keys(entries).join(', ')}; default openos) into dist/PROGRAM.mjs.
  --entry FILE   start from this file instead (one PROGRAM only)
  --out FILE     write here instead (one PROGRAM only)`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { entry: { type: 'string' }, out: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  const programs = positionals.length === 0 ? ['openos'] : positionals;
  const unknown = programs.find((name) => !isProgram(name));
  const ambiguous = programs.length > 1 && (values.entry ?? values.out) !== undefined;
  if (values.help === true || unknown !== undefined || ambiguous) {
    console.error(unknown === undefined ? usage : `no program named "${unknown}"\n${usage}`);
    process.exitCode = values.help === true ? 0 : 2;
    return;
  }

  const version = await packageVersion();
  for (const name of programs.filter(isProgram)) {
    const outfile = values.out ?? join(repository, 'dist', `${name}.mjs`);
    const { bytes } = await bundle(values.entry ?? entries[name], outfile, version);
    console.error(`bundled ${basename(outfile)} ${version}, ${Math.ceil(bytes / 1000)} kB`);
  }
}

function isProgram(name: string): name is Program {
  return name in entries;
}

if (import.meta.main) await main();

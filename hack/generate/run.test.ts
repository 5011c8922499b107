import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generatedFiles, generatedFolders, repository, withSection } from './files.ts';
import { generate, staleFiles } from './run.ts';

describe('generating into a folder', () => {
  let root = '';
  const files = [
    { path: 'out/a.yaml', render: () => 'a\n' },
    { path: 'elsewhere/b.yaml', render: () => 'b\n' },
  ];
  const tree = () => ({ root, files, folders: ['out'] });

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'openos-generate-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  it('names every file that is missing', async () => {
    expect(await staleFiles(tree())).toEqual(['elsewhere/b.yaml', 'out/a.yaml']);
  });

  it('writes them, and then nothing is stale', async () => {
    await generate(tree());
    expect(await readFile(join(root, 'out/a.yaml'), 'utf8')).toBe('a\n');
    expect(await staleFiles(tree())).toEqual([]);
    expect(await generate(tree())).toEqual([]);
  });

  it('notices and mends a file that was edited', async () => {
    await generate(tree());
    await writeFile(join(root, 'out/a.yaml'), 'edited\n');
    expect(await staleFiles(tree())).toEqual(['out/a.yaml']);
    expect(await generate(tree())).toEqual(['out/a.yaml']);
  });

  it('notices and removes a file that is no longer generated, but only in folders of its own', async () => {
    await generate(tree());
    await writeFile(join(root, 'out/old.yaml'), 'old\n');
    await writeFile(join(root, 'elsewhere/mine.yaml'), 'mine\n');
    expect(await staleFiles(tree())).toEqual(['out/old.yaml']);
    await generate(tree());
    expect(await staleFiles(tree())).toEqual([]);
    expect(await readFile(join(root, 'elsewhere/mine.yaml'), 'utf8')).toBe('mine\n');
  });

  it('leaves other files and folders inside its folders alone', async () => {
    await mkdir(join(root, 'out/inner'), { recursive: true });
    await writeFile(join(root, 'out/README.md'), 'what this is\n');
    await generate(tree());
    expect(await staleFiles(tree())).toEqual([]);
  });
});

describe('a generated part of a file written by hand', () => {
  const file = 'before\n<!-- generated: states -->\nold\n<!-- end: states -->\nafter\n';

  it('is replaced and nothing else', () => {
    expect(withSection(file, 'README.md', 'states', 'new')).toBe(file.replace('old', 'new'));
  });

  it('needs its marks', () => {
    const replace = () => withSection(file, 'README.md', 'other', 'new');
    expect(replace).toThrow(expect.objectContaining({ code: 'NoSection', path: 'README.md' }));
  });
});

it('everything generated in this repository is up to date', async () => {
  expect(await staleFiles({ root: repository, files: generatedFiles, folders: generatedFolders })).toEqual([]);
});

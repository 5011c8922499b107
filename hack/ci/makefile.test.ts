import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const makefile = await readFile(join(import.meta.dirname, '../../Makefile'), 'utf8');
const phony = [...makefile.matchAll(/^\.PHONY: (.+)$/gm)].flatMap(([, names = '']) => names.split(' '));
const helped = [...makefile.matchAll(/^([a-z][a-z0-9-]*):.*## \S/gm)].map(([, name]) => name);

/** The only command surface: a target more or less is a change of the architecture. */
const surface = [
  'help',
  'demo',
  'test',
  'test-unit',
  'test-integration',
  'test-proof',
  'test-chaos',
  'e2e',
  'test-e2e',
  'bench',
  'bench-start',
  'bench-scale',
  'bench-outbox',
  'bench-soak',
  'bench-handover',
  'bench-watch',
  'gates',
  'release-check',
  'verify',
  'generate',
  'fmt',
  'lint',
  'typecheck',
  'cluster-up',
  'cluster-down',
  'kubeconfig',
  'image',
  'deploy',
  'run',
  'clean',
];

test('the targets are the command surface', () => {
  expect(phony).toEqual(surface);
});

test('every target says what it does', () => {
  expect(helped).toEqual(surface);
});

import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../lib/process.ts';
import { checkEvidence, type Requirement, readCapabilities, requirementNumbers } from './capabilities.ts';
import { parseReport, type RanTest, type Reports } from './reports.ts';

const file = 'operator/a.test.ts';
const ran: readonly RanTest[] = [
  { file, name: 'order holds', status: 'passed' },
  { file, name: 'order holds over SIGKILL', status: 'passed' },
  { file, name: 'no loss', status: 'failed' },
  { file: 'operator/b.test.ts', name: 'order holds', status: 'skipped' },
];
const reports: Reports = { tests: ran, missing: [] };

type Capability = Requirement['capabilities'][number];
const order: Capability = {
  capability: 'Order',
  state: 'Implemented',
  acceptance: ['It holds.'],
  evidence: [`${file} > order holds`],
};

function tracked(change: Partial<Capability> = {}): readonly Requirement[] {
  return requirementNumbers.map((number) => ({ number, requirement: number, capabilities: [{ ...order, ...change }] }));
}

/** How many findings there are for each requirement. */
function perRequirement(requirements: readonly Requirement[], of = reports): number {
  return checkEvidence(requirements, of).findings.length / requirementNumbers.length;
}

test('what is Implemented and was shown passes', () => {
  expect(checkEvidence(tracked(), reports).findings).toEqual([]);
});

test('what is not called Implemented needs no proof', () => {
  expect(perRequirement(tracked({ state: 'IterationScope', evidence: ['none.test.ts'], missing: 'all' }))).toBe(0);
});

describe('Gate 6 is blocked by an Implemented', () => {
  test.each<[string, Partial<Capability>]>([
    ['that names no test', { evidence: [] }],
    ['whose file did not run', { evidence: ['operator/c.test.ts'] }],
    ['whose test is not in its file', { evidence: [`${file} > it is quick`] }],
    ['whose test failed', { evidence: [`${file} > no loss`] }],
    ['whose file has a test that failed', { evidence: [file] }],
    ['whose test was skipped', { evidence: ['operator/b.test.ts > order holds'] }],
    ['that says what is missing', { missing: 'Half of it.' }],
  ])('%s', (_, change) => {
    expect(perRequirement(tracked(change))).toBe(1);
  });
});

test.each<[string, readonly Requirement[]]>([
  ['a requirement that is not tracked', tracked().slice(1)],
  ['one that nobody asked for', [...tracked(), { ...tracked()[0], number: 'Z9' } as Requirement]],
  ['one that is there twice', [...tracked(), ...tracked().slice(0, 1)]],
])('Gate 6 is blocked by %s', (_, requirements) => {
  expect(checkEvidence(requirements, reports).findings).toHaveLength(1);
});

test('Gate 6 is blocked by tests that were not run', () => {
  expect(checkEvidence(tracked(), { tests: ran, missing: ['e2e'] }).findings).toMatchObject([
    { where: 'the e2e tests' },
  ]);
});

test('a report of vitest is read as files, names and outcomes', () => {
  const assertionResults = [{ fullName: 'order holds', status: 'passed', title: 'holds' }];
  const text = JSON.stringify({ testResults: [{ name: join(root, file), status: 'passed', assertionResults }] });
  expect(parseReport(text)).toEqual([{ file, name: 'order holds', status: 'passed' }]);
});

describe('what is committed', async () => {
  const requirements = await readCapabilities();

  test('tracks every requirement', () => {
    expect(requirements.map(({ number }) => number)).toEqual([...requirementNumbers]);
  });

  test('names tests that are there', async () => {
    const files = requirements
      .flatMap(({ capabilities }) => capabilities.flatMap(({ evidence }) => evidence))
      .map((reference) => reference.split(' > ')[0] ?? '');
    for (const name of new Set(files)) await expect(access(join(root, name)), name).resolves.toBeUndefined();
  });

  test('says of everything under way what is missing', () => {
    const open = requirements.flatMap(({ capabilities }) =>
      capabilities.filter(({ state }) => state === 'IterationScope'),
    );
    for (const { capability, missing } of open) expect(missing, capability).toBeDefined();
  });
});

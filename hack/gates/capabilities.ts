import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { root } from '../lib/process.ts';
import { doubt, type Reports } from './reports.ts';
import type { Finding, Verdict } from './verdict.ts';

export const capabilitiesFile = 'config/capabilities.yaml';

/** The numbers of everything that is asked of OpenOS. */
export const requirementNumbers = [
  ...['P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'G1', 'L1', 'A1', 'A2', 'O1', 'O2', 'O3', 'D1', 'M1'],
  ...['S1', 'S2', 'S3', 'S4', 'S5', 'S6', 'C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'N1'],
] as const;

const text = z.string().min(1);

const capability = z.strictObject({
  capability: text.describe('What somebody can do with it.'),
  state: z.enum(['Target', 'IterationScope', 'Implemented']),
  acceptance: z.array(text).min(1).describe('What must hold.'),
  evidence: z
    .array(text)
    .default([])
    .describe('Tests that show it: a file, or file > the words their names begin with.'),
  missing: text.optional().describe('What is not there yet.'),
});

const document = z.strictObject({
  requirements: z.array(z.strictObject({ number: text, requirement: text, capabilities: z.array(capability).min(1) })),
});

export type Requirement = z.output<typeof document>['requirements'][number];
type Capability = Requirement['capabilities'][number];

/** Reads the committed file. Throws ZodError when it has another shape. */
export async function readCapabilities(path = join(root, capabilitiesFile)): Promise<readonly Requirement[]> {
  return document.parse(parse(await readFile(path, 'utf8'))).requirements;
}

/** Whether everything called Implemented was shown to be so by tests that ran and passed, and no requirement is left out. */
export function checkEvidence(requirements: readonly Requirement[], reports: Reports): Verdict {
  const findings = [
    ...completeness(requirements.map(({ number }) => number)),
    ...reports.missing.map((level) => ({
      where: `the ${level} tests`,
      broke: 'there is no report of them',
      fix: 'Run make test.',
    })),
    ...requirements.flatMap(({ number, capabilities }) =>
      capabilities.flatMap((each) => claims(number, each, reports)),
    ),
  ];
  return { checked: [summary(requirements, reports)], findings };
}

function completeness(numbers: readonly string[]): readonly Finding[] {
  const known: readonly string[] = requirementNumbers;
  const fix = `Every requirement stands once in ${capabilitiesFile}.`;
  return [
    ...known.filter((number) => !numbers.includes(number)).map((where) => ({ where, broke: 'is not tracked', fix })),
    ...numbers.filter((number) => !known.includes(number)).map((where) => ({ where, broke: 'nobody asked for', fix })),
    ...numbers
      .filter((number, index) => numbers.indexOf(number) < index)
      .map((where) => ({ where, broke: 'is there twice', fix })),
  ];
}

function claims(number: string, each: Capability, { tests }: Reports): readonly Finding[] {
  const where = `${number} ${each.capability}`;
  if (each.state !== 'Implemented') return [];
  const fix = 'Mend the test, name the one that shows it, or call it IterationScope.';
  if (each.evidence.length === 0) return [{ where, broke: 'is called Implemented and names no test', fix }];
  if (each.missing !== undefined) return [{ where, broke: `is called Implemented and lacks: ${each.missing}`, fix }];
  return each.evidence.flatMap((reference) => {
    const broke = doubt(reference, tests);
    return broke === undefined ? [] : [{ where, broke, fix }];
  });
}

function summary(requirements: readonly Requirement[], { tests }: Reports): string {
  const all = requirements.flatMap(({ capabilities }) => capabilities);
  const count = (state: Capability['state']) => all.filter((each) => each.state === state).length;
  const proofs = all.flatMap(({ evidence }) => evidence).length;
  return `${requirements.length} requirements, ${all.length} capabilities: ${count('Implemented')} Implemented, ${count('IterationScope')} IterationScope, ${count('Target')} Target; ${proofs} proofs among ${tests.length} tests`;
}

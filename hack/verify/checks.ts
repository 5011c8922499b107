import type { Check } from '../lib/checks.ts';

/** What `make verify` runs, in this order: the quick ones first. */
export const checks: readonly Check[] = [
  { title: 'generated files are fresh', command: ['node', 'hack/generate/main.ts', '--check'] },
  { title: 'types', command: ['tsc', '--noEmit'] },
  { title: 'lint and format', command: ['biome', 'check', '--error-on-warnings', '.'] },
  {
    title: 'import rules; samples fit their schemas',
    command: ['vitest', 'run', '--project', 'unit', 'operator/architecture.test.ts', 'hack/generate/samples.test.ts'],
  },
  { title: 'shell scripts parse', command: ['hack/verify/scripts.sh'] },
  { title: 'the chart lints and renders', command: ['hack/verify/chart.sh'] },
];

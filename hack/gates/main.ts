import { type Check, runChecks } from '../lib/checks.ts';

/** Every gate, in the order of its number; 1 to 3 block a merge, 5 and 6 a release. Gate 4 comes with the HTTP API. */
const gates: readonly Check[] = [
  { title: 'Gate 1: migrations', command: ['node', 'hack/gates/gate-1-migrations.ts'] },
  { title: 'Gate 2: event schemas', command: ['node', 'hack/gates/gate-2-schemas.ts'] },
  { title: 'Gate 3: outbox and idempotency', command: ['node', 'hack/gates/gate-3-outbox.ts'] },
  { title: 'Gate 5: observability', command: ['node', 'hack/gates/gate-5-observability.ts'] },
  { title: 'Gate 6: evidence', command: ['node', 'hack/gates/gate-6-evidence.ts'] },
];

await runChecks('gates', gates, 'always');

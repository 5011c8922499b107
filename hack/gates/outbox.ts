import { doubt, type Reports } from './reports.ts';
import type { Verdict } from './verdict.ts';

export type Promised = {
  readonly promise: string;
  /** A file of tests, or `file > the words their names begin with`; all of them must have run and passed. */
  readonly tests: readonly [string, ...string[]];
};

const publisher = 'operator/events/publisher.integration.test.ts';
const recording = 'operator/store/repositories/recording.integration.test.ts';
const delivery = 'operator/events/delivery.proof.test.ts';
const gate = 'hack/gates/outbox.integration.test.ts';

/** What consumers are promised of events, and the tests without which nobody may merge. */
export const promises: readonly Promised[] = [
  {
    promise: 'a change and its event are committed together, or neither',
    tests: [`${recording} > recordTransitions`],
  },
  {
    promise: 'an event that fails its schema is not recorded, and nobody can overlook it',
    tests: [
      'operator/recorder.integration.test.ts > an event that fails its schema',
      'operator/resources/untold.test.ts',
    ],
  },
  {
    promise: 'a leader whose time is over records nothing',
    tests: [`${recording} > the fence`],
  },
  {
    promise: 'nothing is lost while the broker or Postgres is away',
    tests: [
      `${publisher} > when the broker is away`,
      `${publisher} > when Postgres restarts`,
      `${delivery} > a Postgres that fails under load`,
      `${delivery} > a publisher without a free connection`,
    ],
  },
  {
    promise: 'nothing is lost or reordered when the operator or a publisher is killed or frozen',
    tests: [
      `${publisher} > order holds over SIGKILL`,
      'operator/agent-restarts.integration.test.ts > an operator that is killed',
      `${gate} > publishers that are killed and frozen`,
      `${delivery} > a publisher that ends`,
      'operator/chaos.proof.test.ts',
    ],
  },
  {
    promise: 'order holds by first appearance, without the broker recognising repeats',
    tests: [
      `${publisher} > order holds with three publishers`,
      `${gate} > publishers that are killed and frozen`,
      `${delivery} > 64 writers`,
    ],
  },
  {
    promise: 'who is told to stop repeats nothing',
    tests: [`${delivery} > publishers that are told to stop`],
  },
  {
    promise: 'a replay changes nothing for who has seen it',
    tests: [
      `${gate} > a replay of everything`,
      `${publisher} > after a replay`,
      'operator/events/projector.integration.test.ts > the projection',
    ],
  },
  {
    promise: 'Acknowledged is said of nothing that a required consumer has not had',
    tests: ['operator/events/ack-watcher.integration.test.ts'],
  },
  {
    promise: 'what the broker lost after it acknowledged it is noticed and published again',
    tests: ['operator/events/auditor.integration.test.ts > amnesia of the broker'],
  },
  {
    promise: 'what is removed after its time was told, and is missed by nobody',
    tests: ['operator/store/repositories/retention.integration.test.ts'],
  },
  {
    promise: 'what a consumer was not given can be sent to it again, once',
    tests: ['operator/events/commands/commands.integration.test.ts > what the broker gave up to deliver'],
  },
  {
    promise: 'a database that was restored adopts what it lost: no id stands for two facts',
    tests: ['operator/adopter.integration.test.ts'],
  },
  {
    promise: 'what the broker refuses is parked and holds up nobody else',
    tests: [`${publisher} > an event the broker refuses`],
  },
];

/** Whether the tests of every promise have run and passed. */
export function checkPromises(promised: readonly Promised[], { tests }: Pick<Reports, 'tests'>): Verdict {
  const fix = 'Run make test; mend what failed, or name the test that shows it now in hack/gates/outbox.ts.';
  const findings = promised.flatMap(({ promise, tests: references }) =>
    references.flatMap((reference) => {
      const broke = doubt(reference, tests);
      return broke === undefined ? [] : [{ where: promise, broke, fix }];
    }),
  );
  return { checked: promised.map(({ promise, tests: { length } }) => `${promise} (${length})`), findings };
}

/** The files that hold the tests of these promises. */
export function filesOf(promised: readonly Promised[]): readonly string[] {
  return [...new Set(promised.flatMap(({ tests }) => tests.map((reference) => reference.split(' > ')[0] ?? '')))];
}

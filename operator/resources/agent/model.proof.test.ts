import { describe, expect, test } from 'vitest';
import { exploreAgent } from '../../testkit/model/agent-rules.ts';
import { exploreFlock } from '../../testkit/model/flock-model.ts';

/** As model.test.ts, with more things happening to one agent: a minute and two gigabytes. */
const three = [
  'the operator is killed',
  'the pod vanishes',
  'the pod crashes again and again',
  'its spec is another',
  'it is suspended',
  'it is to run again',
  'it is deleted',
];
const common = [
  'the operator is killed',
  'the pod vanishes',
  'the pod crashes again and again',
  'the broker goes away',
  'its spec is another',
  'it is suspended',
  'it is deleted',
];
const two = [
  'the operator is killed',
  'the operator is killed with a request on the wire',
  'nothing happens until the operator looks again',
  'the pod crashes again and again',
  'the caches fall behind',
  'the database goes away',
  'the broker goes away',
  'its spec is another',
  'it is suspended',
  'it is deleted',
];

describe('every story of an agent', () => {
  test.each<[number, readonly string[]]>([
    [2, common],
    [2, two],
    [3, three],
  ])(
    'with at most %i disturbances ends where it should, and breaks no rule on the way',
    { timeout: 300_000 },
    (budget, disturbances) => {
      const { finding, states, transitions } = exploreAgent(budget, { disturbances });
      console.info(`model check: ${budget} disturbances, ${states} states, ${transitions} transitions`);
      expect(finding).toBeUndefined();
    },
  );
});

describe('every story of agents that share the places of a quota', () => {
  test.each([
    [2, 1, 1, common],
    [2, 1, 2, ['the operator is killed', 'it is suspended', 'it is deleted']],
    [3, 2, 0, []],
  ])('%i agents, %i places, at most %i disturbances', { timeout: 300_000 }, (size, limit, budget, disturbances) => {
    const { finding, states, transitions } = exploreFlock({ size, limit, budget, disturbances });
    console.info(
      `model check: ${size} agents, ${limit} places, ${budget} disturbances, ${states} states, ${transitions} transitions`,
    );
    expect(finding).toBeUndefined();
  });
});

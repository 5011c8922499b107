import { describe, expect, test } from 'vitest';
import { exploreAgent } from '../../testkit/model/agent-rules.ts';

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
const two = [
  'the operator is killed',
  'the operator is killed with a request on the wire',
  'nothing happens until the operator looks again',
  'the pod crashes again and again',
  'the caches fall behind',
  'the database goes away',
  'the broker goes away',
  'the Tenant drains',
  'its spec is another',
  'it is suspended',
  'it is deleted',
];

describe('every story of an agent', () => {
  test.each<[number, readonly string[]]>([
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

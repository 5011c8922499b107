import { expect, test } from 'vitest';
import { explorePool, type PoolStory } from '../../testkit/model/explore-pool.ts';

/** As model.test.ts, with more things happening to one pool. */
test.each<[string, PoolStory]>([
  ['two Agents, one too many', { replicas: 2, maxSurge: 1, maxUnavailable: 0, budget: 2 }],
  [
    'two Agents, one missing, ten seconds',
    { replicas: 2, maxSurge: 0, maxUnavailable: 1, minReadySeconds: 10, budget: 2 },
  ],
  [
    'three Agents, one too many and one missing',
    {
      replicas: 3,
      maxSurge: 1,
      maxUnavailable: 1,
      budget: 2,
      disturbances: [
        'the operator is killed',
        'an Agent fails',
        'it is scaled to 1',
        'its template is another',
        'it is deleted',
      ],
    },
  ],
])('every story of a pool of %s ends with what is asked for', { timeout: 300_000 }, (name, story) => {
  const { finding, states, transitions, depth } = explorePool(story);
  console.info(
    `model check: a pool of ${name}: ${story.budget} disturbances, ${states} states, ${transitions} transitions, depth ${depth}`,
  );
  expect(finding).toBeUndefined();
});

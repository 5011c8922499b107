import { describe, expect, test } from 'vitest';
import { allRows, emptyCoverage } from '../../testkit/model/coverage.ts';
import { exploreAgent } from '../../testkit/model/explore-agent.ts';
import { exploreFlock } from '../../testkit/model/flock-model.ts';
import { longStories } from '../../testkit/model/stories.ts';

/** As model.test.ts, with more things happening to one agent: a minute or two, and two gigabytes. */

describe('every story of', { timeout: 300_000 }, () => {
  test.each(Object.entries(longStories))('%s ends where it should, and breaks no rule on the way', (name, story) => {
    const coverage = emptyCoverage();
    const { finding, states, transitions, depth } = exploreAgent(story, { coverage });
    console.info(
      `model check: ${name}: ${story.budget} of ${story.disturbances?.length} disturbances, ${states} states, ${transitions} transitions, depth ${depth}, ${coverage.rows.size} of ${allRows().length} rows`,
    );
    expect(finding).toBeUndefined();
  });

  const few = [
    'the operator is killed',
    'the pod vanishes',
    'the pod crashes again and again',
    'its spec is another',
    'it is suspended',
    'it is deleted',
  ];
  test.each([
    [2, 1, 1, few],
    [2, 1, 2, ['the operator is killed', 'it is suspended', 'it is deleted']],
    [3, 2, 0, []],
  ])('%i agents that share %i places, at most %i disturbances', (size, limit, budget, disturbances) => {
    const { finding, states, transitions, depth } = exploreFlock({ size, limit, budget, disturbances });
    console.info(
      `model check: ${size} agents, ${limit} places, ${budget} of ${disturbances.length} disturbances, ${states} states, ${transitions} transitions, depth ${depth}`,
    );
    expect(finding).toBeUndefined();
  });
});

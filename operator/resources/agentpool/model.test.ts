import { describe, expect, test } from 'vitest';
import { explorePool, type PoolStory } from '../../testkit/model/explore-pool.ts';
import type { PoolDecide } from '../../testkit/model/pool-model.ts';
import { poolDisturbances } from '../../testkit/model/pool-world.ts';
import { decide, type PoolDecision, type PoolObserved } from './decide.ts';

/**
 * decide() against every order in which things can happen to a pool and its Agents: breadth first, none left out.
 * What must hold is in testkit/model/explore-pool.ts; more at once is tried by model.proof.test.ts.
 */
const surging: PoolStory = { replicas: 2, maxSurge: 1, maxUnavailable: 0, budget: 1 };
const sparing: PoolStory = { replicas: 3, maxSurge: 0, maxUnavailable: 1, budget: 1 };
const patient: PoolStory = { replicas: 2, maxSurge: 1, maxUnavailable: 0, minReadySeconds: 10, budget: 1 };
const paused: PoolStory = { ...surging, budget: 2, disturbances: ['it is paused', 'its template is another'] };

describe('every story of', { timeout: 120_000 }, () => {
  test.each<[string, PoolStory]>([
    ['a pool that nothing happens to', { ...surging, budget: 0 }],
    ['a pool that makes new Agents before it takes old ones away', surging],
    ['a pool that takes old Agents away before it makes new ones', sparing],
    ['a pool whose Agents count after ten seconds', patient],
    ['a pool whose template changes while it is paused', paused],
  ])('%s ends with what is asked for, and breaks no rule on the way', (name, story) => {
    const { finding, states, transitions, depth, taken } = explorePool(story);
    const kinds = story.disturbances ?? Object.keys(poolDisturbances);
    console.info(
      `model check: ${name}: ${story.budget} of ${kinds.length} disturbances, ${states} states, ${transitions} transitions, depth ${depth}`,
    );
    expect(finding).toBeUndefined();
    // What changes nothing is no disturbance.
    const idle = ['its template is the first again', `it is scaled to ${story.replicas}`];
    const possible = kinds.filter((kind) => !idle.includes(kind) && story.budget > 0);
    expect(possible.filter((kind) => !taken.has(kind))).toEqual([]);
  });
});

describe('the model check finds', { timeout: 60_000 }, () => {
  const instead =
    (change: (decision: PoolDecision, observed: PoolObserved) => PoolDecision): PoolDecide =>
    (observed, now) =>
      change(decide(observed, now), observed);
  const seeing =
    (change: (observed: PoolObserved) => PoolObserved): PoolDecide =>
    (observed, now) =>
      decide(change(observed), now);
  const withPool = (spec: (of: NonNullable<PoolObserved['pool']>['spec']) => object): PoolDecide =>
    seeing((observed) => {
      const { pool } = observed;
      return pool === undefined
        ? observed
        : { ...observed, pool: { ...pool, spec: { ...pool.spec, ...spec(pool.spec) } } };
    });

  test.each<[string, PoolStory, PoolDecide]>([
    [
      'an Agent too many',
      surging,
      withPool(() => ({ updateStrategy: { rollingUpdate: { maxSurge: 2, maxUnavailable: 0 } } })),
    ],
    [
      'an Agent too few',
      surging,
      withPool(() => ({ updateStrategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } } })),
    ],
    ['Agents that are never replaced', surging, withPool(() => ({ updateStrategy: { type: 'OnDelete' } }))],
    ['Agents replaced while it is paused', paused, withPool(() => ({ paused: false }))],
    [
      'Agents that are missed when they go',
      surging,
      instead((d) => ({ ...d, plan: d.plan.filter(({ kind }) => kind !== 'create') })),
    ],
    [
      'Agents beyond the number, left',
      surging,
      instead((d) => ({ ...d, plan: d.plan.filter(({ kind }) => kind !== 'delete') })),
    ],
    [
      'Agents that go counted as gone',
      sparing,
      seeing((observed) => ({ ...observed, members: observed.members.filter(({ terminating }) => !terminating) })),
    ],
    ['Agents that are to stay, deleted', surging, seeing((observed) => ({ ...observed, orphaning: false }))],
    [
      'a pool told of as deleted with Agents left',
      surging,
      seeing((observed) => (observed.pool === undefined ? { ...observed, members: [] } : observed)),
    ],
    [
      'a deadline nobody waits for',
      patient,
      instead((d) => (d.transitions.length > 0 ? d : { ...d, outcome: { kind: 'settled' } })),
    ],
    ['Agents that count at once', patient, withPool(() => ({ minReadySeconds: 0 }))],
    ['a status that is not written', surging, instead(({ status: _, ...decision }) => decision)],
    [
      'Agents made that nobody recorded',
      surging,
      seeing((observed) =>
        observed.history.kind === 'known'
          ? observed
          : {
              ...observed,
              history: {
                kind: 'known',
                last: {
                  seq: 1,
                  to: 'Created',
                  observedAt: 0,
                  tenantId: 'acme',
                  detail: { namespace: 'research', name: 'herd', replicas: 2, revision: '' },
                },
              },
            },
      ),
    ],
  ])('%s', (_what, story, broken) => {
    expect(explorePool(story, broken).finding).toBeDefined();
  });
});

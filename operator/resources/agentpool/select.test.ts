import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isAvailable, type Member } from './member.ts';
import { deletionOrder, type Goal, nextStep, share } from './select.ts';

const now = 1_000_000;

type Given = Partial<Omit<Member, 'object'>>;

function aMember(given: Given = {}): Member {
  const name = given.name ?? 'a';
  return {
    name,
    uid: `uid-${name}`,
    revision: 'new',
    createdAt: 0,
    terminating: false,
    unschedulable: false,
    readySince: 0,
    failedSince: undefined,
    object: {} as Member['object'],
    ...given,
  };
}

function aGoal(over: Partial<Goal> = {}): Goal {
  return {
    replicas: 4,
    revision: 'new',
    maxSurge: 1,
    maxUnavailable: 1,
    rolling: true,
    held: false,
    minReadyMs: 0,
    ...over,
  };
}

const old = { revision: 'old' } as const;
const unready = { readySince: undefined } as const;
const failed = { readySince: undefined, failedSince: 5 } as const;
const several = (count: number, given: Given, prefix: string) =>
  Array.from({ length: count }, (_, index) => aMember({ ...given, name: `${prefix}${index}` }));
const names = (members: readonly Member[]) => members.map((member) => member.name);

describe('a share', () => {
  test.each([
    [3, 10, 'up', 3],
    ['25%', 10, 'up', 3],
    ['25%', 10, 'down', 2],
    ['0%', 10, 'up', 0],
    ['100%', 7, 'down', 7],
  ] as const)('%s of %i, rounded %s, is %i', (value, total, round, expected) => {
    expect(share(value, total, round)).toBe(expected);
  });
});

describe('deletion order', () => {
  test('failed, unready, not yet available, available; of equals the outdated and then the newest first', () => {
    const members = [
      aMember({ name: 'available-old-revision', ...old }),
      aMember({ name: 'available' }),
      aMember({ name: 'available-newer', createdAt: 9 }),
      aMember({ name: 'just-ready', readySince: now - 1 }),
      aMember({ name: 'unready', ...unready }),
      aMember({ name: 'unready-old-revision', ...unready, ...old }),
      aMember({ name: 'failed', ...failed }),
    ];
    expect(names(deletionOrder(members, aGoal({ minReadyMs: 10 }), now))).toEqual([
      'failed',
      'unready-old-revision',
      'unready',
      'just-ready',
      'available-old-revision',
      'available-newer',
      'available',
    ]);
  });
});

describe('the next step', () => {
  const cases: readonly (readonly [
    string,
    readonly Member[],
    Partial<Goal>,
    { readonly create: number; readonly remove: number },
  ])[] = [
    ['starts slowly: one', [], {}, { create: 1, remove: 0 }],
    ['then as many as there are', several(2, {}, 'a'), { replicas: 10 }, { create: 2, remove: 0 }],
    ['but no more than are missing', several(8, {}, 'a'), { replicas: 10 }, { create: 2, remove: 0 }],
    ['is nothing when all is well', several(4, {}, 'a'), {}, { create: 0, remove: 0 }],
    ['takes away what is too many', several(6, {}, 'a'), {}, { create: 0, remove: 2 }],
    ['takes all away for none wanted', several(3, {}, 'a'), { replicas: 0 }, { create: 0, remove: 3 }],
    [
      'does not replace what is still on its way out',
      several(4, { terminating: true }, 'a'),
      {},
      { create: 0, remove: 0 },
    ],
    ['does not replace what has failed', several(4, failed, 'a'), {}, { create: 0, remove: 0 }],
    ['of a roll-out: one more and one less', several(4, old, 'o'), {}, { create: 1, remove: 1 }],
    ['of a roll-out without surge: one less', several(4, old, 'o'), { maxSurge: 0 }, { create: 0, remove: 1 }],
    ['of a roll-out without loss: one more', several(4, old, 'o'), { maxUnavailable: 0 }, { create: 1, remove: 0 }],
    [
      'of a roll-out without loss waits for the new one',
      [...several(4, old, 'o'), aMember({ name: 'n', ...unready })],
      { maxUnavailable: 0 },
      { create: 0, remove: 0 },
    ],
    [
      'of a roll-out without loss goes on when the new one is available',
      [...several(4, old, 'o'), aMember({ name: 'n' })],
      { maxUnavailable: 0 },
      { create: 0, remove: 1 },
    ],
    [
      'of a roll-out counts what is on its way out',
      [...several(3, old, 'o'), aMember({ name: 't', ...old, terminating: true }), aMember({ name: 'n' })],
      {},
      { create: 0, remove: 1 },
    ],
    [
      'of a roll-out heals: what does not work goes first',
      several(4, { ...old, ...failed }, 'o'),
      {},
      { create: 1, remove: 1 },
    ],
    ['OnDelete leaves outdated ones alone', several(4, old, 'o'), { rolling: false }, { create: 0, remove: 0 }],
    ['OnDelete replaces one that was deleted', several(3, old, 'o'), { rolling: false }, { create: 1, remove: 0 }],
    ['of a held roll-out is nothing', several(5, old, 'o'), { held: true }, { create: 0, remove: 0 }],
    ['of a held pool still scales down', several(6, failed, 'f'), { held: true }, { create: 0, remove: 2 }],
    ['of a held pool makes nothing', several(2, failed, 'f'), { held: true }, { create: 0, remove: 0 }],
    [
      'of a roll-out that is scaled down keeps the share available',
      [...several(7, old, 'o'), ...several(3, unready, 'n')],
      { replicas: 2, maxUnavailable: 0 },
      { create: 0, remove: 6 },
    ],
  ];
  test.each(cases)('%s', (_, members, goal, expected) => {
    const { create, remove } = nextStep(members, aGoal(goal), now);
    expect({ create, remove: remove.length }).toEqual(expected);
  });

  test('is bounded, however much is wanted', () => {
    expect(nextStep(several(900, {}, 'a'), aGoal({ replicas: 5_000 }), now).create).toBe(250);
    expect(nextStep(several(900, {}, 'a'), aGoal({ replicas: 0 }), now).remove).toHaveLength(250);
  });
});

const anyMembers: fc.Arbitrary<readonly Member[]> = fc
  .array(
    fc.record({
      revision: fc.constantFrom('old', 'new', undefined),
      createdAt: fc.nat(100),
      terminating: fc.boolean(),
      unschedulable: fc.boolean(),
      readySince: fc.option(fc.integer({ min: now - 20, max: now }), { nil: undefined }),
      failedSince: fc.option(fc.nat(100), { nil: undefined }),
    }),
    { maxLength: 24 },
  )
  .map((list) =>
    list.map((given, index) =>
      aMember({ ...given, name: `m${index}`, ...(given.failedSince === undefined ? {} : { readySince: undefined }) }),
    ),
  );
const anyGoal: fc.Arbitrary<Goal> = fc
  .record({
    replicas: fc.nat(16),
    revision: fc.constant('new'),
    maxSurge: fc.nat(8),
    maxUnavailable: fc.nat(8),
    rolling: fc.boolean(),
    held: fc.boolean(),
    minReadyMs: fc.constantFrom(0, 10),
  })
  .map((goal) => ({
    ...goal,
    maxUnavailable: Math.min(
      goal.maxSurge === 0 ? Math.max(1, goal.maxUnavailable) : goal.maxUnavailable,
      goal.replicas || 1,
    ),
  }));

describe('whatever stands and whatever is wanted,', () => {
  test('never more are made than replicas and maxSurge allow, those on their way out included', () => {
    fc.assert(
      fc.property(anyMembers, anyGoal, (members, goal) => {
        const { create } = nextStep(members, goal, now);
        if (create > 0) expect(members.length + create).toBeLessThanOrEqual(goal.replicas + goal.maxSurge);
      }),
      { numRuns: 2_000 },
    );
  });

  test('no available Agent is taken away below replicas - maxUnavailable', () => {
    fc.assert(
      fc.property(anyMembers, anyGoal, (members, goal) => {
        const available = (list: readonly Member[]) =>
          list.filter((member) => isAvailable(member, goal.minReadyMs, now)).length;
        const { remove } = nextStep(members, goal, now);
        const after = available(members.filter((member) => !remove.includes(member)));
        expect(after).toBeGreaterThanOrEqual(Math.min(available(members), goal.replicas - goal.maxUnavailable));
      }),
      { numRuns: 2_000 },
    );
  });

  test('nobody is deleted twice or while on the way out', () => {
    fc.assert(
      fc.property(anyMembers, anyGoal, (members, goal) => {
        const { remove } = nextStep(members, goal, now);
        expect(new Set(remove).size).toBe(remove.length);
        expect(remove.some((member) => member.terminating)).toBe(false);
      }),
    );
  });
});

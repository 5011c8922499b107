import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Condition,
  type ConditionFact,
  conditionsFrom,
  findCondition,
  isTrue,
  type Progress,
  removeCondition,
  sameStatus,
  setCondition,
  timestamp,
} from './conditions.ts';

const t0 = Date.parse('2030-01-01T00:00:00Z');
const ready: ConditionFact = { type: 'Ready', status: 'True', reason: 'AgentReady', message: 'The agent is ready.' };
const notReady: ConditionFact = { ...ready, status: 'False', reason: 'PodNotReady' };

describe('one condition', () => {
  test('keeps lastTransitionTime while its status stays, whatever else changes', () => {
    const first = setCondition([], notReady, { generation: 1, now: t0 });
    const second = setCondition(first, { ...notReady, reason: 'CrashLoop' }, { generation: 2, now: t0 + 5_000 });
    expect(second).toEqual([
      { ...notReady, reason: 'CrashLoop', observedGeneration: 2, lastTransitionTime: '2030-01-01T00:00:00Z' },
    ]);
    const third = setCondition(second, ready, { generation: 2, now: t0 + 9_000 });
    expect(findCondition(third, 'Ready')?.lastTransitionTime).toBe('2030-01-01T00:00:09Z');
  });

  test('can be found, asked for and removed', () => {
    const list = setCondition([], ready, { generation: 1, now: t0 });
    expect(isTrue(list, 'Ready')).toBe(true);
    expect(isTrue(list, 'Stalled')).toBe(false);
    expect(removeCondition(list, 'Ready')).toEqual([]);
  });

  test('times are whole seconds, as Kubernetes writes them', () => {
    expect(timestamp(t0 + 999)).toBe('2030-01-01T00:00:00Z');
  });
});

describe('all conditions', () => {
  const facts = fc.uniqueArray(
    fc.record({
      type: fc.constantFrom('Ready', 'EventsPublished', 'TenantReady', 'PodScheduled'),
      status: fc.constantFrom('True' as const, 'False' as const, 'Unknown' as const),
      reason: fc.constantFrom('A', 'B'),
      message: fc.constantFrom('a', 'b'),
    }),
    { selector: (fact) => fact.type },
  );
  const progress = fc.constantFrom<Progress>(
    { kind: 'steady' },
    { kind: 'reconciling', reason: 'Starting', message: 'm' },
    { kind: 'stalled', reason: 'InvalidSpec', message: 'm' },
  );

  test('Reconciling and Stalled are there only while True, and never both', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(facts, progress), { minLength: 1 }), (steps) => {
        let list: readonly Condition[] = [];
        for (const [given, going] of steps) {
          list = conditionsFrom(given, going, list, { generation: 1, now: t0 });
          const shown = list.filter(({ type }) => type === 'Reconciling' || type === 'Stalled');
          expect(shown.length).toBe(going.kind === 'steady' ? 0 : 1);
          expect(shown.every(({ status }) => status === 'True')).toBe(true);
          expect(list.length).toBe(given.length + shown.length);
        }
      }),
    );
  });

  test('the order of the facts does not matter, and saying the same later changes nothing', () => {
    fc.assert(
      fc.property(facts, progress, (given, going) => {
        const stamp = { generation: 3, now: t0 };
        const list = conditionsFrom(given, going, [], stamp);
        expect(conditionsFrom([...given].reverse(), going, [], stamp)).toEqual(list);
        expect(conditionsFrom(given, going, list, { generation: 3, now: t0 + 60_000 })).toEqual(list);
      }),
    );
  });

  test('what is not said any more goes, and every condition carries the new generation', () => {
    const before = conditionsFrom([ready, { ...notReady, type: 'TenantReady' }], { kind: 'steady' }, [], {
      generation: 1,
      now: t0,
    });
    const after = conditionsFrom([ready], { kind: 'steady' }, before, { generation: 2, now: t0 + 1_000 });
    expect(after).toEqual([{ ...ready, observedGeneration: 2, lastTransitionTime: timestamp(t0) }]);
  });
});

describe('equality of statuses', () => {
  test.each([
    ['key order does not matter', { a: 1, b: { c: 2, d: 3 } }, { b: { d: 3, c: 2 }, a: 1 }, true],
    ['undefined is absent', { a: 1, b: undefined, c: [{ d: undefined }] }, { a: 1, c: [{}] }, true],
    ['list order matters', { a: [1, 2] }, { a: [2, 1] }, false],
    ['a missing key matters', { a: 1 }, { a: 1, b: null }, false],
  ])('%s', (_, left, right, same) => {
    expect(sameStatus(left, right)).toBe(same);
  });
});

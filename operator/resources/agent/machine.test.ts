import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AgentPhase } from '../../api/v1alpha1/phases.ts';
import { AgentReason } from '../../api/v1alpha1/reasons.ts';
import type { AgentFacts } from './facts.ts';
import { attemptStarts, type MachineState, startsAttempt, step, transitions, walk } from './machine.ts';

/** A present agent whose pod is not there yet and that has nothing to complain of. */
const calm: AgentFacts = {
  absent: false,
  podsGone: true,
  claimsGone: true,
  admitted: true,
  specOutdated: false,
  specChanged: false,
  suspendWanted: false,
  suspendBegun: false,
  sessionExpired: false,
  podSucceeded: false,
  retryDue: false,
  attemptsLeft: true,
  startDeadlinePassed: false,
  podTrouble: undefined,
  waitingFor: undefined,
  podScheduled: false,
  containerStarted: false,
  podReady: false,
  readyLongEnough: true,
};

const facts = (overrides: Partial<AgentFacts> = {}): AgentFacts => ({ ...calm, ...overrides });
const readyPod = facts({ podsGone: false, podScheduled: true, containerStarted: true, podReady: true });
const states = [...new Set<MachineState>(transitions.flatMap((rule) => [...rule.from, rule.to]))];

const anyFacts: fc.Arbitrary<AgentFacts> = fc.record({
  absent: fc.boolean(),
  podsGone: fc.boolean(),
  claimsGone: fc.boolean(),
  admitted: fc.boolean(),
  specOutdated: fc.boolean(),
  specChanged: fc.boolean(),
  suspendWanted: fc.boolean(),
  suspendBegun: fc.boolean(),
  sessionExpired: fc.boolean(),
  podSucceeded: fc.boolean(),
  retryDue: fc.boolean(),
  attemptsLeft: fc.boolean(),
  startDeadlinePassed: fc.boolean(),
  podTrouble: fc.constantFrom(undefined, 'PodLost', 'PodFailed', 'CrashLoop'),
  waitingFor: fc.constantFrom(undefined, 'Unschedulable', 'ImagePullFailed'),
  podScheduled: fc.boolean(),
  containerStarted: fc.boolean(),
  podReady: fc.boolean(),
  readyLongEnough: fc.boolean(),
});

describe('the table of transitions', () => {
  test('reaches every phase it names from New', () => {
    const reached = new Set<MachineState>(['New']);
    for (let size = 0; size !== reached.size; ) {
      size = reached.size;
      for (const rule of transitions) if (rule.from.some((state) => reached.has(state))) reached.add(rule.to);
    }
    expect([...reached].sort()).toEqual([...states].sort());
  });

  test('has no exit from Deleted and one from Terminating', () => {
    expect(transitions.filter((rule) => rule.from.includes('Deleted'))).toEqual([]);
    expect(transitions.filter((rule) => rule.from.includes('Terminating')).map((rule) => rule.to)).toEqual(['Deleted']);
  });

  test('never enters New, and leaves it for Created alone', () => {
    expect(transitions.some((rule) => (rule.to as MachineState) === 'New')).toBe(false);
    expect(transitions.filter((rule) => rule.from.includes('New')).map((rule) => rule.to)).toEqual(['Created']);
  });

  test('lets every phase but Deleted go on to Terminating when the agent is deleted', () => {
    const alive = states.filter((state) => !['New', 'Terminating', 'Deleted'].includes(state));
    for (const state of alive) expect(step(state, facts({ absent: true }))?.to).toBe('Terminating');
  });

  test('records only phases of the contract', () => {
    for (const rule of transitions) expect(Object.keys(AgentPhase)).toContain(rule.to);
  });

  test('gives only reasons that api/ documents', () => {
    fc.assert(
      fc.property(anyFacts, (some) => {
        for (const { reason } of transitions) {
          expect(Object.keys(AgentReason)).toContain(typeof reason === 'function' ? reason(some) : reason);
        }
      }),
    );
  });

  test('has no row that an earlier one hides for every fact', () => {
    const taken = new Set<number>();
    fc.assert(
      fc.property(fc.constantFrom(...states), anyFacts, (state, some) => {
        const rule = step(state, some);
        if (rule !== undefined) taken.add(transitions.indexOf(rule));
      }),
      { numRuns: 200_000, seed: 1 },
    );
    expect(taken.size).toBe(transitions.length);
  });
});

describe('step', () => {
  test.each<[string, MachineState, AgentFacts, MachineState | undefined]>([
    ['an agent that may run is Created', 'New', facts(), 'Created'],
    ['an agent that may not run stays unrecorded', 'New', facts({ admitted: false }), undefined],
    [
      'an agent deleted before anything was recorded leaves no record',
      'New',
      facts({ absent: true, admitted: false }),
      undefined,
    ],
    ['no node yet: Created', 'Created', facts(), undefined],
    ['a node was found', 'Created', facts({ podScheduled: true }), 'Scheduled'],
    ['a container runs', 'Scheduled', facts({ podScheduled: true, containerStarted: true }), 'Starting'],
    ['the pod is Ready', 'Starting', readyPod, 'Ready'],
    ['a pod on probation after a crash loop', 'Starting', { ...readyPod, readyLongEnough: false }, undefined],
    ['readiness lost', 'Ready', { ...readyPod, podReady: false }, 'NotReady'],
    ['readiness back', 'NotReady', readyPod, 'Ready'],
    [
      'NotReady has no start deadline',
      'NotReady',
      { ...readyPod, podReady: false, startDeadlinePassed: true },
      undefined,
    ],
    ['Ready has no start deadline', 'Ready', { ...readyPod, startDeadlinePassed: true }, undefined],
    [
      'a pod Ready in time but on probation outlives the deadline',
      'Starting',
      { ...readyPod, readyLongEnough: false, startDeadlinePassed: true },
      undefined,
    ],
    ['not Ready by the deadline', 'Starting', facts({ startDeadlinePassed: true }), 'Recovering'],
    [
      'not Ready by the deadline, the last attempt',
      'Starting',
      facts({ startDeadlinePassed: true, attemptsLeft: false }),
      'Failed',
    ],
    ['the pod is lost', 'Ready', facts({ podTrouble: 'PodLost' }), 'Recovering'],
    ['the pod is lost, the last attempt', 'Ready', facts({ podTrouble: 'PodLost', attemptsLeft: false }), 'Failed'],
    ['no pod of a new attempt is no loss', 'Recovering', facts({ podTrouble: 'PodLost' }), undefined],
    [
      'a failed agent rests',
      'Failed',
      facts({ podTrouble: 'PodLost', attemptsLeft: false, startDeadlinePassed: true }),
      undefined,
    ],
    ['a failed agent is tried again', 'Failed', facts({ retryDue: true }), 'Recovering'],
    ['a new spec heals a failed agent', 'Failed', facts({ specChanged: true, retryDue: true }), 'Replacing'],
    [
      'a new spec comes before the trouble of the old pod',
      'Ready',
      facts({ specChanged: true, podTrouble: 'CrashLoop' }),
      'Replacing',
    ],
    [
      'deletion comes before everything',
      'Starting',
      facts({ absent: true, specChanged: true, podTrouble: 'PodLost' }),
      'Terminating',
    ],
    ['a pod is left of a deleted agent', 'Terminating', facts({ absent: true, podsGone: false }), undefined],
    ['no pod is left of a deleted agent', 'Terminating', facts({ absent: true }), 'Deleted'],
  ])('%s', (_name, from, some, to) => {
    expect(step(from, some)?.to).toBe(to);
  });

  test('says why the pod failed', () => {
    const rule = step('Ready', facts({ podTrouble: 'CrashLoop' }));
    expect(typeof rule?.reason === 'function' && rule.reason(facts({ podTrouble: 'CrashLoop' }))).toBe('CrashLoop');
  });

  test('names what the pod was waiting for when the deadline passed', () => {
    const late = facts({ startDeadlinePassed: true, waitingFor: 'ImagePullFailed' });
    const rule = step('Scheduled', late);
    expect(typeof rule?.reason === 'function' && rule.reason(late)).toBe('ImagePullFailed');
  });
});

describe('walk', () => {
  const path = (from: MachineState, some: AgentFacts) => walk(from, some).map((rule) => rule.to);

  test('records every phase between that one look proves', () => {
    expect(path('Created', readyPod)).toEqual(['Scheduled', 'Starting', 'Ready']);
  });

  test('ends where an attempt begins: its pod is not there to be read', () => {
    expect(path('New', readyPod)).toEqual(['Created']);
    expect(path('Scheduled', facts({ podScheduled: true, podTrouble: 'PodFailed' }))).toEqual(['Recovering']);
    expect(path('Ready', { ...readyPod, specChanged: true })).toEqual(['Replacing']);
  });

  test('ends at Failed, though the retry may be due at once', () => {
    expect(path('Scheduled', facts({ podTrouble: 'PodFailed', attemptsLeft: false, retryDue: true }))).toEqual([
      'Failed',
    ]);
  });

  test('takes an agent without pods from alive to Deleted in one look', () => {
    expect(path('Ready', facts({ absent: true }))).toEqual(['Terminating', 'Deleted']);
  });

  test('comes to rest for every phase and all facts, and the step after it is none, or a new attempt', () => {
    fc.assert(
      fc.property(fc.constantFrom(...states), anyFacts, (from, some) => {
        const rules = walk(from, some);
        const end = rules.at(-1)?.to ?? from;
        expect(new Set(rules.map((rule) => rule.to)).size).toBe(rules.length);
        if (rules.length > 0 && (startsAttempt(end) || end === 'Failed' || end === 'Completed')) return;
        expect(step(end, some)).toBeUndefined();
      }),
      { numRuns: 5_000 },
    );
  });

  test('passes through the start of an attempt only as its last step', () => {
    fc.assert(
      fc.property(fc.constantFrom(...states), anyFacts, (from, some) => {
        expect(
          walk(from, some)
            .slice(0, -1)
            .some((rule) => startsAttempt(rule.to)),
        ).toBe(false);
      }),
    );
    expect(attemptStarts).toEqual(['Created', 'Recovering', 'Replacing']);
  });
});

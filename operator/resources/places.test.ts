import { describe, expect, test } from 'vitest';
import { AgentPhase } from '../api/v1alpha1/phases.ts';
import { transitions } from './agent/machine.ts';
import { holdsPlace, placeRules } from './places.ts';

const { agent, agentpool } = placeRules;

describe('a place of the quota', () => {
  test('is held from the first row on', () => {
    expect([holdsPlace(agent, undefined), holdsPlace(agent, { to: 'Created' })]).toEqual([false, true]);
    expect([holdsPlace(agentpool, undefined), holdsPlace(agentpool, { to: 'Created' })]).toEqual([false, true]);
  });

  test.each(['Suspended', 'Completed', 'Failed', 'Deleted'])('is not held in %s', (to) => {
    expect(holdsPlace(agent, { to })).toBe(false);
  });

  test.each(['Scheduled', 'Ready', 'NotReady', 'Recovering', 'Replacing', 'Suspending'])('is held in %s', (to) => {
    expect(holdsPlace(agent, { to })).toBe(true);
  });

  test('is kept until the last pod is gone by who held one, and not taken by who did not', () => {
    expect(holdsPlace(agent, { from: 'Ready', to: 'Terminating' })).toBe(true);
    expect(holdsPlace(agent, { from: 'Failed', to: 'Terminating' })).toBe(false);
  });

  test('names phases that there are', () => {
    for (const phase of [...agent.resting, agent.leaving]) expect(Object.values(AgentPhase)).toContain(phase);
  });

  // Another rule that leads out of a resting phase would have to ask for a place as well.
  test('is taken by no more ways of the machine than these', () => {
    const takes = transitions.flatMap(({ from, to }) =>
      from
        .filter(
          (each) =>
            !holdsPlace(agent, each === 'New' ? undefined : { to: each }) && holdsPlace(agent, { from: each, to }),
        )
        .map((each) => `${each} → ${to}`),
    );
    expect(takes.toSorted()).toEqual([
      'Completed → Replacing',
      'Failed → Recovering',
      'Failed → Replacing',
      'New → Created',
      'Suspended → Created',
    ]);
  });
});

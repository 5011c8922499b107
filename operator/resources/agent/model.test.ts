import { afterEach, describe, expect, test } from 'vitest';
import type { Decide } from '../../testkit/model/agent-model.ts';
import { exploreAgent } from '../../testkit/model/agent-rules.ts';
import { exploreFlock } from '../../testkit/model/flock-model.ts';
import { type AgentDecision, decide } from './decide.ts';
import { type MachineState, type RecordedPhase, type TransitionRule, transitions } from './machine.ts';

/**
 * decide() against every order in which things can happen to an agent: breadth first, none left out. What must hold
 * is in testkit/model/agent-rules.ts; more disturbances at once are tried by model.proof.test.ts.
 */
const few = [
  'the operator is killed',
  'the pod vanishes',
  'the pod crashes again and again',
  'the broker goes away',
  'its spec is another',
  'it is suspended',
  'it is deleted',
];

describe('every story of an agent', { timeout: 120_000 }, () => {
  test.each([0, 1])('with at most %i disturbances ends where it should, and breaks no rule on the way', (budget) => {
    const { finding, states, transitions: moves } = exploreAgent(budget);
    console.info(`model check: ${budget} disturbances, ${states} states, ${moves} transitions`);
    expect(finding).toBeUndefined();
  });
});

describe('every story of agents that share the places of a quota', { timeout: 120_000 }, () => {
  test.each([
    [2, 1],
    [3, 1],
  ])('%i agents, %i places', (size, limit) => {
    const { finding, states, transitions: moves } = exploreFlock({ size, limit, budget: 0, disturbances: [] });
    console.info(`model check: ${size} agents, ${limit} places, ${states} states, ${moves} transitions`);
    expect(finding).toBeUndefined();
  });
});

describe('the model check notices', { timeout: 60_000 }, () => {
  const table = transitions as TransitionRule[];
  const sound = [...transitions];
  afterEach(() => void table.splice(0, table.length, ...sound));

  const without = (to: RecordedPhase, from: MachineState) => () => {
    const kept = sound.filter((rule) => rule.to !== to || !rule.from.includes(from));
    expect(kept.length).toBeLessThan(sound.length);
    table.splice(0, table.length, ...kept);
    return decide;
  };
  const always = (to: RecordedPhase, when: TransitionRule['when']) => () => {
    table.splice(0, table.length, ...sound.map((rule) => (rule.to === to ? { ...rule, when } : rule)));
    return decide;
  };
  const instead = (change: (decision: AgentDecision) => AgentDecision) => (): Decide => (observed, now) =>
    change(decide(observed, now));

  test.each<[string, () => Decide]>([
    ['a spec that changes nothing', without('Replacing', 'Ready')],
    ['a Failed agent that is never tried again', without('Recovering', 'Failed')],
    ['a start that may take for ever', without('Failed', 'Created')],
    ['a pod that is lost and not missed', without('Recovering', 'Ready')],
    ['Suspended while the pod still runs', always('Suspended', (facts) => facts.suspendWanted)],
    ['Deleted while the pod still runs', always('Deleted', (facts) => facts.absent)],
    [
      'a phase that is skipped',
      () => {
        table.unshift({ ...(sound.at(-3) as TransitionRule), from: ['Created'], when: (facts) => facts.podReady });
        return decide;
      },
    ],
    ['a deadline nobody scheduled', instead((decision) => ({ ...decision, outcome: { kind: 'settled' } }))],
    ['pods that are never deleted', instead((d) => ({ ...d, plan: d.plan.filter(({ kind }) => kind !== 'delete') }))],
    ['a status that is not written', instead(({ status: _, ...decision }) => decision)],
    [
      'Ready shown before it is told',
      () => (observed, now) => {
        const { history } = observed;
        if (history.kind === 'unavailable' || history.last === undefined) return decide(observed, now);
        const last = { ...history.last, event: { ...history.last.event, state: 'Published' as const } };
        return decide({ ...observed, history: { ...history, last } }, now);
      },
    ],
    ['a pod made again before it is seen', () => (observed, now) => decide({ ...observed, podOnItsWay: false }, now)],
  ])('%s', (_what, broken) => {
    const mutant = broken();
    const { finding } = exploreAgent(1, { decide: mutant });
    expect(finding ?? exploreAgent(2, { decide: mutant, disturbances: few }).finding).toBeDefined();
  });
});

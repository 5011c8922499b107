import { describe, expect, test } from 'vitest';
import { AgentPhase } from '../../api/v1alpha1/phases.ts';
import { allMoves, allRows, coverPass, emptyCoverage } from '../../testkit/model/coverage.ts';
import { disturbances } from '../../testkit/model/disturbances.ts';
import { exploreAgent } from '../../testkit/model/explore-agent.ts';
import { exploreFlock } from '../../testkit/model/flock-model.ts';
import { look } from '../../testkit/model/operator-model.ts';
import { beginning } from '../../testkit/model/state.ts';
import { shortStories } from '../../testkit/model/stories.ts';
import { decide } from './decide.ts';
import { type TransitionRule, transitions } from './machine.ts';

/**
 * decide() against every order in which things can happen to an agent: breadth first, none left out. What must hold
 * is in testkit/model/agent-rules.ts, what is tried in stories.ts; more at once is tried by model.proof.test.ts, and
 * that a mistake would be noticed by model-mutants.test.ts.
 */
const coverage = emptyCoverage();

describe('every story of', { timeout: 120_000 }, () => {
  test.each(Object.entries(shortStories))('%s ends where it should, and breaks no rule on the way', (name, story) => {
    const { finding, states, transitions: moves, depth } = exploreAgent(story, { coverage });
    const kinds = story.disturbances?.length ?? Object.keys(disturbances).length;
    console.info(
      `model check: ${name}: ${story.budget} of ${kinds} disturbances, ${states} states, ${moves} transitions, depth ${depth}`,
    );
    expect(finding).toBeUndefined();
  });

  test.each([
    [2, 1],
    [3, 1],
  ])('%i agents that share %i places of a quota', (size, limit) => {
    const { finding, states, transitions: moves, depth } = exploreFlock({ size, limit, budget: 0, disturbances: [] });
    console.info(
      `model check: ${size} agents, ${limit} places, ${states} states, ${moves} transitions, depth ${depth}`,
    );
    expect(finding).toBeUndefined();
  });
});

describe('in these stories', () => {
  test('every row of the table of phases is taken, from each phase it may be left from', () => {
    console.info(`model check: ${coverage.rows.size} of ${allRows().length} rows (phase × fact) taken`);
    expect(allRows().filter((row) => !coverage.rows.has(row))).toEqual([]);
  });

  test('every move of the consistency machine is taken', () => {
    console.info(`model check: ${coverage.moves.size} of ${allMoves().length} moves of events taken`);
    expect(allMoves().filter((move) => !coverage.moves.has(move))).toEqual([]);
  });

  test('everything that may happen does, and a change of the spec in every phase of an Agent that stands', () => {
    expect(Object.keys(disturbances).filter((name) => !coverage.phases.has(name))).toEqual([]);
    const edits = ['its spec is another', 'its spec is the first again'];
    const phases = new Set(edits.flatMap((name) => [...(coverage.phases.get(name) ?? [])]));
    expect(Object.values(AgentPhase).filter((phase) => !phases.has(phase))).toEqual([
      AgentPhase.Pending, // never recorded: the stories have it as New
      AgentPhase.Terminating,
      AgentPhase.Deleted,
    ]);
    expect(phases).toContain('New');
  });

  test('a row that nothing leads to would be missed', () => {
    const table = transitions as TransitionRule[];
    const [, second] = transitions;
    table.push({ ...(second as TransitionRule), from: ['Deleted'], when: () => false, guard: 'the end of time' });
    try {
      expect(allRows().filter((row) => !coverage.rows.has(row))).toEqual(['Deleted → Deleted: the end of time']);
    } finally {
      table.pop();
    }
  });

  test('a row counts as taken where its own guard held, and not another’s that leads to the same phase', () => {
    const own = emptyCoverage();
    const state = beginning(0);
    const observed = look(state);
    if (observed === 'unsynced') throw new Error('a look at the beginning');
    coverPass(own, state, observed, decide(observed, state.now));
    expect([...own.rows]).toEqual(['New → Created: it belongs to a tenant and can run']);
  });
});

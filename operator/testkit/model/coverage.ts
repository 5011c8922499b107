import type { AgentDecision } from '../../resources/agent/decide.ts';
import { type AgentObserved, agentFacts } from '../../resources/agent/facts.ts';
import { type TransitionRule, transitions } from '../../resources/agent/machine.ts';
import { consistencyMoves } from '../../store/tables/consistency.ts';
import { eventCourses, eventMoves, eventTroubles } from './outbox-model.ts';
import { lastOf, type ModelState } from './state.ts';

/** What of the two machines was taken in the stories that were explored, and in which phases what happened. */
export type Coverage = {
  /** `from → to: guard`, a row of the table for each phase it may be left from. */
  readonly rows: Set<string>;
  /** `from → to by mover`. */
  readonly moves: Set<string>;
  /** For each disturbance the phases it came in. */
  readonly phases: Map<string, Set<string>>;
};

export function emptyCoverage(): Coverage {
  return { rows: new Set(), moves: new Set(), phases: new Map() };
}

/** Every row that the agent's table has. */
export function allRows(): readonly string[] {
  return transitions.flatMap((rule) => rule.from.map((from) => rowName(from, rule)));
}

/** Every move that the table of the consistency machine has. */
export function allMoves(): readonly string[] {
  return consistencyMoves.map(({ from, to, by }) => `${from} → ${to} by ${by}`);
}

function rowName(from: string, { to, guard }: TransitionRule): string {
  return `${from} → ${to}: ${guard}`;
}

/** Which row it was: the first of those that lead there whose guard holds, as the machine itself chooses. */
export function coverPass(
  coverage: Coverage,
  { now }: ModelState,
  observed: AgentObserved,
  decision: AgentDecision,
): void {
  if (decision.transitions.length === 0) return;
  const facts = agentFacts(observed, true, now);
  for (const { from, to } of decision.transitions) {
    const rule = transitions.find(
      (each) => each.to === to && (each.from as readonly string[]).includes(from) && each.when(facts),
    );
    if (rule !== undefined) coverage.rows.add(rowName(from, rule));
  }
}

export function coverMove({ phases, moves }: Coverage, name: string, from: ModelState, to: ModelState): void {
  const by = (eventCourses[name] ?? eventTroubles[name])?.by;
  if (by !== undefined) for (const move of eventMoves(from, to)) moves.add(`${move} by ${by}`);
  const known = phases.get(name) ?? new Set();
  phases.set(name, known.add(lastOf(from)?.to ?? 'New'));
}

import { type Disturbance, disturbances } from './disturbances.ts';
import type { Model, Move } from './explore.ts';
import { type OperatorOptions, operatorMoves } from './operator-model.ts';
import { beginning, type Change, type ModelState } from './state.ts';
import { courses, podCourses, type Touched, time } from './world.ts';

export type AgentModelOptions = OperatorOptions & {
  /** What happens to the agent beside what happens by itself, by name; everything there is unless it is given. */
  readonly disturbances?: readonly string[];
  /** How many of them happen at most in one story. */
  readonly budget: number;
  /** How the story begins, if not with the spec `first` and nothing else. */
  readonly start?: Parameters<typeof beginning>[1];
  /** Looks at every state, and at every move but the operator's own. @throws Violation */
  readonly onState: (state: ModelState) => void;
  readonly onMove?: (name: string, from: ModelState, to: ModelState) => void;
};

type Named = Omit<Move<ModelState>, 'fair'>;

export function agentModel(options: AgentModelOptions): Pick<Model<ModelState>, 'initial' | 'moves'> {
  const { budget, start, onState, onMove } = options;
  const chosen = Object.entries(disturbances).filter(([name]) => options.disturbances?.includes(name) ?? true);
  const moves = (state: ModelState): readonly Move<ModelState>[] => {
    onState(state);
    const others = [...taken(state, Object.entries(courses)), ...(meets(state, 'pods') ? podCourses(state) : [])];
    const fair = [...operatorMoves(state, options), ...others];
    const unfair = state.left > 0 ? taken(state, chosen) : [];
    for (const { name, to } of [...others, ...unfair]) onMove?.(name, state, to);
    const late = fair.length === 0 ? moveOf(state, time.name, time.change(state)) : [];
    return [
      ...[...fair, ...late].map((move) => ({ ...move, fair: true })),
      ...unfair.map(({ name, to }) => ({ name, to: { ...to, left: state.left - 1 }, fair: false })),
    ];
  };
  return { initial: beginning(budget, start), moves };
}

function taken(state: ModelState, changes: readonly (readonly [string, Disturbance])[]): readonly Named[] {
  return changes
    .filter(([, { on }]) => meets(state, on))
    .flatMap(([name, { change }]) => moveOf(state, name, change(state)));
}

function moveOf(state: ModelState, name: string, change: Change): readonly Named[] {
  return change === undefined ? [] : [{ name, to: { ...state, woken: true, ...change } }];
}

const met = { record: 'database', action: 'pods', status: 'agent' } as const;

/**
 * While a pass is in hand: only what may end differently before its next write than after it. The rest comes when
 * the pass has ended, to the same effect, because a pass looks once, at its beginning.
 */
function meets({ pass }: ModelState, on: Touched): boolean {
  const next = pass?.writes[0]?.kind;
  return next === undefined || on === 'operator' || on === met[next];
}

/** One thing that can happen in a state. `fair`: it happens sooner or later by itself, so nothing waits for it for ever. */
export type Move<State> = { readonly name: string; readonly to: State; readonly fair: boolean };

export type Model<State> = {
  readonly initial: State;
  /** Two states with one key behave alike: only the first is looked at. */
  readonly key: (state: State) => string;
  /** Everything that can happen next. @throws Violation when something happened that never may. */
  readonly moves: (state: State) => readonly Move<State>[];
  /** Whether the story may end here. */
  readonly isRest: (state: State) => boolean;
};

/** Something that must never happen, or never fail to. */
export class Violation extends Error {}

/** @throws Violation unless it holds. */
export function demand(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Violation(what);
}

export type Finding = {
  readonly what: string;
  /** The shortest way there, by the names of the moves. */
  readonly path: readonly string[];
};

export type Exploration = {
  readonly states: number;
  readonly transitions: number;
  /** Moves of the longest shortest way. */
  readonly depth: number;
  /** How often each move was taken. */
  readonly taken: ReadonlyMap<string, number>;
  /** The first thing found to be wrong. */
  readonly finding: Finding | undefined;
};

type Visited = { readonly parent: number; readonly move: string; readonly depth: number };

/**
 * Every state that can be reached, breadth first, so that what is found wrong comes with the shortest way to it.
 * Then, over the fair moves alone: whichever of them come in whichever order, the story ends, and where it may.
 * `limit` bounds the number of states: reaching it is a finding, never a pass.
 */
export function explore<State>(model: Model<State>, limit = 1_000_000): Exploration {
  const visited: Visited[] = [{ parent: -1, move: '', depth: 0 }];
  const index = new Map([[model.key(model.initial), 0]]);
  const queue: (State | undefined)[] = [model.initial];
  const graph: { readonly rest: boolean; readonly fair: readonly number[] }[] = [];
  const taken = new Map<string, number>();
  let transitions = 0;
  const result = (finding: Finding | undefined): Exploration => {
    return { states: visited.length, transitions, depth: visited.at(-1)?.depth ?? 0, taken, finding };
  };
  for (let at = 0; at < queue.length; at += 1) {
    const state = queue[at] as State;
    queue[at] = undefined;
    const fair: number[] = [];
    try {
      for (const move of model.moves(state)) {
        transitions += 1;
        taken.set(move.name, (taken.get(move.name) ?? 0) + 1);
        const key = model.key(move.to);
        const known = index.get(key) ?? visited.length;
        if (move.fair && known !== at) fair.push(known);
        if (known < visited.length) continue;
        index.set(key, known);
        visited.push({ parent: at, move: move.name, depth: (visited[at]?.depth ?? 0) + 1 });
        queue.push(move.to);
      }
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      return result({ what: error.message, path: pathTo(visited, at) });
    }
    graph.push({ rest: model.isRest(state), fair });
    if (visited.length > limit) return result({ what: `more than ${limit} states`, path: pathTo(visited, at) });
  }
  const restless = restlessState(graph);
  return result(restless && { what: restless.what, path: pathTo(visited, restless.at) });
}

function pathTo(visited: readonly Visited[], at: number): readonly string[] {
  const path: string[] = [];
  for (let step = visited[at]; step !== undefined && step.parent >= 0; step = visited[step.parent])
    path.push(step.move);
  return path.reverse();
}

type Graph = readonly { readonly rest: boolean; readonly fair: readonly number[] }[];

/** A state in which the story stops though it must not, or a circle of fair moves that passes no state of rest. */
function restlessState(graph: Graph): { readonly what: string; readonly at: number } | undefined {
  const done = new Uint8Array(graph.length);
  const [untouched, open, closed] = [0, 1, 2];
  for (let root = 0; root < graph.length; root += 1) {
    const stack = done[root] === untouched ? [{ at: root, next: 0 }] : [];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { rest, fair } = graph[top.at] as Graph[number];
      if (!rest && fair.length === 0)
        return { what: 'nothing happens any more, and this is no state of rest', at: top.at };
      const next = rest ? undefined : fair[top.next];
      done[top.at] = next === undefined ? closed : open;
      if (next === undefined) stack.pop();
      else if (done[next] === open) return { what: 'it goes round in circles and never comes to rest', at: next };
      else if (done[next] === untouched) stack.push({ at: next, next: 0 });
      top.next += 1;
    }
  }
  return undefined;
}

import { type MachineState, transitions } from './machine.ts';

/**
 * The table of transitions as a mermaid stateDiagram-v2: one arrow per row and phase it leaves from, in
 * the order of the table. A row that leaves from every phase of a living agent starts at one node that
 * stands for them all, so that the picture stays readable.
 */
export function agentDiagram(): string {
  const living = livingStates();
  const arrows = transitions.flatMap(({ from, to, guard }) => {
    const sources = isAll(from, living) ? [anyLiving] : from.map(nodeOf);
    // A semicolon ends a statement in mermaid.
    return sources.map((source) => `${source} --> ${to}: ${guard.replaceAll(';', ',')}`);
  });
  const lines = [`state "any phase of a living agent" as ${anyLiving}`, ...arrows, `Deleted --> ${startAndEnd}`];
  return `stateDiagram-v2\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

const anyLiving = 'Living';
const startAndEnd = '[*]';

/** Every phase from which an agent can still be deleted. */
function livingStates(): readonly MachineState[] {
  const all = new Set(transitions.flatMap((rule) => [...rule.from, rule.to]));
  return [...all].filter((state) => state !== 'New' && state !== 'Terminating' && state !== 'Deleted');
}

function isAll(states: readonly MachineState[], all: readonly MachineState[]): boolean {
  return all.every((state) => states.includes(state));
}

/** `New` is no phase: it is where mermaid's own start stands. */
function nodeOf(state: MachineState): string {
  return state === 'New' ? startAndEnd : state;
}

import { expect, test } from 'vitest';
import { agentDiagram } from './diagram.ts';
import { transitions } from './machine.ts';

const diagram = agentDiagram();
const labelOf = (guard: string) => guard.replaceAll(';', ',');
const lines = diagram.split('\n').map((line) => line.trim());
const arrows = lines.flatMap((line) => {
  const match = /^(\S+) --> (\S+?)(?:: (.+))?$/.exec(line);
  return match === null ? [] : [{ from: match[1], to: match[2], label: match[3] }];
});

test('is a mermaid state diagram, and a text that ends with one line end', () => {
  expect(lines[0]).toBe('stateDiagram-v2');
  expect(diagram).toMatch(/[^\n]\n$/);
});

test('begins where nothing is recorded and ends at Deleted', () => {
  expect(arrows.filter(({ from }) => from === '[*]').map(({ to }) => to)).toEqual(['Created']);
  expect(arrows.filter(({ to }) => to === '[*]').map(({ from }) => from)).toEqual(['Deleted']);
});

test('shows every row of the table with its guard, from every phase it leaves', () => {
  for (const { from, to, guard } of transitions) {
    for (const state of from) {
      const node = state === 'New' ? '[*]' : state;
      const shown = arrows.some(
        (arrow) => [node, 'Living'].includes(arrow.from ?? '') && arrow.to === to && arrow.label === labelOf(guard),
      );
      expect(shown, `${state} --> ${to}`).toBe(true);
    }
  }
});

test('shows no arrow that is not in the table', () => {
  for (const { from, to, label } of arrows.filter((arrow) => arrow.to !== '[*]')) {
    const rule = transitions.find((one) => one.to === to && labelOf(one.guard) === label);
    expect(rule, `${from} --> ${to}`).toBeDefined();
    if (from !== 'Living' && from !== '[*]') expect(rule?.from).toContain(from);
  }
});

test('holds no sign that mermaid would read as its own in a label', () => {
  for (const { label } of arrows) expect(label ?? '').not.toMatch(/[;:#{}"]/);
});

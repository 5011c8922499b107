import { describe, expect, test } from 'vitest';
import { ConsistencyState } from '../../api/v1alpha1/phases.ts';
import { consistencyMoves, shownConsistency, sourcesOf } from './consistency.ts';
import { OutboxState } from './outbox.ts';

const states = Object.values(OutboxState);

describe('the consistency machine', () => {
  test('reaches every state from Pending', () => {
    const reached = new Set<OutboxState>(['Pending']);
    for (const _ of states) {
      for (const { from, to } of consistencyMoves) if (reached.has(from)) reached.add(to);
    }
    expect([...reached].sort()).toEqual([...states].sort());
  });

  test('acknowledges only what is published', () => {
    expect(sourcesOf('Acknowledged', 'ack watcher')).toEqual(['Published']);
    expect(consistencyMoves.filter(({ to }) => to === 'Acknowledged')).toHaveLength(1);
  });

  test('never leaves Skipped, and Expired only for who asks', () => {
    const ends = consistencyMoves.filter(({ from }) => /Skipped|Expired/.test(from));
    expect(ends.map(({ from, by }) => [from, by])).toEqual([['Expired', 'replay']]);
  });

  test('has no move twice', () => {
    const moves = consistencyMoves.map(({ from, to, by }) => `${from} ${to} ${by}`);
    expect(new Set(moves).size).toBe(moves.length);
  });

  test.each(states)('%s is shown as a state of the contract', (state) => {
    expect(Object.values(ConsistencyState)).toContain(shownConsistency(state));
  });
});

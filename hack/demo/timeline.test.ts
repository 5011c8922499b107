import { describe, expect, it } from 'vitest';
import { latencyLines, timelineLine } from './timeline.ts';

const created = { observedGeneration: 1, phase: 'Created', reason: 'PodNotReady' } as const;

describe('the timeline of the demo', () => {
  it('says nothing before the operator has looked and when nothing changed', () => {
    expect(timelineLine(undefined, undefined, 5)).toBeUndefined();
    expect(timelineLine(created, { ...created, restartCount: 1 }, 5)).toBeUndefined();
  });

  it('shows phase, reason, the event and when', () => {
    const consistency = { state: 'Published', lastEventID: 'id-4', lastEventType: 'agent.ready', sequence: 4 } as const;
    const line = timelineLine(created, { ...created, phase: 'Ready', reason: 'AgentReady', consistency }, 480);
    expect(line).toMatch(/\+480 ms\s+Ready\s+AgentReady\s+#4 agent\.ready Published id-4/);
  });

  it('splits the start by the timestamps of the status', () => {
    const lines = latencyLines({
      observedGeneration: 1,
      createdAt: '2026-01-01T00:00:00.000Z',
      scheduledAt: '2026-01-01T00:00:00.020Z',
      readyAt: '2026-01-01T00:00:00.450Z',
    });
    expect(lines.map((line) => line.trim())).toEqual([
      'Created    after      0 ms',
      'Scheduled  after     20 ms',
      'Ready      after    450 ms',
    ]);
  });
});

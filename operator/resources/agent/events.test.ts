import { describe, expect, test } from 'vitest';
import {
  aHistory,
  anAgent,
  anObservedAgent,
  aPath,
  aPod,
  aReadyPath,
  aRow,
  type PathStep,
  t0,
} from '../../testkit/builders.ts';
import { agentTransitions } from './events.ts';
import type { AgentObserved } from './facts.ts';
import { agentFacts } from './facts.ts';
import { lastRow } from './history.ts';
import { walk } from './machine.ts';
import { specHash } from './pod.ts';

/** What a pass over this look at an agent would record. */
function recorded(observed: AgentObserved, now = t0) {
  const facts = agentFacts(observed, true, now);
  const rules = walk(lastRow(observed.history)?.to ?? 'New', facts).map((rule) => ({
    rule,
    reason: typeof rule.reason === 'function' ? rule.reason(facts) : rule.reason,
  }));
  return agentTransitions(rules, observed, now);
}

test('the first row says from where it came, for which spec, and that it is the first attempt', () => {
  expect(recorded(anObservedAgent(), t0 + 5)).toEqual([
    {
      from: 'New',
      to: 'Created',
      reason: 'AgentCreated',
      attempt: 1,
      observedAt: t0 + 5,
      detail: { namespace: 'research', name: 'scout', specHash: specHash(anAgent().spec) },
      event: {
        type: 'agent.created',
        data: {
          namespace: 'research',
          name: 'scout',
          phase: 'Created',
          reason: 'AgentCreated',
          attempt: 1,
          runtimeClassName: 'gvisor',
        },
      },
    },
  ]);
});

test('several rows of one look are chained and share their time', () => {
  const observed = anObservedAgent({ history: aPath(['Created']), pods: [aPod({ readySince: t0 })] });
  const rows = recorded(observed, t0 + 480);
  expect(rows.map(({ from, to }) => [from, to])).toEqual([
    ['Created', 'Scheduled'],
    ['Scheduled', 'Starting'],
    ['Starting', 'Ready'],
  ]);
  expect(new Set(rows.map((row) => row.observedAt))).toEqual(new Set([t0 + 480]));
});

test('a row about a pod names it and its node', () => {
  const observed = anObservedAgent({ history: aPath(['Created']), pods: [aPod({ scheduled: true, uid: 'pod-uid' })] });
  expect(recorded(observed)[0]?.event.data).toMatchObject({
    podName: aPod().metadata?.name,
    podUid: 'pod-uid',
    nodeName: 'node-1',
  });
});

test('the runtime class told is the one the pod was made with, whatever the default is now', () => {
  const observed = anObservedAgent({
    history: aPath(['Created']),
    pods: [aPod({ scheduled: true, runtimeClassName: 'gvisor' })],
    runtimeClass: { name: 'kata', exists: true },
  });
  expect(recorded(observed)[0]?.event.data).toMatchObject({ runtimeClassName: 'gvisor' });
});

describe('the latency of a start', () => {
  const ready = (steps: readonly PathStep[], startSeq: number) =>
    anObservedAgent({ history: aPath(...steps), pods: [aPod({ startSeq, readySince: t0 })] });

  test('counts from when the attempt began, and is in the row and in the event', () => {
    const [row] = recorded(ready([['Created'], ['Scheduled'], ['Starting']], 1), t0 + 480);
    expect(row?.detail.startLatencyMilliseconds).toBe(480);
    expect(row?.event.data).toMatchObject({ startLatencyMilliseconds: 480 });
  });

  test('leaves the pause before the attempt out', () => {
    const steps: readonly PathStep[] = [
      ['Created'],
      ['Scheduled'],
      ['Recovering', { attempt: 2, reason: 'PodLost' }],
      ['Scheduled', { attempt: 2 }],
      ['Starting', { attempt: 2 }],
    ];
    expect(recorded(ready(steps, 3), t0 + 1_700)[0]?.detail.startLatencyMilliseconds).toBe(700);
  });

  test('stays that of the first Ready when only readiness was lost in between', () => {
    const history = aHistory(...Object.values(aReadyPath().latestByPhase), aRow('NotReady', { seq: 5, from: 'Ready' }));
    const observed = anObservedAgent({
      history,
      pods: [aPod({ readySince: t0 })],
    });
    expect(recorded(observed, t0 + 90_000)[0]?.detail.startLatencyMilliseconds).toBe(480);
  });

  test('is never negative, though clocks differ', () => {
    expect(
      recorded(ready([['Created'], ['Scheduled'], ['Starting']], 1), t0 - 50)[0]?.detail.startLatencyMilliseconds,
    ).toBe(0);
  });
});

describe('the number of the attempt', () => {
  const lost = (attempt: number) => aPath(['Created'], ['Scheduled', { attempt }]);

  test('grows by one with every recovery', () => {
    expect(recorded(anObservedAgent({ history: lost(1) }))[0]).toMatchObject({ to: 'Recovering', attempt: 2 });
    expect(recorded(anObservedAgent({ history: lost(4) }))[0]).toMatchObject({ to: 'Recovering', attempt: 5 });
  });

  test('is that of the attempt that failed in the row that says so', () => {
    expect(recorded(anObservedAgent({ history: lost(6) }))[0]).toMatchObject({ to: 'Failed', attempt: 6 });
  });

  test('starts anew with a new spec', () => {
    const agent = anAgent({ spec: { image: 'registry.test/scout:2' } });
    const [row] = recorded(anObservedAgent({ agent, history: lost(4) }));
    expect(row).toMatchObject({ to: 'Replacing', attempt: 1, detail: { specHash: specHash(agent.spec) } });
  });

  test('starts anew after ten minutes Ready, also when readiness is what is lost first', () => {
    const history = aReadyPath({ attempt: 5 });
    const unready = anObservedAgent({ history, pods: [aPod({ containers: [] })] });
    expect(recorded(unready, t0 + 599_999)[0]).toMatchObject({ to: 'NotReady', attempt: 5 });
    expect(recorded(unready, t0 + 600_000)[0]).toMatchObject({ to: 'NotReady', attempt: 1 });
  });
});

test('what is told of a deleted agent needs nothing of the object', () => {
  const rows = recorded(anObservedAgent({ agent: undefined, history: aReadyPath() }));
  expect(rows.map(({ to, event }) => [to, event.type])).toEqual([
    ['Terminating', 'agent.stopping'],
    ['Deleted', 'agent.deleted'],
  ]);
  expect(rows[0]?.event.data).toEqual({
    namespace: 'research',
    name: 'scout',
    phase: 'Terminating',
    reason: 'Deleting',
    attempt: 1,
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  aHistory,
  anAgent,
  anObservedAgent,
  aPath,
  aPod,
  aReadyPath,
  aRow,
  databaseAway,
  type ObservedOverrides,
  t0,
  traceparent,
} from '../../testkit/builders.ts';
import { attemptOf, defaults, recoveryOf, startRow } from './attempt.ts';
import { agentPod, podName, specHash } from './pod.ts';

const image = 'registry.test/scout:1';
const second = 1_000;

/** The record of an agent whose attempt number `attempt` has just begun. */
const recovering = (attempt: number, reason = 'PodLost') =>
  aPath(['Created'], ['Scheduled'], ['Recovering', { attempt, reason, observedAt: t0 }]);

function adopted({ detail: { specHash: _, ...detail }, ...row }: ReturnType<typeof aRow>): ReturnType<typeof aRow> {
  return { ...row, detail };
}

describe('the attempt in hand', () => {
  test('is none and may begin at once when nothing is recorded', () => {
    const attempt = attemptOf(anObservedAgent(), t0);
    expect(attempt).toMatchObject({
      start: undefined,
      number: 1,
      podName: undefined,
      notBefore: t0,
      deadline: undefined,
    });
  });

  test('is none while the record cannot be read', () => {
    const attempt = attemptOf(anObservedAgent({ history: databaseAway, pods: [aPod()] }), t0);
    expect(attempt).toMatchObject({ start: undefined, podName: undefined, pod: undefined, retryFailedAt: undefined });
  });

  test('began with the newest of Created, Recovering and Replacing', () => {
    const history = aPath(['Created'], ['Replacing'], ['Scheduled'], ['Recovering'], ['Scheduled'], ['Starting']);
    expect(startRow(anObservedAgent({ history }))?.seq).toBe(4);
  });

  test('owns the pod named after the row that began it, and no other', () => {
    const old = aPod({ startSeq: 1 });
    const own = aPod({ startSeq: 3 });
    const observed = anObservedAgent({ history: recovering(2), pods: [old, own] });
    expect(attemptOf(observed, t0).pod).toBe(own);
    expect(attemptOf(observed, t0).podName).toBe(podName('scout', 'agent-uid', 3));
    expect(attemptOf({ ...observed, pods: [old] }, t0).pod).toBeUndefined();
  });

  test('knows the spec it was begun for', () => {
    const spec = { image: 'registry.test/scout:2' };
    const history = aPath(['Created'], ['Replacing', { spec }], ['Scheduled']);
    const other = attemptOf(anObservedAgent({ history: aPath(['Created']) }), t0).specHash;
    expect(attemptOf(anObservedAgent({ history, agent: anAgent({ spec }) }), t0).specHash).not.toBe(other);
  });

  test.each([
    ['adopted from the stream, which does not tell the spec', aHistory(adopted(aRow('Created')))],
    [
      'adopted from the stream, which had let go of its beginning',
      aHistory(adopted(aRow('Created', { reason: 'BeginningLost' })), aRow('Ready', { seq: 12, from: 'Starting' })),
    ],
    ['begun anew with the spec that stands by now', aPath(['Created', { spec: { image } }])],
  ])('is of the spec that its pod was made from, when its record was %s', (_, history) => {
    const agent = anAgent({ spec: { image: 'registry.test/scout:2' } });
    const built = agentPod({ agent, tenant: 'acme', runtimeClassName: 'gvisor', startSeq: 1, traceparent });
    const bare = aPod({ agent });
    const pod = { ...bare, metadata: { ...bare.metadata, annotations: { ...built.metadata.annotations } } };
    expect(attemptOf(anObservedAgent({ history, agent, pods: [pod] }), t0).specHash).toBe(specHash(agent.spec));
  });
});

describe('the pause before an attempt', () => {
  test.each<[string, ReturnType<typeof aPath>, number]>([
    ['none before the first', aPath(['Created']), 0],
    ['none after a new spec', aPath(['Created'], ['Replacing']), 0],
    ['the base before the second', recovering(2), 1],
    ['doubled before the third', recovering(3), 2],
    ['doubled again before the fourth', recovering(4), 4],
    ['bounded by the maximum', recovering(30), 60],
    ['bounded however many attempts there were', recovering(5_000), 60],
    ['none after Failed: that pause is over', recovering(7, 'Retrying'), 0],
  ])('%s', (_name, history, seconds) => {
    expect(attemptOf(anObservedAgent({ history }), t0).notBefore).toBe(t0 + seconds * second);
  });

  test('follows spec.recovery', () => {
    const spec = { image, recovery: { backoffSeconds: { base: 5, max: 12 } } };
    const agent = anAgent({ spec });
    const pause = (attempt: number) =>
      attemptOf(anObservedAgent({ agent, history: recovering(attempt) }), t0).notBefore - t0;
    expect([2, 3, 4].map(pause)).toEqual([5 * second, 10 * second, 12 * second]);
  });

  test('never shrinks from one attempt to the next and never passes the maximum', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 2_000 }), (attempt) => {
        const pause = (n: number) => attemptOf(anObservedAgent({ history: recovering(n) }), t0).notBefore - t0;
        expect(pause(attempt + 1)).toBeGreaterThanOrEqual(pause(attempt));
        expect(pause(attempt)).toBeLessThanOrEqual(defaults.backoffMaxSeconds * second);
      }),
    );
  });
});

describe('the start deadline', () => {
  const deadline = (observed: ObservedOverrides) => attemptOf(anObservedAgent(observed), t0).deadline;

  test('is five minutes after the attempt could begin', () => {
    expect(deadline({ history: aPath(['Created']), pods: [aPod()] })).toBe(t0 + 300 * second);
    expect(deadline({ history: recovering(3), pods: [aPod({ startSeq: 3 })] })).toBe(t0 + 302 * second);
  });

  test('does not run while there is no pod: nothing has been tried', () => {
    expect(deadline({ history: aPath(['Created']) })).toBeUndefined();
    expect(deadline({ history: recovering(2), pods: [aPod({ startSeq: 1 })] })).toBeUndefined();
  });

  test('counts from the pod on, when its creation had to wait', () => {
    const late = aPod({ createdAt: t0 + 900 * second });
    expect(deadline({ history: aPath(['Created']), pods: [late] })).toBe(t0 + 1_200 * second);
  });

  test('follows spec.startupDeadlineSeconds', () => {
    const agent = anAgent({ spec: { image, startupDeadlineSeconds: 7 } });
    expect(deadline({ agent, history: aPath(['Created']), pods: [aPod()] })).toBe(t0 + 7 * second);
  });
});

describe('the retry of a failed agent', () => {
  const failed = aPath(['Created'], ['Scheduled'], ['Failed', { attempt: 6, observedAt: t0 }]);

  test('comes five minutes after it failed', () => {
    expect(attemptOf(anObservedAgent({ history: failed }), t0).retryFailedAt).toBe(t0 + 300 * second);
  });

  test('never comes with retryAfterFailedSeconds 0', () => {
    const agent = anAgent({ spec: { image, recovery: { retryAfterFailedSeconds: 0 } } });
    expect(attemptOf(anObservedAgent({ agent, history: failed }), t0).retryFailedAt).toBeUndefined();
  });

  test('is not planned for an agent that has not failed', () => {
    expect(attemptOf(anObservedAgent({ history: aReadyPath() }), t0).retryFailedAt).toBeUndefined();
  });
});

describe('the count of attempts', () => {
  const ready = aPath(
    ['Created'],
    ['Recovering', { attempt: 4 }],
    ['Scheduled', { attempt: 4 }],
    ['Ready', { attempt: 4 }],
  );

  test('is the one of the newest row', () => {
    expect(attemptOf(anObservedAgent({ history: ready }), t0 + 599_999).number).toBe(4);
  });

  test('starts anew after ten minutes Ready', () => {
    expect(attemptOf(anObservedAgent({ history: ready }), t0 + 600_000).number).toBe(1);
  });

  test('does not start anew for an agent that is not Ready', () => {
    const notReady = aHistory(...Object.values(ready.latestByPhase), aRow('NotReady', { seq: 5, attempt: 4 }));
    expect(attemptOf(anObservedAgent({ history: notReady }), t0 + 3_600_000).number).toBe(4);
  });
});

test('what spec.recovery leaves out has a default', () => {
  expect(recoveryOf(undefined)).toEqual(recoveryOf({ image }));
  expect(recoveryOf({ image, recovery: { backoffLimit: 0 } })).toEqual({ ...recoveryOf(undefined), backoffLimit: 0 });
});

import { describe, expect, test } from 'vitest';
import type { AgentStatus } from '../../api/v1alpha1/agent.ts';
import { agentStatusSchema } from '../../api/v1alpha1/agent.ts';
import {
  aHistory,
  anAgent,
  anObservedAgent,
  aPath,
  aPod,
  aReadyPath,
  aRow,
  at,
  aWaitingContainer,
  databaseAway,
  type ObservedOverrides,
  t0,
} from '../../testkit/builders.ts';
import { blockerOf } from './blockers.ts';
import { agentFacts } from './facts.ts';
import { lastRow } from './history.ts';
import { agentStatus, refusedStatus } from './status.ts';
import { acknowledgedAfterMs, statusEvents, statusWrite } from './status-write.ts';

function statusOf(overrides: ObservedOverrides = {}, now = t0): AgentStatus {
  const observed = anObservedAgent(overrides);
  const blocker = blockerOf(observed);
  return agentStatus(
    observed,
    observed.agent ?? anAgent(),
    blocker,
    agentFacts(observed, blocker === undefined, now),
    now,
  );
}

const typesOf = (status: AgentStatus) => status.conditions?.map((one) => `${one.type}=${one.status}`);
const pods = [aPod({ readySince: t0 })];

describe('the status of an agent that is Ready', () => {
  const published = t0 + 700;
  const status = statusOf({ history: aReadyPath({ observedAt: t0 + 480, publishedAt: published }), pods });

  test('fits the contract', () => {
    expect(agentStatusSchema.safeParse(status).error).toBeUndefined();
  });

  test('tells its story', () => {
    expect(status).toMatchObject({
      phase: 'Ready',
      tenant: 'acme',
      runtimeClassName: 'gvisor',
      attempts: 1,
      createdAt: '2030-01-01T00:00:00.000Z',
      readyAt: '2030-01-01T00:00:00.480Z',
      startLatencyMilliseconds: 480,
      nodeName: 'node-1',
      restartCount: 0,
      consistency: {
        state: 'Published',
        lastEventID: 'event-4',
        sequence: 4,
        lastPublishedTime: '2030-01-01T00:00:00.700Z',
      },
    });
    expect(status.nextRetryTime).toBeUndefined();
    expect(status.lastFailureReason).toBeUndefined();
  });

  test('shows Ready and EventsPublished, and nothing that is in order', () => {
    expect(typesOf(status)).toEqual(['Ready=True', 'EventsPublished=True']);
  });
});

describe('the story of an agent', () => {
  test('is that of the attempt in hand: times of an earlier one are gone, why that failed is not', () => {
    const history = aPath(
      ['Created'],
      ['Scheduled'],
      ['Starting'],
      ['Ready', { detail: { startLatencyMilliseconds: 9 } }],
      ['Recovering', { attempt: 2, reason: 'CrashLoop', observedAt: t0 + 5_000 }],
    );
    const status = statusOf({ history }, t0 + 5_500);
    expect(status).toMatchObject({
      attempts: 2,
      lastFailureReason: 'CrashLoop',
      createdAt: '2030-01-01T00:00:00.000Z',
    });
    expect(status.nextRetryTime).toBe('2030-01-01T00:00:06.000Z');
    for (const field of ['scheduledAt', 'startingAt', 'readyAt', 'startLatencyMilliseconds', 'podRef'] as const) {
      expect(status[field]).toBeUndefined();
    }
  });

  test('names the failure, not the retry that follows it', () => {
    const history = aPath(['Created'], ['Failed', { reason: 'CrashLoop' }], ['Recovering', { reason: 'Retrying' }]);
    expect(statusOf({ history }).lastFailureReason).toBe('CrashLoop');
  });

  test('tells when the newest published event was stored, though a newer one is on its way', () => {
    const history = aPath(
      ['Created', { publishedAt: t0 + 5 }],
      ['Scheduled', { publishedAt: t0 + 9 }],
      ['Starting', { state: 'Pending' }],
    );
    expect(statusOf({ history }).consistency).toMatchObject({
      state: 'OutboxWritten',
      sequence: 3,
      lastPublishedTime: '2030-01-01T00:00:00.009Z',
    });
  });

  test('tells the runtime class the pod was made with, whatever the default is now', () => {
    const runtimeClass = { name: 'kata', exists: true };
    expect(statusOf({ history: aReadyPath(), pods, runtimeClass }).runtimeClassName).toBe('gvisor');
    expect(statusOf({ runtimeClass }).runtimeClassName).toBe('kata');
  });
});

describe('EventsPublished', () => {
  const events = (overrides: ObservedOverrides) =>
    statusOf(overrides).conditions?.find((one) => one.type === 'EventsPublished');

  test.each<[string, ObservedOverrides, string, string]>([
    ['nothing to tell', {}, 'True', 'UpToDate'],
    ['all told', { history: aReadyPath() }, 'True', 'UpToDate'],
    ['the newest is on its way', { history: aReadyPath({ state: 'Pending' }) }, 'Unknown', 'Publishing'],
    ['no broker', { history: aReadyPath({ state: 'Pending' }), brokerAvailable: false }, 'False', 'BrokerUnavailable'],
    ['no broker, and nothing to tell it', { history: aReadyPath(), brokerAvailable: false }, 'True', 'UpToDate'],
    ['no database', { history: databaseAway }, 'False', 'DatabaseUnavailable'],
    ['refused for good', { history: aReadyPath({ state: 'DeadLettered' }) }, 'False', 'DeadLettered'],
  ])('%s', (_name, overrides, status, reason) => {
    expect(events(overrides)).toMatchObject({ status, reason });
  });

  test('an earlier event refused for good, behind which the newest waits', () => {
    const history = aPath(
      ['Created', { state: 'DeadLettered', lastError: 'too large' }],
      ['Scheduled', { state: 'Pending' }],
    );
    const condition = events({ history });
    expect(condition).toMatchObject({ status: 'False', reason: 'DeadLettered' });
    expect(condition?.message).toContain('event-1');
  });
});

describe('what the pod waits for', () => {
  const pulling = aWaitingContainer('ImagePullBackOff', { image: 'registry.test/missing:1' });

  test('is told with the image that cannot be had, not with that of a container that only waits', () => {
    const pod = aPod({ containers: [aWaitingContainer('PodInitializing', { image: 'other' }), pulling] });
    const status = statusOf({ history: aPath(['Created'], ['Scheduled']), pods: [pod] });
    expect(status).toMatchObject({ phase: 'Scheduled', reason: 'ImagePullFailed' });
    expect(status.message).toContain('registry.test/missing:1');
  });

  test("is told in the scheduler's words", () => {
    const status = statusOf({
      history: aPath(['Created']),
      pods: [aPod({ unschedulable: '0/3 nodes are available' })],
    });
    expect(status).toMatchObject({ phase: 'Created', reason: 'Unschedulable', message: '0/3 nodes are available' });
  });

  test('is not its probe while a container that ended is started again: its name and code are told', () => {
    const terminated = { exitCode: 3, reason: 'Error' };
    const rest = { name: 'worker', image: 'x', imageID: 'x', ready: false, restartCount: 1 };
    const told = (containerStatus: object) => {
      const pod = aPod({});
      const containerStatuses = [{ ...rest, ...containerStatus }];
      const ended = { ...pod, status: { ...pod.status, containerStatuses } } as typeof pod;
      return statusOf({ history: aPath(['Created', {}], ['Scheduled', {}], ['Starting', {}]), pods: [ended] }).message;
    };
    for (const state of [{ terminated }, { waiting: { reason: 'CrashLoopBackOff' } }]) {
      expect(told({ state, lastState: { terminated } })).toMatch(/worker.* 3 /);
    }
    expect(told({ state: { running: {} }, lastState: { terminated } })).not.toContain('worker');
  });

  test('is told of the new pod, also while an old one is still there', () => {
    const history = aPath(['Created'], ['Recovering', { attempt: 2, reason: 'PodLost' }]);
    const both = [aPod({ deleting: true }), aPod({ startSeq: 2, unschedulable: 'no room' })];
    expect(statusOf({ history, pods: both }, t0 + 9_000)).toMatchObject({
      phase: 'Recovering',
      reason: 'Unschedulable',
      message: 'no room',
    });
  });

  test('is why the last attempt failed, as long as the next has no more to say', () => {
    const history = aPath(['Created'], ['Recovering', { attempt: 2, reason: 'PodLost' }]);
    expect(statusOf({ history })).toMatchObject({ phase: 'Recovering', reason: 'PodLost' });
  });
});

describe('a pod that the API server refuses', () => {
  const history = aPath(['Created'], ['Scheduled'], ['Starting'], ['Ready'], ['Replacing', { reason: 'SpecChanged' }]);
  const wasReady = anAgent({ status: statusOf({ history: aReadyPath(), pods }) });
  const refused = (agent = wasReady, now = t0) =>
    refusedStatus(
      anObservedAgent({ agent, history }),
      agent,
      { reason: 'PodRejected', message: 'exceeded quota' },
      now,
    );

  test('is shown in the phase that is recorded, with the words of the server', () => {
    expect(refused()).toMatchObject({ phase: 'Replacing', reason: 'PodRejected', message: 'exceeded quota' });
    expect(typesOf(refused())).toEqual([
      'Ready=False',
      'Reconciling=True',
      'EventsPublished=True',
      'PodScheduled=False',
    ]);
    expect(refused().podRef).toBeUndefined();
  });

  test('is Stalled after a minute', () => {
    const agent = anAgent({ status: refused() });
    expect(typesOf(refused(agent, t0 + 59_999))).toContain('Reconciling=True');
    expect(typesOf(refused(agent, t0 + 60_000))).toContain('Stalled=True');
  });
});

describe('a status is written', () => {
  const history = aPath(['Created'], ['Scheduled', { observedAt: t0 }]);
  const last = lastRow(history);
  const passing = statusOf({ history, pods: [aPod({ scheduled: true })] });
  const { podRef, ...withoutPod } = passing;

  test('never when it says what is there already, whatever the order of its keys', () => {
    const reordered = Object.fromEntries(Object.entries(passing).reverse()) as AgentStatus;
    expect(statusWrite(reordered, passing, last, t0)).toEqual({ kind: 'never' });
  });

  test('at once when another pod is there than the one shown', () => {
    const other = { ...passing, podRef: { name: 'x', uid: 'other' } };
    expect(statusWrite(other, passing, last, t0)).toEqual({ kind: 'now' });
    expect(podRef).toBeDefined();
  });

  test.each([
    ['a second', undefined, passing, 1_000],
    ['a second, without a pod', undefined, withoutPod, 1_000],
    ['a second, after a rest', { ...passing, phase: 'Ready' }, passing, 1_000],
    ['ten seconds once the pod is shown', { ...passing, phase: 'Created' }, passing, 10_000],
  ] as const)('on the way up only when a phase lasts %s', (_for, prior, next, afterMs) => {
    const at = t0 + afterMs;
    expect(statusWrite(prior, next, last, at - 1)).toEqual({ kind: 'later', at });
    expect(statusWrite(prior, next, last, at)).toEqual({ kind: 'now' });
  });

  test.each([
    ['a second as ever while few are new', 10, 1_000],
    ['longer while many are', 100, 10_000],
    ['half a minute however many', 10_000, 30_000],
  ])('%s', (_name, unshown, afterMs) => {
    const at = t0 + afterMs;
    expect(statusWrite(undefined, passing, last, at - 1, unshown)).toEqual({ kind: 'later', at });
    expect(statusWrite(undefined, passing, last, at, unshown)).toEqual({ kind: 'now' });
  });

  test('while the event is awaited, too, only when that lasts', () => {
    const awaiting = statusOf({ history: aReadyPath({ state: 'Pending' }), pods });
    expect(
      statusWrite({ ...passing, ...(awaiting.podRef && { podRef: awaiting.podRef }) }, awaiting, last, t0),
    ).toMatchObject({ kind: 'later' });
  });

  test.each<[string, ObservedOverrides]>([
    ['at rest', { history: aReadyPath(), pods }],
    ['when nothing is recorded yet', { tenancy: { kind: 'none' } }],
    ['in trouble', { history, pods: [aPod({ containers: [aWaitingContainer('ErrImagePull')] })] }],
    ['after a failure', { history: aPath(['Created'], ['Recovering', { reason: 'PodLost', attempt: 2 }]) }],
  ])('at once %s', (_name, overrides) => {
    const next = statusOf(overrides);
    expect(statusWrite(withoutPod, next, lastRow(anObservedAgent(overrides).history), t0)).toEqual({ kind: 'now' });
  });
});

describe('that consumers have the newest event', () => {
  const published = aReadyPath({ publishedAt: t0 + 100 });
  const shown = statusOf({ history: published, pods });
  const history = aReadyPath({ state: 'Acknowledged', publishedAt: t0 + 100 });
  const acknowledged = statusOf({ history, pods });
  const last = lastRow(history);

  test('is shown by the next write, and by one of its own after a minute', () => {
    expect(acknowledged.consistency?.state).toBe('Acknowledged');
    const at = t0 + 100 + acknowledgedAfterMs;
    expect(statusWrite(shown, acknowledged, last, at - 1)).toEqual({ kind: 'later', at });
    expect(statusWrite(shown, acknowledged, last, at)).toEqual({ kind: 'now' });
    expect(statusWrite(shown, { ...acknowledged, restartCount: 1 }, last, t0 + 200)).toEqual({ kind: 'now' });
    expect(statusWrite(acknowledged, acknowledged, last, at)).toEqual({ kind: 'never' });
  });

  test('is a condition only when something stands in the way', () => {
    const ackObstacle = { reason: 'ConsumerMissing', message: 'required consumers are missing: billing' };
    const obstructed = (overrides: ObservedOverrides) =>
      statusOf({ pods, ackObstacle, ...overrides }).conditions?.find(({ type }) => type === 'EventsAcknowledged');
    expect(obstructed({ history: published })).toMatchObject({ status: 'False', reason: 'ConsumerMissing' });
    expect(obstructed({ history })).toBeUndefined();
    expect(obstructed({ history: databaseAway })).toBeUndefined();
    expect(statusWrite(shown, statusOf({ history: published, pods, ackObstacle }), last, t0)).toEqual({ kind: 'now' });
  });
});

describe('a Kubernetes Event', () => {
  const ready = statusOf({ history: aReadyPath(), pods });
  const crashed: AgentStatus = { ...ready, phase: 'Recovering', reason: 'CrashLoop', message: 'why' };
  const told = (before: AgentStatus | undefined, next: AgentStatus) =>
    statusEvents(anAgent(before === undefined ? {} : { status: before }), next).map(
      (one) => one.kind === 'event' && [one.type, one.reason],
    );

  test('tells once that the agent is Ready', () => {
    expect(told(undefined, ready)).toEqual([['Normal', 'AgentReady']]);
    expect(told(ready, { ...ready, restartCount: 4 })).toEqual([]);
  });

  test('warns once of each trouble', () => {
    expect(told(ready, crashed)).toEqual([['Warning', 'CrashLoop']]);
    expect(told(crashed, { ...crashed, attempts: 3 })).toEqual([]);
    expect(told(crashed, { ...crashed, reason: 'PodLost' })).toEqual([['Warning', 'PodLost']]);
  });

  test('warns of what the Tenant does not allow', () => {
    const denied = statusOf({ history: aHistory(), runtimeClass: { name: 'kata', exists: true, allowedInstead: [] } });
    expect(statusEvents(anAgent(), denied)).toMatchObject([{ type: 'Warning', reason: 'NotAllowed' }]);
  });

  test('is not sent for what passes by itself', () => {
    expect(told(undefined, { ...ready, phase: 'Starting', reason: 'PodNotReady' })).toEqual([]);
    expect(told(ready, { ...ready, phase: 'NotReady', reason: 'PodNotReady' })).toEqual([]);
  });

  test('concerns exactly this Agent', () => {
    const [event] = statusEvents(anAgent(), ready);
    expect(event).toMatchObject({
      regarding: { kind: 'Agent', namespace: 'research', name: 'scout', uid: 'agent-uid' },
    });
  });
});

test('times of conditions stay while their status does', () => {
  const agent = anAgent({ status: statusOf({ history: aReadyPath(), pods }) });
  const later = statusOf(
    { agent, history: aHistory(...Object.values(aReadyPath().latestByPhase), aRow('NotReady', { seq: 5 })) },
    t0 + 90_000,
  );
  expect(later.conditions).toMatchObject([
    { type: 'Ready', status: 'False', lastTransitionTime: at(t0 + 90_000) },
    { type: 'EventsPublished', status: 'True', lastTransitionTime: at(t0) },
  ]);
});

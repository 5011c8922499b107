import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import {
  aContainerStatus,
  anAgent,
  anObservedAgent,
  aPath,
  aPod,
  aReadyPath,
  at,
  aWaitingContainer,
  databaseAway,
  t0,
} from '../../testkit/builders.ts';
import { type AgentFacts, agentFacts, crashLoopProbationMs } from './facts.ts';

const image = 'registry.test/scout:1';
const created = aPath(['Created']);

/** The facts about the first attempt with this pod. */
const factsOf = (pod?: V1Pod, now = t0): AgentFacts =>
  agentFacts(anObservedAgent({ history: created, pods: pod === undefined ? [] : [pod] }), true, now);

const crashing = (reason: string) => aWaitingContainer(reason, { restartCount: 3 });

/** A scheduler that got no answer to its binding writes PodScheduled=False over it. */
function boundUnheard(): V1Pod {
  const pod = aPod({ unschedulable: 'no answer' });
  return { ...pod, spec: { containers: [], ...pod.spec, nodeName: 'node-1' } };
}

describe('a pod tells', () => {
  test.each<[string, V1Pod, Partial<AgentFacts>]>([
    [
      'that it has no node yet',
      aPod(),
      { podScheduled: false, containerStarted: false, podReady: false, podTrouble: undefined },
    ],
    ['that no node fits', aPod({ unschedulable: '0/3 nodes' }), { podScheduled: false, waitingFor: 'Unschedulable' }],
    [
      'that it has a node, though the scheduler never heard that it was bound',
      boundUnheard(),
      { podScheduled: true, waitingFor: undefined },
    ],
    ['that it has a node', aPod({ scheduled: true }), { podScheduled: true, containerStarted: false, podReady: false }],
    [
      'that its containers are being made',
      aPod({ containers: [aWaitingContainer('ContainerCreating')] }),
      { podScheduled: true, containerStarted: false, waitingFor: undefined },
    ],
    ['that a container runs', aPod({ containers: [aContainerStatus()] }), { containerStarted: true, podReady: false }],
    [
      'that one of two containers runs',
      aPod({ containers: [aWaitingContainer('ContainerCreating'), aContainerStatus({ name: 'b' })] }),
      { containerStarted: true, podReady: false },
    ],
    [
      'that a container has run',
      aPod({ containers: [aContainerStatus({ state: { terminated: { exitCode: 1 } } })] }),
      { containerStarted: true },
    ],
    [
      'that it is Ready',
      aPod({ readySince: t0 }),
      { podScheduled: true, containerStarted: true, podReady: true, podTrouble: undefined },
    ],
    [
      'that a pod on its way out is lost, Ready or not',
      aPod({ readySince: t0, deleting: true }),
      { podReady: false, podTrouble: 'PodLost' },
    ],
    ['an eviction', aPod({ phase: 'Failed', reason: 'Evicted' }), { podTrouble: 'Evicted' }],
    ['that it failed', aPod({ phase: 'Failed', containers: [aContainerStatus()] }), { podTrouble: 'PodFailed' }],
    [
      'that it ended well, which an agent that runs always may not',
      aPod({ phase: 'Succeeded' }),
      { podTrouble: 'PodFailed' },
    ],
    [
      'a crash loop',
      aPod({ containers: [crashing('CrashLoopBackOff')] }),
      { podTrouble: 'CrashLoop', containerStarted: true },
    ],
    [
      'a crash loop of an init container',
      aPod({ containers: [aWaitingContainer('PodInitializing')], initContainers: [crashing('CrashLoopBackOff')] }),
      { podTrouble: 'CrashLoop', containerStarted: false },
    ],
    [
      'that an init container runs: the agent has not started',
      aPod({ containers: [aWaitingContainer('PodInitializing')], initContainers: [aContainerStatus()] }),
      { containerStarted: false, podTrouble: undefined, waitingFor: undefined },
    ],
    [
      'that the image of an init container cannot be pulled',
      aPod({
        containers: [aWaitingContainer('PodInitializing')],
        initContainers: [aWaitingContainer('ImagePullBackOff')],
      }),
      { waitingFor: 'ImagePullFailed', podTrouble: undefined },
    ],
  ])('%s', (_name, pod, expected) => {
    expect(factsOf(pod)).toMatchObject(expected);
  });

  test.each([
    'ErrImagePull',
    'ImagePullBackOff',
    'InvalidImageName',
    'ErrImageNeverPull',
    'ImageInspectError',
    'RegistryUnavailable',
  ])('that its image cannot be had: %s', (reason) => {
    expect(factsOf(aPod({ containers: [aWaitingContainer(reason)] }))).toMatchObject({
      waitingFor: 'ImagePullFailed',
      podTrouble: undefined,
      containerStarted: false,
    });
  });
});

describe('no pod', () => {
  test('of this attempt is a loss', () => {
    expect(factsOf()).toMatchObject({ podTrouble: 'PodLost', podsGone: true, podReady: false });
  });

  test('seen yet of a create that was sent is none', () => {
    const facts = agentFacts(anObservedAgent({ history: created, podOnItsWay: true }), true, t0);
    expect(facts).toMatchObject({ podTrouble: undefined, podsGone: false });
  });

  test('of this attempt, but one of an earlier: a loss, and not all pods are gone', () => {
    expect(factsOf(aPod({ startSeq: 9, readySince: t0 }))).toMatchObject({
      podTrouble: 'PodLost',
      podsGone: false,
      podReady: false,
    });
  });
});

describe('the spec', () => {
  test('is the one of this attempt', () => {
    expect(factsOf()).toMatchObject({ specChanged: false, specOutdated: false });
  });

  test('has changed', () => {
    const agent = anAgent({ spec: { image: 'registry.test/scout:2' } });
    expect(agentFacts(anObservedAgent({ agent, history: created }), true, t0)).toMatchObject({
      specChanged: true,
      specOutdated: true,
    });
  });

  test('that cannot be acted on now changes no pod, but the pod is not what it asks for', () => {
    const agent = anAgent({ spec: { image, runtimeClassName: 'missing' } });
    expect(agentFacts(anObservedAgent({ agent, history: created }), false, t0)).toMatchObject({
      specChanged: false,
      specOutdated: true,
    });
  });

  test('that steers the operator alone changes no pod', () => {
    const agent = anAgent({ spec: { image, startupDeadlineSeconds: 9, events: { readinessGate: 'BestEffort' } } });
    expect(agentFacts(anObservedAgent({ agent, history: created }), true, t0).specChanged).toBe(false);
  });
});

describe('time', () => {
  test('passes the start deadline exactly at the deadline', () => {
    expect(factsOf(aPod(), t0 + 299_999).startDeadlinePassed).toBe(false);
    expect(factsOf(aPod(), t0 + 300_000).startDeadlinePassed).toBe(true);
  });

  test('does not count while there is no pod', () => {
    expect(factsOf(undefined, t0 + 300_000).startDeadlinePassed).toBe(false);
  });

  test('counts against a pod that is there, whatever keeps another from starting', () => {
    const blocked = agentFacts(anObservedAgent({ history: created, pods: [aPod()] }), false, t0 + 300_000);
    expect(blocked.startDeadlinePassed).toBe(true);
  });

  test('makes the retry of a failed agent due, once nothing keeps it from starting', () => {
    const observed = anObservedAgent({ history: aPath(['Created'], ['Scheduled'], ['Failed']) });
    expect(agentFacts(observed, true, t0 + 299_999).retryDue).toBe(false);
    expect(agentFacts(observed, true, t0 + 300_000).retryDue).toBe(true);
    expect(agentFacts(observed, false, t0 + 300_000).retryDue).toBe(false);
  });

  test('frees a pod after a crash loop once it was Ready for ten seconds', () => {
    const history = aPath(
      ['Created'],
      ['Scheduled'],
      ['Recovering', { attempt: 2, reason: 'CrashLoop' }],
      ['Scheduled'],
      ['Starting'],
    );
    const observed = anObservedAgent({ history, pods: [aPod({ startSeq: 3, readySince: t0 })] });
    expect(agentFacts(observed, true, t0 + crashLoopProbationMs - 1).readyLongEnough).toBe(false);
    expect(agentFacts(observed, true, t0 + crashLoopProbationMs).readyLongEnough).toBe(true);
  });
});

describe('attempts', () => {
  const recovering = (attempt: number) => aPath(['Created'], ['Recovering', { attempt }], ['Scheduled', { attempt }]);

  test('are left up to backoffLimit repetitions', () => {
    const left = (attempt: number) =>
      agentFacts(anObservedAgent({ history: recovering(attempt) }), true, t0).attemptsLeft;
    expect([1, 5, 6].map(left)).toEqual([true, true, false]);
  });

  test('are none beside the first with backoffLimit 0', () => {
    const agent = anAgent({ spec: { image, recovery: { backoffLimit: 0 } } });
    expect(agentFacts(anObservedAgent({ agent, history: created }), true, t0).attemptsLeft).toBe(false);
  });
});

describe('an agent', () => {
  test('that is gone is absent, and its spec has not changed', () => {
    const facts = agentFacts(anObservedAgent({ agent: undefined, history: aReadyPath() }), true, t0);
    expect(facts).toMatchObject({ absent: true, podsGone: true, admitted: false, specChanged: false });
  });

  test('can be judged while the record cannot be read', () => {
    const facts = agentFacts(anObservedAgent({ history: databaseAway, pods: [aPod()] }), false, t0);
    expect(facts).toMatchObject({ absent: false, startDeadlinePassed: false, retryDue: false });
  });
});

test('times of raw JSON and of the client library are read alike', () => {
  const pod = aPod({ readySince: t0 });
  expect(pod.status?.conditions?.[1]?.lastTransitionTime).toBe(at(t0));
});

describe('a suspension is wanted', () => {
  const wanted = (suspend: 'None' | 'Hold' | 'HoldAndDrain', spec: AgentSpec) => {
    const tenancy = { kind: 'member', tenant: 'acme', rules: { suspend } } as const;
    return agentFacts(anObservedAgent({ agent: anAgent({ spec }), tenancy }), false, t0).suspendWanted;
  };
  const image = 'registry.test/scout:1';

  test.each([
    ['None', 'Running', false],
    ['Hold', 'Running', false],
    ['HoldAndDrain', 'Running', true],
    ['None', 'Suspended', true],
  ] as const)('by a Tenant with %s and an Agent that is to be %s: %s', (suspend, operatingMode, expected) => {
    expect(wanted(suspend, { image, operatingMode })).toBe(expected);
  });
});

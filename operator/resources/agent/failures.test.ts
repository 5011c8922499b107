import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import { ApiError, OperatorError } from '../../kernel/errors.ts';
import {
  aClaim,
  aContainerStatus,
  anAgent,
  anObservedAgent,
  aPath,
  aPod,
  aReadyPath,
  at,
  aWaitingContainer,
  t0,
} from '../../testkit/builders.ts';
import { agentPass } from './controller.ts';
import { decide } from './decide.ts';
import type { AgentObserved } from './facts.ts';

/** Every way an agent can fail, in one list: each has a reason of its own, and nothing half made stays behind. */

type Case = {
  readonly what: string;
  readonly look: Partial<AgentObserved>;
  /** What is recorded; undefined: nothing, it only shows. */
  readonly recorded?: { readonly to: string; readonly attempt: number };
  readonly reason: string;
  /** Milliseconds after t0. */
  readonly after?: number;
};

const image = 'registry.test/scout:1';
const ready = aReadyPath();
const starting = aPath(['Created'], ['Scheduled'], ['Starting']);
const created = aPath(['Created']);
const again = { to: 'Recovering', attempt: 2 } as const;
const unharmed = { to: 'Recovering', attempt: 1 } as const;

const waiting = (reason: string, message = '') =>
  aPod({ containers: [aWaitingContainer(reason, { state: { waiting: { reason, message } } })] });
const killed = { terminated: { exitCode: 137, reason: 'OOMKilled' } };
const looping = (lastState: object) =>
  aPod({ containers: [aWaitingContainer('CrashLoopBackOff', { restartCount: 3, lastState })] });
const ended = (state: object) => aPod({ phase: 'Failed', containers: [aContainerStatus({ state })] });

function disrupted(pod: V1Pod): V1Pod {
  const conditions = [...(pod.status?.conditions ?? []), { type: 'DisruptionTarget', status: 'True' }];
  return { ...pod, status: { ...pod.status, conditions } };
}

const cases: readonly Case[] = [
  {
    what: 'the image cannot be pulled',
    look: { history: created, pods: [waiting('ImagePullBackOff')] },
    recorded: { to: 'Scheduled', attempt: 1 },
    reason: 'ImagePullFailed',
  },
  {
    what: 'a Secret is missing',
    look: {
      history: aPath(['Created'], ['Scheduled']),
      pods: [waiting('CreateContainerConfigError', 'secret "x" not found')],
    },
    reason: 'ContainerNotCreated',
  },
  {
    what: 'it ends again and again',
    look: { history: starting, pods: [looping({})] },
    recorded: again,
    reason: 'CrashLoop',
  },
  {
    what: 'it takes more memory than it may, again and again',
    look: { history: starting, pods: [looping(killed)] },
    recorded: again,
    reason: 'OutOfMemory',
  },
  {
    what: 'it took more memory than it may and is not restarted',
    look: { history: ready, pods: [ended(killed)] },
    recorded: again,
    reason: 'OutOfMemory',
  },
  {
    what: 'it was killed by somebody else',
    look: { history: ready, pods: [ended({ terminated: { exitCode: 137, reason: 'Error' } })] },
    recorded: again,
    reason: 'PodFailed',
  },
  {
    what: 'it ended with an error',
    look: { history: ready, pods: [ended({ terminated: { exitCode: 3 } })] },
    recorded: again,
    reason: 'PodFailed',
  },
  {
    what: 'no node fits',
    look: { history: created, pods: [aPod({ unschedulable: '0/3 nodes are available' })] },
    reason: 'Unschedulable',
  },
  {
    what: 'it is not Ready in time',
    look: { history: starting, pods: [aPod({ containers: [aContainerStatus()] })] },
    after: 300_000,
    recorded: again,
    reason: 'StartDeadlineExceeded',
  },
  {
    what: 'no node was found in time',
    look: { history: created, pods: [aPod({ unschedulable: '0/3' })] },
    after: 300_000,
    recorded: again,
    reason: 'Unschedulable',
  },
  {
    what: 'the RuntimeClass is missing',
    look: { runtimeClass: { name: 'kata', exists: false } },
    reason: 'RuntimeClassNotFound',
  },
  {
    what: 'no node has the handler',
    look: { runtimeClass: { name: 'kata', exists: true, missingHandler: 'kata' } },
    reason: 'RuntimeHandlerMissing',
  },
  { what: 'it belongs to no Tenant', look: { tenancy: { kind: 'none' } }, reason: 'TenantNotFound' },
  {
    what: 'it was evicted by its node',
    look: { history: ready, pods: [aPod({ phase: 'Failed', reason: 'Evicted', scheduled: true })] },
    recorded: again,
    reason: 'Evicted',
  },
  {
    what: 'it was drained',
    look: { history: ready, pods: [disrupted(aPod({ deleting: true, readySince: t0 }))] },
    recorded: unharmed,
    reason: 'Evicted',
  },
  {
    what: 'it was drained faster than anybody could look',
    look: { history: ready, pods: [], evictedPod: aPod().metadata?.name ?? '' },
    recorded: unharmed,
    reason: 'Evicted',
  },
  {
    what: 'its node does not answer',
    look: { history: ready, nodes: { 'node-1': 'NotReady' }, pods: [aPod({ containers: [aContainerStatus()] })] },
    recorded: { to: 'NotReady', attempt: 1 },
    reason: 'NodeLost',
  },
  {
    what: 'its node does not answer and the cluster gave it up',
    look: {
      history: ready,
      nodes: { 'node-1': 'NotReady' },
      pods: [disrupted(aPod({ deleting: true, readySince: t0 }))],
    },
    recorded: unharmed,
    reason: 'NodeLost',
  },
  {
    what: 'its node is gone',
    look: { history: ready, nodes: { 'node-1': 'Lost' }, pods: [aPod({ readySince: t0 })] },
    recorded: unharmed,
    reason: 'NodeLost',
  },
  {
    what: 'somebody deleted its pod',
    look: { history: ready, pods: [aPod({ deleting: true, readySince: t0 })] },
    recorded: again,
    reason: 'PodLost',
  },
  { what: 'its pod has vanished', look: { history: ready, pods: [] }, recorded: again, reason: 'PodLost' },
  {
    what: 'it lost readiness',
    look: { history: ready, pods: [aPod({ containers: [aContainerStatus()] })] },
    recorded: { to: 'NotReady', attempt: 1 },
    reason: 'PodNotReady',
  },
  {
    what: 'a claim it needs is going',
    look: {
      agent: anAgent({ spec: { image, volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: {} }] } }),
      claims: [aClaim({ deletionTimestamp: at(t0) })],
    },
    reason: 'ClaimTerminating',
  },
];

describe('an agent of which', () => {
  test.each(cases)('$what shows $reason', ({ look, recorded, reason, after = 0 }) => {
    const observed = anObservedAgent(look);
    const decision = decide(observed, t0 + after);
    const last = decision.transitions.at(-1);
    expect(last && { to: last.to, attempt: last.attempt }).toEqual(recorded);
    const shows = recorded === undefined || recorded.to === 'Scheduled';
    const history = recorded?.to === 'Scheduled' ? aPath(['Created'], ['Scheduled']) : observed.history;
    expect(shows ? decide({ ...observed, history }, t0 + after + 2_000).status?.reason : last?.reason).toBe(reason);
  });

  test('no node was found shows the condition PodScheduled as well', () => {
    const observed = anObservedAgent({ history: created, pods: [aPod({ unschedulable: '0/3' })] });
    const conditions = decide(observed, t0).status?.conditions ?? [];
    expect(conditions.find(({ type }) => type === 'PodScheduled')).toMatchObject({ status: 'False', message: '0/3' });
  });

  test('all of these are told apart', () => {
    const sameCause = new Set(['PodFailed', 'OutOfMemory', 'NodeLost', 'Evicted', 'PodLost', 'Unschedulable']);
    const reasons = cases.map(({ reason }) => reason).filter((reason) => !sameCause.has(reason));
    expect(new Set(reasons).size).toBe(reasons.length);
  });
});

describe('what the API server refuses', () => {
  const spec: AgentSpec = {
    image,
    volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: {} }],
    networkPolicy: {},
  };
  const observed = anObservedAgent({ agent: anAgent({ spec }), history: aPath(['Created', { spec }]) });
  const { plan } = decide(observed, t0);
  const answer = (status: number) => new ApiError('POST /x', status, { message: 'no', reason: 'x' });
  const stranger = new OperatorError('NameConflict', 'retryable', 'not ours');

  test('is the policy first, then the claims, then the pod', () => {
    expect(plan.map((action) => ('resource' in action ? action.resource.kind : action.kind)).slice(0, 3)).toEqual([
      'NetworkPolicy',
      'PersistentVolumeClaim',
      'Pod',
    ]);
  });

  test.each<[string, number, OperatorError, string | undefined]>([
    ['a pod by admission or Pod Security', 2, answer(403), 'PodRejected'],
    ['a pod that stands for somebody else', 2, stranger, 'NameConflict'],
    ['a claim', 1, answer(422), 'ClaimRejected'],
    ["a claim that stands for somebody else's use", 1, stranger, 'NameConflict'],
    ['a policy that cannot be', 0, answer(422), 'InvalidSpec'],
    ['a policy, for now', 0, answer(403), undefined],
  ])('%s is told as such', (_what, index, error, reason) => {
    const failed = plan[index];
    if (failed === undefined) throw new Error('there is no such action');
    const explanation = agentPass({} as never).explain?.(observed, decide(observed, t0), error, t0, failed);
    expect(explanation?.status?.reason).toBe(reason);
  });
});

describe('what is left of a pod that is replaced', () => {
  const plan = (look: Partial<AgentObserved>) =>
    decide(anObservedAgent(look), t0 + 3_600_000).plan.filter(({ kind }) => kind !== 'event');
  const recovering = aPath(['Created'], ['Scheduled'], ['Recovering', { reason: 'NodeLost' }]);
  const old = aPod({ deleting: true, scheduled: true });

  test('is waited for while its node may only be cut off: it may run on', () => {
    expect(plan({ history: recovering, pods: [old], nodes: { 'node-1': 'NotReady' } })).toEqual([]);
  });

  test('goes at once when its node is certainly lost, and only then', () => {
    const deletions = plan({ history: recovering, pods: [old], nodes: { 'node-1': 'Lost' } });
    expect(deletions).toMatchObject([{ kind: 'delete', gracePeriodSeconds: 0 }]);
    const standing = plan({ history: recovering, pods: [aPod({ scheduled: true })] });
    expect(standing.filter(({ kind }) => kind === 'delete')[0]).not.toHaveProperty('gracePeriodSeconds');
  });

  test('of a deleted Agent is its claim without a volume, and its end waits for that', () => {
    const history = aPath(['Created'], ['Terminating']);
    const look = { agent: undefined, history, claims: [aClaim({ phase: 'Pending' })] };
    expect(plan(look)).toMatchObject([{ kind: 'delete', uid: 'claim-uid' }]);
    expect(decide(anObservedAgent(look), t0).transitions).toEqual([]);
    const kept = decide(anObservedAgent({ ...look, claims: [aClaim()] }), t0);
    expect(kept.transitions.map(({ to }) => to)).toEqual(['Deleted']);
  });
});

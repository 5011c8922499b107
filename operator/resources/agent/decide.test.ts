import { describe, expect, test } from 'vitest';
import type { Action } from '../../kernel/action.ts';
import {
  aContainerStatus,
  anAgent,
  anObservedAgent,
  aPath,
  aPod,
  aReadyPath,
  aWaitingContainer,
  databaseAway,
  type ObservedOverrides,
  t0,
} from '../../testkit/builders.ts';
import { type AgentDecision, decide } from './decide.ts';
import { podName } from './pod.ts';

const image = 'registry.test/scout:1';
const nothing = { transitions: [], plan: [] };

const decided = (observed: ObservedOverrides = {}, now = t0): AgentDecision => decide(anObservedAgent(observed), now);

/** What became of it after its status was written: the same look, with that status. */
function shown(observed: ObservedOverrides, now = t0): ObservedOverrides {
  const { agent = anAgent() } = observed;
  const { status } = decided(observed, now);
  if (status === undefined) throw new Error('no status was written');
  return { ...observed, agent: { ...agent, status } };
}

const entered = ({ transitions }: AgentDecision) => transitions.map((row) => row.to);
const kinds = ({ plan }: AgentDecision) => plan.map((action) => action.kind);
const ofKind = <K extends Action['kind']>({ plan }: AgentDecision, kind: K) =>
  plan.filter((action): action is Extract<Action, { kind: K }> => action.kind === kind);
const conditionOf = ({ status }: AgentDecision, type: string) => status?.conditions?.find((one) => one.type === type);

const created = aPath(['Created']);
const readyLook = { history: aReadyPath(), pods: [aPod({ readySince: t0 })] };
const readyAgent = shown(readyLook);

describe('a new agent', () => {
  test('is recorded first, and nothing is done about it in that pass', () => {
    const decision = decided();
    expect(entered(decision)).toEqual(['Created']);
    expect(decision).toMatchObject({ plan: [], outcome: { kind: 'requeue', afterMs: 0 } });
    expect(decision.status).toBeUndefined();
  });

  test('gets its pod in the next pass, named after the row that was recorded', () => {
    const decision = decided({ history: created });
    expect(entered(decision)).toEqual([]);
    expect(ofKind(decision, 'create').map((action) => action.object.metadata.name)).toEqual([
      podName('scout', 'agent-uid', 1),
    ]);
    expect(kinds(decision)).toEqual(['create']);
  });

  test('gets no second pod while the first is on its way, and is looked at again in case it got lost', () => {
    const decision = decided({ history: created, podOnItsWay: true });
    expect(decision).toMatchObject({ ...nothing, outcome: { kind: 'requeue' } });
  });

  test('that is suspended meanwhile is looked at again as well: the pod on its way may have come and gone unseen', () => {
    const suspended = anAgent({ spec: { image, operatingMode: 'Suspended' } });
    const observed = { agent: suspended, history: aPath(['Created'], ['Suspending']), podOnItsWay: true };
    expect(decided(observed, t0 + 60_000).outcome).toEqual({ kind: 'requeue', afterMs: 2_000 });
  });

  test('gets no second pod once the first is there', () => {
    expect(decided({ history: created, pods: [aPod()] })).toMatchObject(nothing);
  });

  test('whose pod vanished before it had a node gets it again: nothing had begun', () => {
    expect(kinds(decided({ history: created }, t0 + 60_000))).toEqual(['create']);
  });

  test('is shown with its pod when it is not Ready within a second', () => {
    const observed = { history: created, pods: [aPod({ uid: 'pod-uid' })] };
    const early = decided(observed, t0 + 999);
    expect(early.outcome).toEqual({ kind: 'requeue', afterMs: 1 });
    expect(early.status).toBeUndefined();
    const { status } = decided(observed, t0 + 1_000);
    expect(status).toMatchObject({ phase: 'Created', podRef: { uid: 'pod-uid' }, attempts: 1 });
  });

  test('whose pod is Ready is recorded phase by phase in one pass', () => {
    expect(entered(decided({ history: created, pods: [aPod({ readySince: t0 })] }))).toEqual([
      'Scheduled',
      'Starting',
      'Ready',
    ]);
  });
});

describe('the Ready gate', () => {
  const waiting = { history: aReadyPath({ state: 'Pending' }), pods: [aPod({ readySince: t0 })] };

  test('keeps showing the phase before Ready while agent.ready is not on the stream', () => {
    const decision = decided(waiting, t0 + 1_000);
    expect(decision.status).toMatchObject({ phase: 'Starting', reason: 'AwaitingEventPublish' });
    expect(conditionOf(decision, 'Ready')).toMatchObject({ status: 'False', reason: 'AwaitingEventPublish' });
    expect(conditionOf(decision, 'EventsPublished')).toMatchObject({ status: 'Unknown', reason: 'Publishing' });
    expect(ofKind(decision, 'event')).toEqual([]);
  });

  test('looks again by itself, in case nobody says that the event is out', () => {
    expect(decided(shown(waiting, t0 + 1_000), t0 + 1_000)).toMatchObject({
      ...nothing,
      outcome: { kind: 'requeue', afterMs: 30_000 },
    });
  });

  test.each([
    'Published',
    'Acknowledged',
    'Skipped',
    'Expired',
  ] as const)('opens when the event is %s, with one Normal Event', (state) => {
    const decision = decided({ ...waiting, history: aReadyPath({ state }) });
    expect(decision.status).toMatchObject({ phase: 'Ready', reason: 'AgentReady' });
    expect(conditionOf(decision, 'Ready')).toMatchObject({ status: 'True', reason: 'AgentReady' });
    expect(ofKind(decision, 'event').map(({ type, reason }) => [type, reason])).toEqual([['Normal', 'AgentReady']]);
  });

  test('stays open when the event it has let pass is to be published once more', () => {
    const again = decided({ ...shown({ ...waiting, history: aReadyPath() }), ...waiting }, t0 + 60_000);
    expect(again.status).toMatchObject({ phase: 'Ready', consistency: { state: 'OutboxWritten' } });
    expect(conditionOf(again, 'Ready')).toMatchObject({ status: 'True', reason: 'AgentReady' });
    expect(conditionOf(again, 'EventsPublished')).toMatchObject({ status: 'Unknown', reason: 'Publishing' });
  });

  test('shuts for an event it let pass while nobody asked for it, once somebody does', () => {
    const hasty = anAgent({ spec: { image, events: { readinessGate: 'BestEffort' } } });
    const { status } = decided({ ...waiting, agent: hasty });
    const agent = anAgent({ generation: 2, spec: { image }, ...(status === undefined ? {} : { status }) });
    expect(status).toMatchObject({ phase: 'Ready' });
    expect(decided({ ...waiting, agent }, t0 + 1_000).status).toMatchObject({ reason: 'AwaitingEventPublish' });
  });

  test('stays shut when the broker refused the event for good', () => {
    const decision = decided({ ...waiting, history: aReadyPath({ state: 'DeadLettered' }) }, t0 + 1_000);
    expect(decision.status).toMatchObject({ phase: 'Starting', reason: 'AwaitingEventPublish' });
    expect(conditionOf(decision, 'EventsPublished')).toMatchObject({ status: 'False', reason: 'DeadLettered' });
  });

  test('does not hold an agent back that asks for BestEffort', () => {
    const agent = anAgent({ spec: { image, events: { readinessGate: 'BestEffort' } } });
    expect(decided({ ...waiting, agent }).status).toMatchObject({ phase: 'Ready' });
  });

  test('holds a spec back, too, that only its author can mend', () => {
    const invalid = 'spec.image: too long';
    expect(decided({ ...waiting, invalid }).status).toMatchObject({ phase: 'Starting', reason: 'InvalidSpec' });
  });

  test('holds Ready back again after readiness was lost, showing NotReady', () => {
    const history = aPath(
      ['Created'],
      ['Scheduled'],
      ['Starting'],
      ['Ready'],
      ['NotReady'],
      ['Ready', { state: 'Pending' }],
    );
    const { status } = decided({ ...waiting, history }, t0 + 1_000);
    expect(status).toMatchObject({ phase: 'NotReady', reason: 'AwaitingEventPublish' });
  });
});

describe('an agent that is Ready', () => {
  test('rests: no write, no event, no deadline', () => {
    expect(decided(readyAgent, t0 + 3_600_000)).toEqual({ transitions: [], plan: [], outcome: { kind: 'settled' } });
  });

  test('stays Ready while the broker is down', () => {
    expect(decided({ ...readyAgent, brokerAvailable: false })).toEqual({ ...nothing, outcome: { kind: 'settled' } });
  });

  test('that loses readiness is NotReady and keeps its pod', () => {
    const pods = [aPod({ containers: [aContainerStatus()] })];
    expect(entered(decided({ ...readyAgent, pods }))).toEqual(['NotReady']);
    const history = aPath(['Created'], ['Scheduled'], ['Starting'], ['Ready'], ['NotReady']);
    const decision = decided({ ...readyAgent, history, pods });
    expect(decision).toMatchObject({ ...nothing, status: { phase: 'NotReady', reason: 'PodNotReady' } });
  });

  test('stays Ready when its tenant or its runtime class goes, and says so', () => {
    const lost = decided({ ...readyAgent, tenancy: { kind: 'none' } });
    expect(lost).toMatchObject({ ...nothing, status: { phase: 'Ready', reason: 'AgentReady' } });
    expect(conditionOf(lost, 'TenantReady')).toMatchObject({ status: 'False', reason: 'TenantNotFound' });
    const bare = decided({ ...readyAgent, runtimeClass: { name: 'gvisor', exists: false } });
    expect(conditionOf(bare, 'IsolationReady')).toMatchObject({ status: 'False', reason: 'RuntimeClassNotFound' });
    expect(bare).toMatchObject({ ...nothing, status: { phase: 'Ready' } });
  });

  test('is not Ready for a new spec that cannot be carried out yet; its old pod runs on', () => {
    const agent = anAgent({ generation: 2, spec: { image, runtimeClassName: 'kata' }, ...statusOf(readyAgent) });
    const decision = decided({ ...readyAgent, agent, runtimeClass: { name: 'kata', exists: false } });
    expect(ofKind(decision, 'delete')).toEqual([]);
    expect(decision.status).toMatchObject({
      observedGeneration: 2,
      reason: 'RuntimeClassNotFound',
      runtimeClassName: 'gvisor',
    });
    expect(conditionOf(decision, 'Ready')).toMatchObject({ status: 'False', observedGeneration: 2 });
  });
});

describe('a pod that is in trouble', () => {
  test.each([
    ['failed', aPod({ phase: 'Failed', scheduled: true }), 'PodFailed'],
    ['was evicted', aPod({ phase: 'Failed', reason: 'Evicted', scheduled: true }), 'Evicted'],
    ['is being deleted by somebody', aPod({ readySince: t0, deleting: true }), 'PodLost'],
    [
      'ends again and again',
      aPod({ containers: [aWaitingContainer('CrashLoopBackOff', { restartCount: 3 })] }),
      'CrashLoop',
    ],
  ])('%s: the agent recovers', (_name, pod, reason) => {
    const { transitions } = decided({ ...readyAgent, pods: [pod] });
    expect(transitions.map((row) => [row.to, row.reason, row.attempt])).toEqual([['Recovering', reason, 2]]);
  });

  test('is gone: the agent recovers', () => {
    expect(decided({ ...readyAgent, pods: [] }).transitions).toMatchObject([{ to: 'Recovering', reason: 'PodLost' }]);
  });

  const recovering = aPath(
    ['Created'],
    ['Scheduled'],
    ['Starting'],
    ['Ready'],
    ['Recovering', { attempt: 2, reason: 'CrashLoop' }],
  );

  test('is deleted first, with a Warning; the new one waits until it is gone', () => {
    const crashing = aPod({ containers: [aWaitingContainer('CrashLoopBackOff')] });
    const decision = decided({ history: recovering, pods: [crashing] }, t0 + 5_000);
    expect(ofKind(decision, 'delete').map(({ uid }) => uid)).toEqual([crashing.metadata?.uid]);
    expect(ofKind(decision, 'event').map(({ type, reason }) => [type, reason])).toEqual([['Warning', 'CrashLoop']]);
    expect(ofKind(decision, 'create')).toEqual([]);
  });

  test('that is on its way out already is not deleted twice', () => {
    expect(ofKind(decided({ history: recovering, pods: [aPod({ deleting: true })] }), 'delete')).toEqual([]);
  });

  test.each<[string, object]>([
    ['its owner', { ownerReferences: [] }],
    ['its label', { labels: {} }],
  ])('without %s is deleted, and looked for until it is gone: no watch tells', (_what, change) => {
    const pod = aPod({ readySince: t0 });
    const metadata = { ...pod.metadata, ...change };
    const decision = decided({ ...readyAgent, pods: [{ ...pod, metadata }] });
    expect(ofKind(decision, 'delete')).toMatchObject([{ uid: metadata.uid }]);
    expect(kinds(decision)).not.toContain('create');
    expect(decision.outcome).toMatchObject({ kind: 'requeue' });
    const leaving = { ...pod, metadata: { ...metadata, deletionTimestamp: new Date(t0) } };
    expect(entered(decided({ ...readyAgent, pods: [leaving] }))).toEqual(['Recovering']);
  });

  test('is followed by a new one after the pause, and not before', () => {
    const early = decided({ history: recovering }, t0 + 999);
    expect(ofKind(early, 'create')).toEqual([]);
    expect(early.outcome).toEqual({ kind: 'requeue', afterMs: 1 });
    expect(early.status).toMatchObject({
      phase: 'Recovering',
      reason: 'CrashLoop',
      nextRetryTime: '2030-01-01T00:00:01.000Z',
    });
    const [create] = ofKind(decided({ history: recovering }, t0 + 1_000), 'create');
    expect(create?.object.metadata.name).toBe(podName('scout', 'agent-uid', 5));
  });

  test('ends in Failed after the last attempt: its pod goes, a retry is scheduled, a person is called', () => {
    const last = { attempt: 6, reason: 'CrashLoop' };
    const pods = [aPod({ startSeq: 2, containers: [aWaitingContainer('CrashLoopBackOff')] })];
    const history = aPath(['Created'], ['Recovering', last], ['Scheduled', last]);
    expect(decided({ history, pods }).transitions).toMatchObject([{ to: 'Failed', reason: 'CrashLoop', attempt: 6 }]);
    const failed = aPath(['Created'], ['Recovering', last], ['Scheduled', last], ['Failed', last]);
    const decision = decided({ history: failed, pods });
    expect(kinds(decision)).toEqual(['delete', 'event']);
    expect(decision.status).toMatchObject({
      phase: 'Failed',
      reason: 'CrashLoop',
      nextRetryTime: '2030-01-01T00:05:00.000Z',
    });
    expect(conditionOf(decision, 'Stalled')).toMatchObject({ status: 'True', reason: 'RetriesExhausted' });
    expect(decision.outcome).toEqual({ kind: 'requeue', afterMs: 300_000 });
    expect(decided({ history: failed }, t0 + 300_000).transitions).toMatchObject([
      { to: 'Recovering', reason: 'Retrying' },
    ]);
  });
});

describe('the start deadline', () => {
  const pods = [aPod({ containers: [aWaitingContainer('ImagePullBackOff')] })];
  const history = aPath(['Created'], ['Scheduled']);

  test('is what the agent is looked at again for', () => {
    const look = shown({ history, pods });
    expect(decided(look, t0 + 1_000)).toMatchObject({ ...nothing, outcome: { kind: 'requeue', afterMs: 299_000 } });
  });

  test('ends the attempt and says what the pod was waiting for', () => {
    const { transitions } = decided({ history, pods }, t0 + 300_000);
    expect(transitions).toMatchObject([{ to: 'Recovering', reason: 'ImagePullFailed', attempt: 2 }]);
  });

  test('says that it passed, when the pod says nothing', () => {
    const { transitions } = decided({ history, pods: [aPod({ scheduled: true })] }, t0 + 300_000);
    expect(transitions).toMatchObject([{ to: 'Recovering', reason: 'StartDeadlineExceeded' }]);
  });

  test('does not run on time in which no pod could be made', () => {
    expect(kinds(decided({ history: created }, t0 + 3_600_000))).toEqual(['create']);
  });
});

describe('a new spec', () => {
  const agent = anAgent({ generation: 2, spec: { image: 'registry.test/scout:2' }, ...statusOf(readyAgent) });
  const replacing = aPath(
    ['Created'],
    ['Scheduled'],
    ['Starting'],
    ['Ready'],
    ['Replacing', { spec: agent.spec, reason: 'SpecChanged' }],
  );

  test('is recorded before the old pod is touched', () => {
    const decision = decided({ ...readyAgent, agent });
    expect(decision).toMatchObject({ transitions: [{ to: 'Replacing', reason: 'SpecChanged', attempt: 1 }], plan: [] });
  });

  test('takes the old pod away first', () => {
    expect(kinds(decided({ ...readyAgent, agent, history: replacing }))).toEqual(['delete']);
  });

  test('gets its pod at once when the old one is gone', () => {
    expect(kinds(decided({ ...readyAgent, agent, history: replacing, pods: [] }))).toEqual(['create']);
  });

  test('heals an agent that has failed', () => {
    const history = aPath(['Created'], ['Scheduled'], ['Failed', { attempt: 6 }]);
    expect(entered(decided({ agent, history }))).toEqual(['Replacing']);
  });

  test('that steers the operator alone replaces nothing, and its generation is acknowledged', () => {
    const steered = anAgent({ generation: 2, spec: { image, startupDeadlineSeconds: 9 }, ...statusOf(readyAgent) });
    expect(decided({ ...readyAgent, agent: steered })).toMatchObject({
      ...nothing,
      status: { phase: 'Ready', observedGeneration: 2 },
    });
  });
});

describe('an agent that cannot start', () => {
  const noRuntime = { runtimeClass: { name: 'gvisor', exists: false } };

  test.each<[string, ObservedOverrides, string, string]>([
    ['without a tenant', { tenancy: { kind: 'none' } }, 'TenantNotFound', 'TenantReady'],
    ['without its runtime class', noRuntime, 'RuntimeClassNotFound', 'IsolationReady'],
  ])('%s is Pending, Reconciling for a minute, then Stalled, and is looked at again', (_name, look, reason, condition) => {
    const first = decided(look);
    expect(first).toMatchObject({ transitions: [], status: { phase: 'Pending', reason } });
    expect(kinds(first)).toEqual(['event']);
    expect(first.outcome).toEqual({ kind: 'requeue', afterMs: 30_000 });
    expect(conditionOf(first, condition)).toMatchObject({ status: 'False', reason });
    expect(conditionOf(first, 'Reconciling')).toMatchObject({ status: 'True', reason: 'Pending' });
    const pending = shown(look);
    expect(decided(pending, t0 + 59_999)).toMatchObject(nothing);
    expect(decided(pending, t0 + 59_999).status).toBeUndefined();
    const later = decided(pending, t0 + 60_000);
    expect(conditionOf(later, 'Stalled')).toMatchObject({ status: 'True', reason });
    expect(conditionOf(later, 'Reconciling')).toBeUndefined();
    expect(ofKind(later, 'event')).toEqual([]);
  });

  test.each<[string, ObservedOverrides, string]>([
    ['has a spec that cannot be used', { invalid: 'spec.image: too long' }, 'InvalidSpec'],
    [
      'has nothing in its spec that could be used',
      { invalid: 'spec: expected object', agent: { ...anAgent(), spec: undefined as never } },
      'InvalidSpec',
    ],
  ])('because it %s is Stalled at once and rests until its author acts', (_name, look, reason) => {
    const decision = decided(look);
    expect(decision).toMatchObject({
      transitions: [],
      status: { phase: 'Pending', reason },
      outcome: { kind: 'settled' },
    });
    expect(conditionOf(decision, 'Stalled')).toMatchObject({ status: 'True', reason });
    expect(ofKind(decision, 'event').map(({ type }) => type)).toEqual(['Warning']);
  });

  test('starts when what was missing comes', () => {
    const pending = shown(noRuntime);
    expect(entered(decided({ ...pending, runtimeClass: { name: 'gvisor', exists: true } }, t0 + 90_000))).toEqual([
      'Created',
    ]);
  });

  test('again after its pod was lost keeps its attempts and makes no pod', () => {
    const history = aPath(['Created'], ['Scheduled'], ['Recovering', { attempt: 2, reason: 'PodLost' }]);
    const look = shown({ ...noRuntime, history }, t0 + 2_000);
    expect(decided(look, t0 + 86_400_000)).toMatchObject({ transitions: [], plan: [] });
    const failed = aPath(['Created'], ['Scheduled'], ['Failed', { attempt: 6 }]);
    expect(decided({ ...noRuntime, history: failed }, t0 + 86_400_000).transitions).toEqual([]);
  });

  test('is not polled faster than twice a minute', () => {
    const history = aPath(['Created']);
    expect(decided(shown({ ...noRuntime, history }), t0).outcome).toEqual({ kind: 'requeue', afterMs: 30_000 });
  });
});

describe('while the database is away', () => {
  const away = { history: databaseAway };

  test('a new agent is Pending and gets no pod', () => {
    const decision = decided(away);
    expect(decision).toMatchObject({ ...nothing, status: { phase: 'Pending', reason: 'DatabaseUnavailable' } });
    expect(decision.outcome).toEqual({ kind: 'requeue', afterMs: 5_000 });
    expect(conditionOf(decision, 'EventsPublished')).toMatchObject({ status: 'False', reason: 'DatabaseUnavailable' });
  });

  test('an agent that is Ready stays so, with everything its status tells', () => {
    const before = readyAgent.agent?.status;
    const { plan, status, transitions } = decided({ ...readyAgent, ...away });
    expect({ plan, transitions }).toEqual(nothing);
    expect(status).toMatchObject({ ...before, conditions: expect.anything() });
    expect(status?.conditions).toMatchObject([
      { type: 'Ready', status: 'True' },
      { type: 'EventsPublished', status: 'False' },
    ]);
  });

  test('an agent is not called Ready for a spec that nobody has acted on', () => {
    const agent = anAgent({ generation: 2, spec: { image: 'registry.test/scout:2' }, ...statusOf(readyAgent) });
    const decision = decided({ ...readyAgent, ...away, agent });
    expect(conditionOf(decision, 'Ready')).toMatchObject({ status: 'False', reason: 'DatabaseUnavailable' });
  });

  test('an agent that was not Ready beside its Ready pod does not become so', () => {
    const look = shown({ ...readyLook, invalid: 'spec.image: too long' });
    expect(look.agent?.status).toMatchObject({ phase: 'Ready', reason: 'InvalidSpec' });
    expect(conditionOf(decided({ ...look, ...away }), 'Ready')).toMatchObject({ status: 'False' });
  });

  test('running pods are not touched, whatever became of them', () => {
    const pods = [aPod({ readySince: t0 }), aPod({ startSeq: 7, phase: 'Failed' })];
    expect(decided({ ...readyAgent, ...away, pods })).toMatchObject(nothing);
  });

  test('the pods of a deleted agent go, each once, and nothing is recorded', () => {
    const pods = [aPod({ readySince: t0 }), aPod({ startSeq: 7, deleting: true })];
    const decision = decided({ ...away, agent: undefined, pods });
    expect(ofKind(decision, 'delete').map(({ uid }) => uid)).toEqual([pods[0]?.metadata?.uid]);
    expect(decision.transitions).toEqual([]);
    expect(decision.status).toBeUndefined();
  });

  test('a status that says so already is not written again', () => {
    const look = shown({ ...readyAgent, ...away });
    expect(decided(look, t0 + 5_000).status).toBeUndefined();
  });
});

describe('a deleted agent', () => {
  const gone = { agent: undefined };

  test('is recorded first; its pods go in the next pass', () => {
    const decision = decided({ ...gone, history: aReadyPath(), pods: [aPod({ readySince: t0 })] });
    expect(decision).toMatchObject({ transitions: [{ to: 'Terminating', reason: 'Deleting' }], plan: [] });
  });

  const terminating = aPath(['Created'], ['Scheduled'], ['Starting'], ['Ready'], ['Terminating']);

  test('takes all its pods along, of whatever attempt', () => {
    const pods = [aPod({ readySince: t0 }), aPod({ startSeq: 4 })];
    const decision = decided({ ...gone, history: terminating, pods });
    expect(ofKind(decision, 'delete')).toHaveLength(2);
    expect(decision).toMatchObject({ transitions: [], outcome: { kind: 'settled' } });
  });

  test('is Deleted when its last pod is gone', () => {
    expect(entered(decided({ ...gone, history: terminating }))).toEqual(['Deleted']);
  });

  test('without pods is Terminating and Deleted in one pass, and no other follows', () => {
    const decision = decided({ ...gone, history: aReadyPath() });
    expect(entered(decision)).toEqual(['Terminating', 'Deleted']);
    expect(decision.outcome).toEqual({ kind: 'settled' });
  });

  test('that was never recorded leaves nothing behind', () => {
    expect(decided(gone)).toEqual({ ...nothing, outcome: { kind: 'settled' } });
    expect(kinds(decided({ ...gone, pods: [aPod()] }))).toEqual(['delete']);
  });

  test('waits for a pod that is on its way, and looks again in case it never comes', () => {
    const decision = decided({ ...gone, history: terminating, podOnItsWay: true });
    expect(decision).toMatchObject({ ...nothing, outcome: { kind: 'requeue', afterMs: 2_000 } });
  });

  test('that is Deleted is left alone', () => {
    const history = aPath(['Created'], ['Terminating'], ['Deleted']);
    expect(decided({ ...gone, history })).toEqual({ ...nothing, outcome: { kind: 'settled' } });
  });
});

test('a namesake created anew is another agent with pods of other names', () => {
  const agent = anAgent({ uid: 'second-uid' });
  expect(entered(decided({ agent }))).toEqual(['Created']);
  const [create] = ofKind(decided({ agent, history: created }), 'create');
  expect(create?.object.metadata.name).not.toBe(podName('scout', 'agent-uid', 1));
  expect(create?.object.metadata.ownerReferences).toMatchObject([{ uid: 'second-uid' }]);
});

test('a pod in its probation after a crash loop is looked at when that ends', () => {
  const history = aPath(['Created'], ['Recovering', { attempt: 2, reason: 'CrashLoop' }], ['Scheduled'], ['Starting']);
  const look = shown({ history, pods: [aPod({ startSeq: 2, readySince: t0 })] }, t0 + 2_000);
  expect(decided(look, t0 + 4_000)).toMatchObject({ ...nothing, outcome: { kind: 'requeue', afterMs: 6_000 } });
  expect(entered(decided(look, t0 + 10_000))).toEqual(['Ready']);
});

function statusOf({ agent }: ObservedOverrides) {
  return agent?.status === undefined ? {} : { status: agent.status };
}

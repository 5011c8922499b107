import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import {
  anAgent,
  anObservedAgent,
  aPath,
  aPod,
  aReadyPath,
  at,
  type ObservedOverrides,
  type PathStep,
  t0,
} from '../../testkit/builders.ts';
import { type AgentDecision, decide } from './decide.ts';

const image = 'registry.test/scout:1';
const minute = 60_000;

const decided = (observed: ObservedOverrides, now = t0): AgentDecision => decide(anObservedAgent(observed), now);
const told = ({ transitions }: AgentDecision) => transitions.map(({ to, reason, event }) => [to, reason, event.type]);
const deleted = ({ plan }: AgentDecision) =>
  plan.flatMap((action) => (action.kind === 'delete' ? [action.ref.resource.kind] : []));
const agentWith = (spec: Partial<AgentSpec>) => anAgent({ spec: { image, ...spec } });

/** A look at an agent with this spec, a record that fits it, and a Ready pod unless said otherwise. */
function look(
  spec: Partial<AgentSpec>,
  { steps, ...rest }: ObservedOverrides & { readonly steps?: readonly PathStep[] } = {},
) {
  const agent = agentWith(spec);
  const history =
    steps === undefined
      ? aReadyPath()
      : aPath(...steps.map(([to, overrides]): PathStep => [to, { spec: agent.spec, ...overrides }]));
  return { agent, history, pods: [aPod({ agent, readySince: t0 })], ...rest };
}

describe('an agent that is to be suspended', () => {
  const suspended = { operatingMode: 'Suspended' } as const;

  test('first stops its pod and says so', () => {
    expect(told(decided(look(suspended)))).toEqual([['Suspending', 'Suspended', 'agent.stopping']]);
    const stopping = decided(look(suspended, { steps: [['Created'], ['Suspending']] }), t0 + 1_000);
    expect(deleted(stopping)).toEqual(['Pod']);
    expect(stopping.status).toMatchObject({ phase: 'Suspending', reason: 'PodNotReady' });
  });

  test('is Suspended when no pod is left, at once when there was none', () => {
    const gone = look(suspended, { steps: [['Created'], ['Suspending']], pods: [] });
    expect(told(decided(gone))).toEqual([['Suspended', 'Suspended', 'agent.stopped']]);
    expect(told(decided(look(suspended, { steps: [['Created']], pods: [] })))).toEqual([
      ['Suspended', 'Suspended', 'agent.stopped'],
    ]);
  });

  test('waits for a pod that is on its way, to stop it', () => {
    const onItsWay = look(suspended, { steps: [['Created'], ['Suspending']], pods: [], podOnItsWay: true });
    expect(decided(onItsWay).transitions).toEqual([]);
  });

  test('rests: not Ready, neither Reconciling nor Stalled, and nothing is created', () => {
    const { plan, status } = decided(look(suspended, { steps: [['Created'], ['Suspended']], pods: [] }));
    expect(plan.filter((action) => action.kind === 'create')).toEqual([]);
    expect(status).toMatchObject({ phase: 'Suspended', reason: 'Suspended' });
    expect(status?.conditions?.map(({ type, status: value }) => `${type}=${value}`)).toEqual([
      'Ready=False',
      'EventsPublished=True',
      'Suspended=True',
    ]);
  });

  test('begins anew when it is to run again, with whatever the spec says by then', () => {
    const resumed = look({ image: 'registry.test/scout:2' }, { steps: [['Created'], ['Suspended']], pods: [] });
    expect(told(decided(resumed))).toEqual([['Created', 'Resumed', 'agent.resumed']]);
  });

  test('is carried to the end when the wish is taken back on the way', () => {
    expect(told(decided(look({}, { steps: [['Created'], ['Suspending']], pods: [] })))).toEqual([
      ['Suspended', 'Suspended', 'agent.stopped'],
      ['Created', 'Resumed', 'agent.resumed'],
    ]);
  });

  test.each(['Failed', 'Completed'] as const)('does not care when it is %s', (phase) => {
    expect(decided(look(suspended, { steps: [['Created'], [phase]], pods: [] })).transitions).toEqual([]);
  });
});

describe('an agent that may end', () => {
  const succeeded = (spec: Partial<AgentSpec>) =>
    look(spec, {
      steps: [['Created'], ['Scheduled'], ['Starting']],
      pods: [aPod({ agent: agentWith(spec), scheduled: true, phase: 'Succeeded' })],
    });

  test.each(['Never', 'OnFailure'] as const)('with restartPolicy %s is Completed by exit code 0', (restartPolicy) => {
    expect(told(decided(succeeded({ restartPolicy })))).toEqual([['Completed', 'Completed', 'agent.completed']]);
  });

  test('with restartPolicy Always has failed when its pod ended, whatever the code', () => {
    expect(told(decided(succeeded({})))).toEqual([['Recovering', 'PodFailed', 'agent.recovering']]);
  });

  test('keeps its pod for the logs and rests', () => {
    const ended = succeeded({ restartPolicy: 'Never' });
    const history = aPath(
      ['Created', { spec: agentWith({ restartPolicy: 'Never' }).spec }],
      ['Completed', { reason: 'Completed' }],
    );
    const decision = decided({ ...ended, history });
    expect(deleted(decision)).toEqual([]);
    expect(decision.outcome).toEqual({ kind: 'settled' });
    expect(decision.status?.conditions?.map(({ type, status }) => `${type}=${status}`)).toContain('Finished=True');
  });

  test('with restartPolicy Never gets a new pod after a failure', () => {
    const agent = agentWith({ restartPolicy: 'Never' });
    const failed = look(agent.spec, {
      steps: [['Created'], ['Scheduled']],
      pods: [aPod({ agent, scheduled: true, phase: 'Failed' })],
    });
    expect(told(decided(failed))).toEqual([['Recovering', 'PodFailed', 'agent.recovering']]);
  });

  test('is not tried again after Failed unless it says so', () => {
    const failed = (spec: Partial<AgentSpec>) =>
      decided(look(spec, { steps: [['Created'], ['Failed']], pods: [] })).outcome;
    expect(failed({ restartPolicy: 'Never' })).toEqual({ kind: 'settled' });
    expect(failed({})).toEqual({ kind: 'requeue', afterMs: 5 * minute });
  });
});

describe('the deadlines of spec.lifecycle', () => {
  const shutdownTime = at(t0 + minute);

  test('are looked at when they come, though nothing else happens', () => {
    expect(decided(look({ lifecycle: { shutdownTime } })).outcome).toEqual({ kind: 'requeue', afterMs: minute });
  });

  test('end the session in Completed, and the pod with it', () => {
    const over = look({ lifecycle: { shutdownTime } });
    expect(told(decided(over, t0 + minute))).toEqual([['Completed', 'SessionExpired', 'agent.completed']]);
    const history = aPath(['Created'], ['Completed', { reason: 'SessionExpired' }]);
    const decision = decided({ ...over, history }, t0 + minute);
    expect(deleted(decision)).toEqual(['Pod']);
    expect(decision.status).toMatchObject({ phase: 'Completed', reason: 'SessionExpired' });
  });

  test('count a session from the first time it was Ready, not the last', () => {
    const lifecycle = { maxSessionDurationSeconds: 60 };
    const ready = { observedAt: t0 + minute, detail: { firstReadyAt: t0 } };
    const again = look({ lifecycle }, { history: aReadyPath(ready) });
    expect(told(decided(again, t0 + minute - 1))).toEqual([]);
    expect(told(decided(again, t0 + minute))).toEqual([['Completed', 'SessionExpired', 'agent.completed']]);
  });

  test('delete the Agent where the policy says so: pods and events follow from that', () => {
    const over = look({ lifecycle: { shutdownTime, shutdownPolicy: 'Delete' } });
    expect(decided(over, t0 + minute).transitions).toEqual([]);
    expect(deleted(decided(over, t0 + minute))).toEqual(['Agent']);
    expect(deleted(decided(over, t0 + minute - 1))).toEqual([]);
  });

  test.each(['Completed', 'Failed'] as const)('delete a %s agent when its time to live is over', (phase) => {
    const finished = look({ lifecycle: { ttlSecondsAfterFinished: 60 } }, { steps: [['Created'], [phase]], pods: [] });
    expect(deleted(decided(finished, t0 + minute - 1))).toEqual([]);
    expect(deleted(decided(finished, t0 + minute))).toEqual(['Agent']);
  });

  test('leave a Failed agent its retry when they are not over', () => {
    const failed = look(
      { lifecycle: { ttlSecondsAfterFinished: 600 } },
      { steps: [['Created'], ['Failed']], pods: [] },
    );
    expect(decided(failed).outcome).toEqual({ kind: 'requeue', afterMs: 5 * minute });
  });
});

describe('a disruption', () => {
  const drained = () => {
    const pod = aPod({ readySince: t0, deleting: true });
    pod.status?.conditions?.push({ type: 'DisruptionTarget', status: 'True' });
    return pod;
  };

  test('is recovered from without using an attempt up', () => {
    const [recovering] = decided({ history: aReadyPath(), pods: [drained()] }).transitions;
    expect(recovering).toMatchObject({ to: 'Recovering', attempt: 1 });
  });

  test('is recovered from though no attempt is left', () => {
    const agent = agentWith({ recovery: { backoffLimit: 0 } });
    const history = aReadyPath();
    expect(decided({ agent, history, pods: [drained()] }).transitions[0]?.to).toBe('Recovering');
    expect(decided({ agent, history, pods: [aPod({ deleting: true })] }).transitions[0]?.to).toBe('Failed');
  });
});

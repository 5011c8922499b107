import { describe, expect, test } from 'vitest';
import type { Action } from '../../kernel/action.ts';
import { ApiError, OperatorError } from '../../kernel/errors.ts';
import { anAgent, anObservedAgent, aPath, t0 } from '../../testkit/builders.ts';
import { type AgentPorts, agentPass } from './controller.ts';
import { decide } from './decide.ts';
import type { AgentObserved } from './facts.ts';

/** Ports of which a test gives the ones it needs; the others must not be used. */
function passWith(ports: Partial<AgentPorts>) {
  return agentPass(ports as AgentPorts);
}

const observed = anObservedAgent({ history: aPath(['Created']) });
const create = createOf(observed);

function createOf(look: AgentObserved): Extract<Action, { kind: 'create' }> {
  const action = decide(look, t0).plan.find((one) => one.kind === 'create');
  if (action === undefined) throw new Error('no pod is created');
  return action;
}

const explained = (error: OperatorError, look: AgentObserved = observed, now = t0, failed: Action = create) =>
  passWith({}).explain?.(look, decide(look, t0), error, now, failed);

const forbidden = new ApiError('POST pods', 403, { message: 'exceeded quota: gold' });

describe('a create that fails', () => {
  test.each([
    ['403, and tries again', forbidden, { kind: 'requeue', afterMs: 1_000 }],
    [
      '422, and waits for another spec',
      new ApiError('POST pods', 422, { message: 'spec.containers[0].name: Invalid value' }),
      { kind: 'settled' },
    ],
  ])("shows the server's words: %s", (_status, error, outcome) => {
    const answer = explained(error);
    expect(answer?.status).toMatchObject({ phase: 'Created', reason: 'PodRejected' });
    expect(answer?.status?.message).toContain(error.serverMessage);
    expect(answer?.outcome).toEqual(outcome);
    expect(answer?.events).toMatchObject([{ type: 'Warning', reason: 'PodRejected' }]);
  });

  test('for a stranger under the name names the pod that stands in the way', () => {
    const answer = explained(new OperatorError('NameConflict', 'retryable', 'not ours'));
    expect(answer?.status).toMatchObject({ reason: 'NameConflict' });
    expect(answer?.status?.message).toContain(create.object.metadata.name);
  });

  test.each([
    ['a server that is busy', new ApiError('POST pods', 429, {})],
    ['a server that is away', new OperatorError('Unreachable', 'retryable', 'refused')],
    ['a race', new OperatorError('CreateRaced', 'conflict', 'vanished')],
  ])('because of %s is left to the error policy', (_name, error) => {
    expect(explained(error)).toBeUndefined();
  });

  test('again and again is written once, and tried ever more rarely, at least once a minute', () => {
    const status = explained(forbidden)?.status;
    const look = anObservedAgent({ ...observed, agent: anAgent(status === undefined ? {} : { status }) });
    const afterMs = (ms: number) => explained(forbidden, look, t0 + ms);
    expect(afterMs(8_000)).toEqual({ outcome: { kind: 'requeue', afterMs: 8_000 } });
    expect(afterMs(60_000)).toMatchObject({ outcome: { afterMs: 60_000 } });
    expect(afterMs(3_600_000)).toMatchObject({ outcome: { afterMs: 60_000 } });
  });
});

test('a deletion that fails, and whatever fails for an agent that is gone, are left to the error policy', () => {
  const deletion: Action = { kind: 'delete', ref: { resource: create.resource, name: 'x' }, uid: 'y' };
  expect(explained(forbidden, observed, t0, deletion)).toBeUndefined();
  expect(explained(forbidden, anObservedAgent({ agent: undefined }))).toBeUndefined();
});

describe('a pod is expected', () => {
  async function execute(action: Action, run: () => Promise<void>) {
    const calls: string[] = [];
    const pass = passWith({
      execute: async () => {
        calls.push('execute');
        await run();
      },
      expectPod: (uid, name) => calls.push(`expect ${uid} ${name}`),
      podRefused: (uid, name) => calls.push(`refused ${uid} ${name}`),
    });
    const failure = await pass.execute(action, observed).catch((error: unknown) => error);
    return { calls, failure };
  }
  const { name } = create.object.metadata;

  test('before it is asked for', async () => {
    expect((await execute(create, async () => {})).calls).toEqual([`expect agent-uid ${name}`, 'execute']);
  });

  test('no more when it was refused', async () => {
    const { calls, failure } = await execute(create, () => Promise.reject(forbidden));
    expect(calls).toEqual([`expect agent-uid ${name}`, 'execute', `refused agent-uid ${name}`]);
    expect(failure).toBe(forbidden);
  });

  test('for no other action', async () => {
    const deletion: Action = { kind: 'delete', ref: { resource: create.resource, name: 'x' }, uid: 'y' };
    expect((await execute(deletion, async () => {})).calls).toEqual(['execute']);
  });
});

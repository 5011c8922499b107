import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import { anAgent, anObservedAgent, aPath, aPod, aReadyPath, t0 } from '../../testkit/builders.ts';
import type { PlaceRoom, QuotaRoom } from '../quota.ts';
import { decide } from './decide.ts';
import type { AgentObserved } from './facts.ts';
import { podNeeds } from './quota.ts';

const full: PlaceRoom = { limit: 3, used: 3, ahead: 0 };
const room = (places: PlaceRoom | undefined, ...amounts: QuotaRoom['amounts']): QuotaRoom => ({
  ...(places === undefined ? {} : { places }),
  amounts,
});
const look = (quota: QuotaRoom, over: Partial<AgentObserved> = {}) => anObservedAgent({ quota, ...over });
const recorded = (observed: AgentObserved, now = t0) => decide(observed, now).transitions.map(({ to }) => to);
const statusOf = (observed: AgentObserved, now = t0) => decide(observed, now).status;
const typesOf = (observed: AgentObserved, now = t0) =>
  statusOf(observed, now)
    ?.conditions?.filter(({ status }) => status !== 'Unknown')
    .map(({ type, status, reason }) => `${type}=${status} ${reason}`);

describe('an agent without a place', () => {
  test('is Pending and not recorded while all are taken, and is recorded once one is free', () => {
    expect(recorded(look(room(full)))).toEqual([]);
    expect(statusOf(look(room(full)))).toMatchObject({ phase: 'Pending', reason: 'WaitingForQuota' });
    expect(recorded(look(room({ ...full, used: 2 })))).toEqual(['Created']);
  });

  test('leaves what is free to those who have waited longer', () => {
    expect(recorded(look(room({ limit: 3, used: 1, ahead: 2 })))).toEqual([]);
    expect(recorded(look(room({ limit: 3, used: 1, ahead: 1 })))).toEqual(['Created']);
  });

  test('says that it waits, is told by a Warning, and is not Stalled by it however long it takes', () => {
    const waiting = look(room(full));
    expect(decide(waiting, t0).plan).toMatchObject([{ kind: 'event', type: 'Warning', reason: 'WaitingForQuota' }]);
    const status = statusOf(waiting);
    if (status === undefined) throw new Error('no status is written');
    const later = { ...waiting, agent: anAgent({ status: { ...status, message: 'before' } }) };
    expect(typesOf(later, t0 + 3_600_000)).toEqual([
      'Ready=False WaitingForQuota',
      'Reconciling=True Pending',
      'EventsPublished=True UpToDate',
      'QuotaReserved=False WaitingForQuota',
    ]);
  });

  test('of a tenant that may have none is told so', () => {
    expect(statusOf(look(room({ limit: 0, used: 0, ahead: 0 })))).toMatchObject({ reason: 'QuotaExceeded' });
  });

  test('waits when it is to go on after it was suspended, and not while it is', () => {
    const history = aPath(['Created'], ['Suspended', { reason: 'Suspended' }]);
    expect(statusOf(look(room(full), { history }))).toMatchObject({ phase: 'Suspended', reason: 'WaitingForQuota' });
    const agent = anAgent({ spec: { image: 'registry.test/scout:1', operatingMode: 'Suspended' } });
    expect(statusOf(look(room(full), { history, agent }))).toMatchObject({ phase: 'Suspended', reason: 'Suspended' });
    expect(recorded(look(room({ ...full, used: 0 }), { history }))).toEqual(['Created']);
  });

  test('says why it has failed until it is time for another try, and waits then', () => {
    const history = aPath(['Created'], ['Failed', { reason: 'CrashLoop' }]);
    const failed = look(room(full), { history });
    expect(statusOf(failed)).toMatchObject({ phase: 'Failed', reason: 'CrashLoop' });
    expect(statusOf(failed, t0 + 300_000)).toMatchObject({ phase: 'Failed', reason: 'WaitingForQuota' });
    expect(typesOf(failed, t0 + 300_000)).not.toContain('Stalled=True RetriesExhausted');
    expect(recorded(look(room(undefined), { history }), t0 + 300_000)).toEqual(['Recovering']);
  });

  test('may always be deleted', () => {
    const history = aPath(['Created'], ['Failed', { reason: 'CrashLoop' }]);
    expect(recorded(look(room(full), { history, agent: undefined }))).toEqual(['Terminating', 'Deleted']);
  });
});

describe('an amount of the quota', () => {
  const cpu = (hard: number, used: number) => room(undefined, { name: 'requests.cpu', hard, used });
  const agent = anAgent({ spec: { image: 'i', resources: { requests: { cpu: '500m' } } } });

  test.each([
    ['fits', cpu(2, 1.5), ['Created']],
    ['fits though sums of parts are never exact', cpu(0.8, 0.1 + 0.2), ['Created']],
    ['is too much for what is left', cpu(2, 1.6), []],
    ['is not asked for', room(undefined, { name: 'requests.nvidia.com/gpu', hard: 0, used: 0 }), ['Created']],
    ['is unbounded where nothing is known', room(undefined), ['Created']],
    ['is the number of pods', room(undefined, { name: 'pods', hard: 4, used: 4 }), []],
  ])('%s', (_title, quota, to) => {
    expect(recorded(look(quota, { agent }))).toEqual(to);
  });

  test('that others can let go of is waited for; one that is too great alone is not', () => {
    expect(statusOf(look(cpu(2, 1.6), { agent }))).toMatchObject({ reason: 'WaitingForQuota' });
    expect(statusOf(look(cpu(0.4, 0), { agent }))).toMatchObject({ reason: 'QuotaExceeded' });
  });

  test('keeps no place in the line of those who wait for one', () => {
    expect(typesOf(look(cpu(2, 2), { agent }))?.some((one) => one.startsWith('QuotaReserved'))).toBe(false);
  });

  test('is looked at again for each new pod, and not for one that runs', () => {
    const spec = { image: 'i', resources: { requests: { cpu: '500m' } } };
    const lost = aPath(['Created', { spec }], ['Recovering', { reason: 'PodLost', attempt: 2, spec }]);
    const waiting = look(cpu(2, 2), { agent, history: lost });
    expect(decide(waiting, t0 + 5_000).plan.some(({ kind }) => kind === 'create')).toBe(false);
    expect(statusOf(waiting, t0 + 5_000)).toMatchObject({ phase: 'Recovering', reason: 'WaitingForQuota' });
    const created = decide(look(cpu(2, 1), { agent, history: lost }), t0 + 5_000).plan;
    expect(created.some(({ kind }) => kind === 'create')).toBe(true);
    const running = look(cpu(2, 2), { history: aReadyPath(), pods: [aPod({ readySince: t0 })] });
    expect(statusOf(running)).toMatchObject({ phase: 'Ready', reason: 'AgentReady' });
  });
});

describe('what a pod counts for', () => {
  const needs = (spec: AgentSpec, limits?: object) =>
    podNeeds(
      anAgent({ spec }),
      limits === undefined ? {} : { limitRange: { limits: [{ type: 'Container', ...limits }] } },
    );

  test('is itself and what its container asks for, a request that is missing being the limit', () => {
    const resources = { requests: { cpu: '250m' }, limits: { cpu: '1', memory: '64Mi' } };
    expect(needs({ image: 'i', resources })).toMatchObject({
      pods: 1,
      'count/pods': 1,
      cpu: 0.25,
      'requests.cpu': 0.25,
      'requests.memory': 64 * 2 ** 20,
      'limits.cpu': 1,
    });
  });

  test('is what the LimitRange fills in', () => {
    const limits = { default: { memory: '1Gi' }, defaultRequest: { cpu: '100m', memory: '64Mi' } };
    expect(needs({ image: 'i' }, limits)).toMatchObject({
      'requests.cpu': 0.1,
      'requests.memory': 64 * 2 ** 20,
      'limits.memory': 2 ** 30,
    });
    const own = needs({ image: 'i', resources: { limits: { memory: '2Gi' } } }, limits);
    expect(own).toMatchObject({ 'requests.memory': 2 ** 31, 'limits.memory': 2 ** 31 });
  });

  test('is the sum of what runs together, or what runs before if that is more', () => {
    const asking = (cpu: string, over: object = {}) => ({
      name: cpu,
      image: 'i',
      resources: { requests: { cpu } },
      ...over,
    });
    const spec = (init: string): AgentSpec => ({
      template: {
        spec: {
          containers: [asking('1'), asking('500m')],
          initContainers: [asking('250m', { restartPolicy: 'Always' }), asking(init)],
        },
      },
    });
    expect(needs(spec('1'))['requests.cpu']).toBe(1.75);
    expect(needs(spec('3'))['requests.cpu']).toBe(3);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import { sameStatus } from '../../kernel/conditions.ts';
import { AgentWorld, healthyStep, type WorldPod } from '../../testkit/agent-world.ts';
import { type AgentDecision, decide } from './decide.ts';
import type { AgentObserved } from './facts.ts';
import { startsAttempt, transitions } from './machine.ts';
import { specHash } from './pod.ts';

/** decide() driven through a simulated world: what holds after every pass, whatever happens, and where it ends. */

const image = 'registry.test/scout:1';
const specs: readonly AgentSpec[] = [
  { image },
  { image: 'registry.test/scout:2' },
  { image, startupDeadlineSeconds: 20 },
  { image, events: { readinessGate: 'BestEffort' } },
  { image, networkPolicy: {} },
  // More than the Tenant allows.
  { image, networkPolicy: { egress: [{}] } },
];

type Step = (world: AgentWorld) => void;

const movePods = (change: (pod: WorldPod, world: AgentWorld) => WorldPod | undefined): Step => {
  return (world) => world.movePods((pod) => (pod.unseen || pod.deleting ? pod : change(pod, world)));
};

const steps: Readonly<Record<string, Step>> = {
  'the cluster moves on': (world) => void world.clusterStep(),
  'the cluster moves on thrice': (world) => [1, 2, 3].forEach(() => void world.clusterStep()),
  'the oldest event is published': (world) => void world.publishStep(),
  'the oldest three events are published': (world) => [1, 2, 3].forEach(() => void world.publishStep()),
  'the pod crashes again and again': movePods((pod) =>
    pod.started ? { ...pod, crashing: true, readySince: undefined } : pod,
  ),
  'the pod fails': movePods((pod) => (pod.scheduled ? { ...pod, failed: true, readySince: undefined } : pod)),
  'the pod loses readiness': movePods((pod) => ({ ...pod, readySince: undefined })),
  'the pod vanishes': movePods(() => undefined),
  'somebody deletes the pod': movePods((pod) => (pod.scheduled ? { ...pod, deleting: true } : undefined)),
  'the runtime class goes': (world) => world.change({ runtimeClass: false }),
  'the runtime class comes': (world) => world.change({ runtimeClass: true }),
  'the tenant goes': (world) => world.change({ tenant: false }),
  'the tenant comes': (world) => world.change({ tenant: true }),
  'the database goes': (world) => world.change({ database: false }),
  'the database comes': (world) => world.change({ database: true }),
  'the broker goes': (world) => world.change({ broker: false }),
  'the broker comes': (world) => world.change({ broker: true }),
  'half a second passes': (world) => world.wait(500),
  'twelve seconds pass': (world) => world.wait(12_000),
  'six minutes pass': (world) => world.wait(360_000),
  'an hour passes': (world) => world.wait(3_600_000),
  'the operator looks': (world) => world.settle(),
  'the operator restarts': (world) => world.change({}),
  ...Object.fromEntries(
    specs.map((spec, index) => [`the spec becomes number ${index}`, (world: AgentWorld) => world.edit(spec)]),
  ),
};
const deletion: Readonly<Record<string, Step>> = { 'the agent is deleted': (world) => world.remove() };

type Story = readonly string[];
const stories = (names: readonly string[]): fc.Arbitrary<Story> =>
  fc.array(fc.constantFrom(...names), { maxLength: 40 });

function live(story: Story, onPass: ConstructorParameters<typeof AgentWorld>[1] = () => {}): AgentWorld {
  const world = new AgentWorld({ image }, onPass);
  for (const name of story) {
    const step = steps[name] ?? deletion[name];
    step?.(world);
    // Every other kind of step is seen at once; waiting alone wakes nobody but for a deadline.
    if (name !== 'the operator looks') world.settle();
  }
  return world;
}

/** As `live`, but the operator looks only when the story says so: changes in between are seen as one. */
function liveUnseen(story: Story, onPass: ConstructorParameters<typeof AgentWorld>[1]): AgentWorld {
  const world = new AgentWorld({ image }, onPass);
  for (const name of story) (steps[name] ?? deletion[name])?.(world);
  return world;
}

/** Makes the world healthy again and lets it run. */
function heal(world: AgentWorld): void {
  world.change({ database: true, broker: true, runtimeClass: true, tenant: true });
  world.movePods((pod) => ({ ...pod, crashing: false }));
  if (world.agent?.spec.networkPolicy !== undefined) world.edit({ image });
  world.run();
}

const all = [...Object.keys(steps), ...Object.keys(deletion)];
const budget = { numRuns: 100 } as const;
/** Generous: the work is bounded by the number of stories, the time it takes is the machine's. */
const patient = { timeout: 60_000 };

function holdsInEveryPass(check: (world: AgentWorld, observed: AgentObserved, decision: AgentDecision) => void): void {
  fc.assert(
    fc.property(stories(all), (story) => void heal(live(story, check))),
    budget,
  );
  fc.assert(
    fc.property(stories(all), (story) => void heal(liveUnseen(story, check))),
    budget,
  );
}

describe('in every pass, whatever happened before it,', patient, () => {
  test('Ready is shown only while the newest agent.ready is on the stream, unless the gate is BestEffort', () => {
    holdsInEveryPass((world, _observed, { status }) => {
      if (status === undefined || world.agent?.spec.events?.readinessGate === 'BestEffort') return;
      const isTrue = status.conditions?.some((one) => one.type === 'Ready' && one.status === 'True');
      if (status.phase !== 'Ready' && !isTrue) return;
      expect(world.rows.findLast((row) => row.to === 'Ready')?.event.state).toBe('Published');
    });
  });

  test('Ready is True only for a generation whose spec the pod was made from', () => {
    holdsInEveryPass((world, { history }, { status }) => {
      const isTrue = status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True');
      if (!isTrue || history.kind === 'unavailable') return;
      expect(world.last?.to).toBe('Ready');
      const pod = world.pods.find((one) => one.name === status?.podRef?.name);
      expect(pod?.readySince).toBeDefined();
      const start = world.rows.findLast((row) => startsAttempt(row.to));
      expect(start?.detail.specHash).toBe(specHash(world.agent?.spec ?? {}));
    });
  });

  test('what is recorded follows the record by a row of the table', () => {
    holdsInEveryPass((world, _observed, decision) => {
      decision.transitions.reduce((from, { from: said, to, event }) => {
        expect(said).toBe(from);
        const rule = transitions.some(
          (one) => one.from.some((state) => state === from) && one.to === to && one.event === event.type,
        );
        expect(rule).toBe(true);
        return to as string;
      }, world.last?.to ?? 'New');
    });
  });

  test('nothing is done about facts in the pass that records them, and none are recorded without the database', () => {
    holdsInEveryPass((world, _observed, { transitions: recorded, plan, status }) => {
      if (recorded.length > 0)
        expect({ plan, status, database: world.database }).toEqual({ plan: [], status: undefined, database: true });
    });
  });

  test('there is never more than one pod: the next is created when the last is gone', () => {
    holdsInEveryPass((world, _observed, { plan }) => {
      const creates = plan.filter((action) => action.kind === 'create');
      if (creates.length > 0) expect([creates.length, world.pods.length]).toEqual([1, 0]);
    });
  });

  test('a pod is created only with the database there, and only where tenant and runtime class are', () => {
    holdsInEveryPass(({ agent, database, runtimeClass, tenant }, _observed, { plan }) => {
      if (!plan.some((action) => action.kind === 'create')) return;
      expect({ database, runtimeClass, tenant, there: agent !== undefined }).toEqual({
        database: true,
        runtimeClass: true,
        tenant: true,
        there: true,
      });
    });
  });

  test('the pods of a living agent are left alone while the database is away', () => {
    holdsInEveryPass(({ agent, database }, _observed, { plan }) => {
      const policies = plan.filter((action) => action.kind === 'apply');
      if (agent !== undefined && !database) expect(plan).toEqual(policies);
    });
  });

  test('another look at once is asked for only when something was recorded', () => {
    holdsInEveryPass((_world, _observed, { outcome, transitions: recorded }) => {
      if (outcome.kind === 'requeue' && outcome.afterMs === 0) expect(recorded.length).toBeGreaterThan(0);
    });
  });

  test('a status is never written twice, and one that was written calls for no other', () => {
    holdsInEveryPass((world, observed, { status }) => {
      if (status === undefined || observed.agent === undefined) return;
      expect(sameStatus(observed.agent.status, status)).toBe(false);
      const again = decide({ ...observed, agent: { ...observed.agent, status } }, world.now);
      expect(again.status).toBeUndefined();
      expect(again.plan.filter((action) => action.kind === 'event')).toEqual([]);
    });
  });

  test('the conditions follow the rules of kstatus', () => {
    holdsInEveryPass((world, _observed, { status }) => {
      if (status === undefined) return;
      const types = status.conditions?.map((one) => one.type) ?? [];
      expect(types.slice(0, 1)).toEqual(['Ready']);
      expect(types).toContain('EventsPublished');
      expect(types.includes('Reconciling') && types.includes('Stalled')).toBe(false);
      expect(new Set(types).size).toBe(types.length);
      for (const one of status.conditions ?? []) expect(one.observedGeneration).toBe(world.agent?.metadata.generation);
    });
  });
});

describe('in a world that is healthy again', patient, () => {
  test('every agent comes to rest: Ready with one pod, and every event out', () => {
    fc.assert(
      fc.property(stories(Object.keys(steps)), (story) => {
        const world = live(story);
        heal(world);
        expect(world.status).toMatchObject({
          phase: 'Ready',
          reason: 'AgentReady',
          observedGeneration: world.agent?.metadata.generation,
        });
        expect(world.status?.conditions?.map((one) => [one.type, one.status])).toEqual([
          ['Ready', 'True'],
          ['EventsPublished', 'True'],
        ]);
        expect(world.pods).toHaveLength(1);
        expect(world.rows.every((row) => row.event.state === 'Published')).toBe(true);
        expect(world.due).toBeUndefined();
      }),
      budget,
    );
  });

  test('every deleted agent is gone with its pods, and Deleted if it was ever recorded', () => {
    fc.assert(
      fc.property(stories(Object.keys(steps)), stories(Object.keys(steps)), (before, after) => {
        const world = live([...before, 'the agent is deleted', ...after]);
        heal(world);
        expect(world.pods).toEqual([]);
        expect([undefined, 'Deleted']).toContain(world.last?.to);
        expect(world.path.filter((phase) => phase === 'Terminating' || phase === 'Deleted').length).toBe(
          world.rows.length > 0 ? 2 : 0,
        );
      }),
      budget,
    );
  });

  test('an agent whose every pod crashes ends in Failed with a retry scheduled, and goes on when it is mended', () => {
    const world = new AgentWorld({ image });
    for (let moves = 0; world.last?.to !== 'Failed' && moves < 500; moves += 1) {
      world.settle();
      world.publishStep();
      world.movePods((pod) =>
        pod.started && !pod.deleting ? { ...pod, crashing: true, readySince: undefined } : healthyStep(pod, world.now),
      );
      world.wait(1_000);
    }
    expect(world.path.filter((phase) => phase === 'Recovering')).toHaveLength(5);
    while (world.publishStep()) world.settle();
    world.settle();
    expect(world.status).toMatchObject({ phase: 'Failed', reason: 'CrashLoop', attempts: 6 });
    expect(world.due).toBe((world.last?.observedAt ?? 0) + 300_000);
    heal(world);
    expect(world.status).toMatchObject({ phase: 'Ready', reason: 'AgentReady' });
  });
});

describe('a cold start', () => {
  const phases = ['Created', 'Scheduled', 'Starting', 'Ready'];

  test.each([
    0, 20, 150, 300,
  ])('takes one pod, one write of status and one Event when each step takes %i ms', (stepMs) => {
    const world = new AgentWorld();
    for (let moves = 0; moves < 20; moves += 1) {
      world.settle();
      if (!world.clusterStep()) world.publishStep();
      world.wait(stepMs);
    }
    expect(world.path).toEqual(phases);
    expect(world.writes.created).toHaveLength(1);
    expect(world.writes.status.map(({ phase }) => phase).at(-1)).toBe('Ready');
    expect(world.writes.status).toHaveLength(1);
    expect(world.writes.events.map(({ type, reason }) => [type, reason])).toEqual([['Normal', 'AgentReady']]);
  });

  test('shows a phase that it stays in for a second, and ten seconds once the pod is shown', () => {
    const world = new AgentWorld();
    world.settle();
    world.clusterStep();
    world.settle();
    world.clusterStep();
    world.settle();
    const shown = () => world.writes.status.map(({ phase }) => phase);
    expect(shown()).toEqual([]);
    world.wait(1_000);
    world.settle();
    expect(shown()).toEqual(['Scheduled']);
    world.clusterStep();
    world.settle();
    world.wait(9_999);
    world.settle();
    expect(shown()).toEqual(['Scheduled']);
    world.wait(1);
    world.settle();
    expect(shown()).toEqual(['Scheduled', 'Starting']);
  });

  test('is followed by rest: an hour later nothing was written', () => {
    const world = new AgentWorld();
    world.run(0);
    const { writes } = world;
    expect(writes.status.at(-1)?.phase).toBe('Ready');
    world.wait(3_600_000);
    world.change({});
    world.settle();
    expect(world.writes).toBe(writes);
    expect(world.due).toBeUndefined();
  });
});

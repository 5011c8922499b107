import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AgentPool, AgentPoolSpec, AgentPoolStatus } from '../../api/v1alpha1/agentpool.ts';
import type { Action } from '../../kernel/action.ts';
import { isTrue } from '../../kernel/conditions.ts';
import type { StoredObject } from '../../kernel/object.ts';
import { at, t0 } from '../../testkit/builders.ts';
import { decide, type PoolObserved } from './decide.ts';
import type { PoolTransition } from './events.ts';
import { goalOf } from './goal.ts';
import type { PoolRow } from './history.ts';
import { isAvailable, type MemberObject, memberOf } from './member.ts';

/** decide() driven through a simulated cluster: a store of Agents, and an operator that may see an older state of it. */

const images = ['registry.test/agent:1', 'registry.test/agent:2'];
const bound = 400;

class PoolWorld {
  now = t0;
  pool: AgentPool | undefined;
  agents: readonly MemberObject[] = [];
  rows: readonly PoolRow[] = [];
  told: readonly string[] = [];
  /** Every state the store ever had, the newest last: a lagging cache shows one of these. */
  past: (readonly MemberObject[])[] = [[]];
  created = 0;
  mostEver = 0;
  #uids = 0;

  constructor(spec: AgentPoolSpec) {
    this.pool = {
      apiVersion: 'openos.dev/v1alpha1',
      kind: 'AgentPool',
      metadata: {
        name: 'herd',
        namespace: 'research',
        uid: 'pool-uid',
        resourceVersion: '1',
        generation: 1,
        creationTimestamp: at(t0),
      },
      spec,
    };
  }

  edit(change: Partial<AgentPoolSpec>): void {
    if (this.pool === undefined) return;
    const { metadata, spec } = this.pool;
    this.pool = {
      ...this.pool,
      metadata: { ...metadata, generation: metadata.generation + 1 },
      spec: { ...spec, ...change },
    };
  }

  observe(agents = this.agents): PoolObserved {
    return {
      uid: 'pool-uid',
      namespace: 'research',
      name: 'herd',
      pool: this.pool,
      orphaning: false,
      tenancy: { kind: 'member', tenant: 'acme' },
      members: agents.map(memberOf),
      refusal: undefined,
      history: { kind: 'known', last: this.rows.at(-1) },
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    };
  }

  /** One pass of the operator on what it sees. Answers whether it did anything. */
  pass(seen = this.agents): boolean {
    const { transitions, plan, status } = decide(this.observe(seen), this.now);
    this.#record(transitions);
    for (const action of plan) this.#execute(action);
    if (status !== undefined) this.#show(status);
    return transitions.length > 0 || plan.length > 0 || status !== undefined;
  }

  settle(): void {
    for (let passes = 0; this.pass(); passes += 1) expect(passes).toBeLessThan(bound);
  }

  /** Time passes and the Agents get on: those in `well` become Ready. */
  tick(well: (agent: MemberObject) => boolean = () => true): void {
    this.now += 1_000;
    this.change((agent) =>
      well(agent) && agent.status?.phase === undefined ? shown(agent, 'Ready', this.now) : agent,
    );
  }

  change(how: (agent: MemberObject) => MemberObject | undefined): void {
    this.#store(this.agents.flatMap((agent) => how(agent) ?? []));
  }

  #store(agents: readonly MemberObject[]): void {
    this.agents = agents;
    this.past = [...this.past, agents];
    this.mostEver = Math.max(this.mostEver, agents.length);
  }

  #record(transitions: readonly PoolTransition[]): void {
    for (const { to, observedAt, detail, event } of transitions) {
      this.told = [...this.told, event.type];
      this.rows = [...this.rows, { seq: this.rows.length + 1, to, observedAt, tenantId: 'acme', detail }];
    }
  }

  #execute(action: Action): void {
    if (action.kind === 'delete') this.#store(this.agents.filter(({ metadata }) => metadata.uid !== action.uid));
    if (action.kind !== 'create') return;
    const { metadata } = action.object;
    // The API server keeps names apart: a name of ours that is taken already counts as made.
    if (this.agents.some((agent) => agent.metadata.name === metadata.name)) return;
    this.created += 1;
    this.#uids += 1;
    const stored = { uid: `agent-${this.#uids}`, resourceVersion: '1', generation: 1, creationTimestamp: at(this.now) };
    this.#store([...this.agents, { ...action.object, metadata: { ...metadata, ...stored } } as MemberObject]);
  }

  #show(status: AgentPoolStatus): void {
    if (this.pool !== undefined) this.pool = { ...this.pool, status };
  }
}

function shown(agent: MemberObject, phase: 'Ready' | 'Failed' | 'NotReady', now: number): MemberObject {
  const time = { lastTransitionTime: at(now), observedGeneration: 1, message: '' };
  const ready = { ...time, type: 'Ready', status: phase === 'Ready' ? 'True' : 'False', reason: 'AgentReady' } as const;
  const stalled = { ...time, type: 'Stalled', status: 'True', reason: 'RetriesExhausted' } as const;
  return {
    ...agent,
    status: { observedGeneration: 1, phase, conditions: phase === 'Failed' ? [ready, stalled] : [ready] },
  };
}

const template = (image: string | undefined) => ({ spec: { image: image ?? '' } });

type Step = (world: PoolWorld) => void;

const steps: Readonly<Record<string, Step>> = {
  'time passes': (world) => world.tick(),
  'time passes, only half get Ready': (world) => world.tick(({ metadata }) => metadata.uid.length % 2 === 0),
  'one fails': (world) => {
    const [first] = world.agents;
    world.change((agent) => (agent === first ? shown(agent, 'Failed', world.now) : agent));
  },
  'one loses readiness': (world) => {
    const last = world.agents.at(-1);
    world.change((agent) => (agent === last ? shown(agent, 'NotReady', world.now) : agent));
  },
  'somebody deletes one': (world) => {
    const [first] = world.agents;
    world.change((agent) => (agent === first ? undefined : agent));
  },
  'it is scaled to 0': (world) => world.edit({ replicas: 0 }),
  'it is scaled to 3': (world) => world.edit({ replicas: 3 }),
  'it is scaled to 9': (world) => world.edit({ replicas: 9 }),
  'it is paused': (world) => world.edit({ paused: true }),
  'it goes on': (world) => world.edit({ paused: false }),
  'the template becomes the first': (world) => world.edit({ template: template(images[0]) }),
  'the template becomes the second': (world) => world.edit({ template: template(images[1]) }),
  'the operator looks once': (world) => void world.pass(),
};

const stories = fc.array(fc.constantFrom(...Object.keys(steps)), { maxLength: 40 });
const strategies = fc.record({
  maxSurge: fc.constantFrom<(number | string)[]>(0, 1, 3, '25%', '100%'),
  maxUnavailable: fc.constantFrom<(number | string)[]>(1, 2, '25%', '50%'),
});
const budget = { numRuns: 150 } as const;
const patient = { timeout: 60_000 };

function newWorld(rollingUpdate: { readonly maxSurge: number | string; readonly maxUnavailable: number | string }) {
  return new PoolWorld({ replicas: 4, template: template(images[0]), updateStrategy: { rollingUpdate } });
}

/** Everything gets well, nothing holds it, and it runs until nothing is left to do. */
function heal(world: PoolWorld): void {
  world.edit({ paused: false });
  world.settle();
  for (let round = 0; round < 60; round += 1) {
    world.change((agent) => (agent.status?.phase === 'Ready' ? agent : shown(agent, 'Ready', world.now)));
    world.tick();
    world.settle();
  }
}

describe('whatever happens to it, a pool', patient, () => {
  test('comes out with exactly what is asked for, all of the current template, and says so', () => {
    fc.assert(
      fc.property(strategies, stories, (strategy, story) => {
        const world = newWorld(strategy);
        for (const name of story) {
          steps[name]?.(world);
          world.settle();
        }
        heal(world);
        const { spec, status } = world.pool ?? {};
        expect(world.agents).toHaveLength(spec?.replicas ?? -1);
        expect(new Set(world.agents.map((agent) => agent.spec.image)).size).toBeLessThanOrEqual(1);
        expect(world.agents.every((agent) => agent.spec.image === spec?.template.spec.image)).toBe(true);
        expect(isTrue(status?.conditions ?? [], 'Ready')).toBe(true);
        expect(status).toMatchObject({ replicas: spec?.replicas, availableReplicas: spec?.replicas });
      }),
      budget,
    );
  });

  test('never takes away more than maxUnavailable allows, never makes more than maxSurge allows, and shows counts that add up', () => {
    fc.assert(
      fc.property(strategies, stories, (strategy, story) => {
        const world = newWorld(strategy);
        for (const name of story) {
          steps[name]?.(world);
          for (let passes = 0; passes < 5; passes += 1) onePass(world);
        }
      }),
      budget,
    );
  });

  test('is deleted with all its Agents, and told of last', () => {
    fc.assert(
      fc.property(strategies, stories, (strategy, story) => {
        const world = newWorld(strategy);
        for (const name of story) {
          steps[name]?.(world);
          world.settle();
        }
        world.settle();
        world.pool = undefined;
        world.settle();
        expect(world.agents).toEqual([]);
        expect(world.told[0]).toBe('agentpool.created');
        expect(world.told.indexOf('agentpool.deleted')).toBe(world.told.length - 1);
      }),
      budget,
    );
  });
});

function onePass(world: PoolWorld): void {
  const before = world.agents.map(memberOf);
  const { pool } = world;
  const detail = world.rows.at(-1)?.detail;
  const created = world.created;
  world.pass();
  if (pool === undefined || detail === undefined) return;
  const goal = goalOf(pool, detail, before);
  const available = (list: readonly MemberObject[]) =>
    list.map(memberOf).filter((member) => isAvailable(member, goal.minReadyMs, world.now)).length;
  const had = before.filter((member) => isAvailable(member, goal.minReadyMs, world.now)).length;
  expect(available(world.agents)).toBeGreaterThanOrEqual(Math.min(had, goal.replicas - goal.maxUnavailable));
  if (world.created > created) expect(world.agents.length).toBeLessThanOrEqual(goal.replicas + goal.maxSurge);
  const { replicas = 0, readyReplicas = 0, availableReplicas = 0, updatedReplicas = 0 } = world.pool?.status ?? {};
  expect(availableReplicas).toBeLessThanOrEqual(readyReplicas);
  expect(readyReplicas).toBeLessThanOrEqual(replicas);
  expect(updatedReplicas).toBeLessThanOrEqual(replicas);
}

describe('an operator that sees an older state of the cluster, a thousand times,', patient, () => {
  test('does not make one Agent too many: a name that is taken is not made again', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat(1_000_000)), fc.integer({ min: 1, max: 30 }), (lags, replicas) => {
        const world = new PoolWorld({ replicas, template: template(images[0]) });
        for (let pass = 0; pass < 50; pass += 1) {
          const lag = lags.next().value ?? 0;
          world.pass(world.past[lag % world.past.length]);
          expect(world.agents.length).toBeLessThanOrEqual(replicas);
        }
        world.settle();
        expect(world.agents).toHaveLength(replicas);
        expect(world.created).toBe(replicas);
      }),
      { numRuns: 20 },
    );
  });

  test('stays within replicas and maxSurge in a roll-out, too', () => {
    fc.assert(
      fc.property(strategies, fc.infiniteStream(fc.nat(1_000_000)), (strategy, lags) => {
        const world = newWorld(strategy);
        world.settle();
        world.tick();
        world.edit({ template: template(images[1]) });
        const ceiling = 4 + (goalOf(world.pool as AgentPool, undefined, []).maxSurge ?? 0);
        for (let pass = 0; pass < 50; pass += 1) {
          const lag = lags.next().value ?? 0;
          world.pass(world.past[lag % world.past.length]);
          world.tick();
          expect(world.agents.length).toBeLessThanOrEqual(ceiling);
        }
        heal(world);
        expect(world.agents.map((agent) => agent.spec.image)).toEqual(Array(4).fill(images[1]));
      }),
      { numRuns: 20 },
    );
  });
});

test('the builder of the world stores what the API server would', () => {
  const world = new PoolWorld({ replicas: 1, template: template(images[0]) });
  world.settle();
  const [agent] = world.agents as readonly StoredObject[];
  expect(agent?.metadata.ownerReferences?.[0]).toMatchObject({
    uid: 'pool-uid',
    controller: true,
    blockOwnerDeletion: false,
  });
});

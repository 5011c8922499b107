import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LaggingWorld } from '../../testkit/lagging-world.ts';
import type { ModelPod } from '../../testkit/model/pod-model.ts';
import { specs } from '../../testkit/model/state.ts';

type Deed = (world: LaggingWorld) => unknown;

const gone = (): undefined => undefined;
const failed = (pod: ModelPod): ModelPod => (pod.scheduled ? { ...pod, failed: true, readySince: undefined } : pod);
const deeds: Readonly<Record<string, Deed>> = {
  'the cluster moves on': (world) => world.clusterStep(),
  'the cluster moves on thrice': (world) => [1, 2, 3].forEach(() => void world.clusterStep()),
  'events are published': (world) => world.publish(),
  'its spec is another': (world) => world.edit(specs.second),
  'its spec is the first': (world) => world.edit(specs.first),
  'it is suspended': (world) => world.edit({ operatingMode: 'Suspended' }),
  'it is to run': (world) => world.edit({ operatingMode: 'Running' }),
  'its pod vanishes': (world) => world.movePods(gone),
  'its pod fails': (world) => world.movePods(failed),
  'two seconds pass': (world) => world.clock.advance(2_000),
};

/** Everything comes about, and the operator sees of it what `shows` says: until nobody has anything to do. */
async function settle(world: LaggingWorld, shows: (index: number) => boolean = () => true): Promise<void> {
  const newest = (kind: string) => {
    for (let index = world.head; index > 0; index -= 1) if (world.kindOf(index) === kind && shows(index)) return index;
    return 0;
  };
  for (let step = 0; step < 500; step += 1) {
    world.see({ agents: newest('agents'), pods: newest('pods') });
    const { due } = world;
    if (due !== undefined && due <= world.clock.now()) await world.pass();
    else if (world.clusterStep()) continue;
    else if (due === undefined) return;
    else await world.clock.advance(due - world.clock.now());
    world.publish();
  }
  throw new Error('it never comes to rest');
}

function end(world: LaggingWorld) {
  const { agent, pods } = world.now;
  const { phase, observedGeneration } = agent?.status ?? {};
  return {
    phase: world.phase,
    shown: agent && { phase, isCurrent: observedGeneration === agent.metadata.generation },
    images: pods.filter(({ readySince }) => readySince !== undefined).map(({ image }) => image),
  };
}

function wished(world: LaggingWorld) {
  const { agent } = world.now;
  if (agent === undefined) return { phase: 'Deleted', shown: undefined, images: [] };
  if (agent.spec.operatingMode === 'Suspended')
    return { phase: 'Suspended', shown: { phase: 'Suspended', isCurrent: true }, images: [] };
  return { phase: 'Ready', shown: { phase: 'Ready', isCurrent: true }, images: [agent.spec.image] };
}

describe('caches that show what was', () => {
  test('never lead to a pod beside another, nor to an older generation put over a newer one; 1,000 of them', async () => {
    let lagging = 0;
    const lag = fc.integer({ min: 0, max: 12 });
    const looks = fc.array(
      fc.record({
        deed: fc.constantFrom(...Object.values(deeds)),
        agents: lag,
        pods: lag,
        isAnother: fc.integer({ min: 0, max: 5 }).map((each) => each === 0),
      }),
      { minLength: 30, maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(looks, fc.boolean(), async (story, isDeleted) => {
        const world = new LaggingWorld();
        for (const { deed, agents, pods, isAnother } of story) {
          await deed(world);
          const position = { agents: world.head - agents, pods: world.head - pods };
          if (isAnother) world.takeOver();
          else world.see(position);
          lagging += world.shown.agents < world.head || world.shown.pods < world.head ? 1 : 0;
          await world.pass();
        }
        if (isDeleted) world.deleteAgent();
        await settle(world);
        expect(world.violations).toEqual([]);
        expect(end(world)).toEqual(wished(world));
      }),
      { numRuns: 60 },
    );
    expect(lagging).toBeGreaterThan(1_000);
  });
});

describe('a watch event', () => {
  const prepared = async (deed: Deed) => {
    const world = new LaggingWorld();
    await settle(world);
    await deed(world);
    return world;
  };
  const stories: Readonly<Record<string, () => Promise<LaggingWorld>>> = {
    'a start': async () => new LaggingWorld(),
    'another spec': () => prepared((world) => world.edit(specs.second)),
    'a recovery from a lost pod': () => prepared((world) => world.movePods(gone)),
    'a recovery from a failed pod': () => prepared((world) => world.movePods(failed)),
    'a suspension': () => prepared((world) => world.edit({ operatingMode: 'Suspended' })),
    'a deletion': () => prepared((world) => world.deleteAgent()),
  };

  const events = Object.entries(stories).map(([story, begin]) => ({ story, begin }));

  test.each(events)('of $story that is never told: its own deadlines heal what any later word does not', async ({
    begin,
  }) => {
    for (let missed = Math.max(1, (await begin()).head); ; missed += 1) {
      const world = await begin();
      await settle(world, (index) => index !== missed);
      if (world.head < missed) return;
      if (!world.isLastWord(missed)) expect(end(world), `event ${missed}`).toEqual(wished(world));
      // A watch that cannot go on is listed anew: that tells even the last word about something.
      await settle(world);
      expect(end(world), `event ${missed}`).toEqual(wished(world));
      expect(world.violations).toEqual([]);
    }
  });

  test.each(events)('of $story that is told with the next one makes no difference', async ({ begin }) => {
    for (let merged = Math.max(1, (await begin()).head); ; merged += 1) {
      const world = await begin();
      await settle(world, (index) => index !== merged || world.head > merged);
      if (world.head < merged) return;
      await settle(world);
      expect(end(world), `event ${merged}`).toEqual(wished(world));
      expect(world.violations).toEqual([]);
    }
  });
});

import { afterEach, describe, expect, test } from 'vitest';
import { type ConsistencyMove, consistencyMoves } from '../../store/tables/consistency.ts';
import { exploreAgent, type Story } from '../../testkit/model/explore-agent.ts';
import type { Decide } from '../../testkit/model/state.ts';
import { longStories, shortStories } from '../../testkit/model/stories.ts';
import { type AgentDecision, decide } from './decide.ts';
import type { AgentObserved } from './facts.ts';
import { type MachineState, type RecordedPhase, type TransitionRule, transitions } from './machine.ts';

/** Mistakes that the model check has to find: what it would not notice it would prove nothing about. */

const table = transitions as TransitionRule[];
const sound = [...transitions];
const moves = consistencyMoves as unknown as ConsistencyMove[];
const soundMoves = [...consistencyMoves];
afterEach(() => {
  table.splice(0, table.length, ...sound);
  moves.splice(0, moves.length, ...soundMoves);
});

/** Without the way from one phase to another: of those whose guard says so, or all. */
const without =
  (to: RecordedPhase, from: MachineState, guard = '') =>
  () => {
    const isCut = (rule: TransitionRule) => rule.to === to && rule.from.includes(from) && rule.guard.includes(guard);
    const kept = sound.map((rule) =>
      isCut(rule) ? { ...rule, from: rule.from.filter((each) => each !== from) } : rule,
    );
    expect(sound.some(isCut)).toBe(true);
    table.splice(0, table.length, ...kept);
    return decide;
  };
const always = (to: RecordedPhase, when: TransitionRule['when']) => () => {
  table.splice(0, table.length, ...sound.map((rule) => (rule.to === to ? { ...rule, when } : rule)));
  return decide;
};
const skipping = (rule: Partial<TransitionRule>) => () => {
  table.unshift({ ...(sound.at(-3) as TransitionRule), ...rule });
  return decide;
};
const instead = (change: (decision: AgentDecision) => AgentDecision) => (): Decide => (observed, now) =>
  change(decide(observed, now));
const seeing = (change: (observed: AgentObserved) => AgentObserved) => (): Decide => (observed, now) =>
  decide(change(observed), now);
const withoutMove = (from: string, to: string) => () => {
  const kept = soundMoves.filter((move) => move.from !== from || move.to !== to);
  expect(kept.length).toBeLessThan(soundMoves.length);
  moves.splice(0, moves.length, ...kept);
  return decide;
};
const withMove = (move: Pick<ConsistencyMove, 'from' | 'to' | 'by'>) => () => {
  moves.push({ ...move, when: 'never' });
  return decide;
};
const withoutDeletes = (kind: string) =>
  instead((decision) => ({
    ...decision,
    plan: decision.plan.filter((action) => action.kind !== 'delete' || action.ref.resource.kind !== kind),
  }));
const spec = (
  change: (spec: AgentObserved['agent'] & object) => Partial<NonNullable<AgentObserved['agent']>['spec']>,
) =>
  seeing((observed) => {
    const { agent } = observed;
    return agent === undefined
      ? observed
      : { ...observed, agent: { ...agent, spec: { ...agent.spec, ...change(agent) } } };
  });
const deadlinesOf = (stripped: (observed: AgentObserved) => AgentObserved) => (): Decide => (observed, now) => {
  const decision = decide(observed, now);
  return decision.transitions.length > 0 ? decision : { ...decision, outcome: decide(stripped(observed), now).outcome };
};
const withoutLifecycle = (observed: AgentObserved): AgentObserved =>
  observed.agent === undefined
    ? observed
    : { ...observed, agent: { ...observed.agent, spec: { ...observed.agent.spec, lifecycle: {} } } };
const underRules = (rules: (suspend: string | undefined) => 'None' | 'Hold' | 'HoldAndDrain') =>
  seeing((observed) => {
    const { tenancy } = observed;
    if (tenancy.kind === 'none') return observed;
    return {
      ...observed,
      tenancy: { ...tenancy, rules: { ...tenancy.rules, suspend: rules(tenancy.rules?.suspend) } },
    };
  });

type Mutant = readonly [what: string, broken: () => Decide];
type Of = Readonly<Record<string, { readonly story: Story; readonly mutants: readonly Mutant[] }>>;

const tale = (name: keyof typeof shortStories): Story => shortStories[name] ?? { budget: 0 };
const happens = (...disturbances: readonly string[]): Story => ({ budget: 1, disturbances });

const mutants: Of = {
  phases: {
    story: tale('an agent that anything happens to'),
    mutants: [
      ['a spec that changes nothing', without('Replacing', 'Ready')],
      ['a pod that is lost and not missed', without('Recovering', 'Ready')],
      ['Suspended while the pod still runs', always('Suspended', (facts) => facts.suspendWanted)],
      ['Deleted while the pod still runs', always('Deleted', (facts) => facts.absent)],
      ['a phase that is skipped', skipping({ from: ['Created'], when: (facts) => facts.podReady })],
      ['a deadline nobody scheduled', instead((decision) => ({ ...decision, outcome: { kind: 'settled' } }))],
      ['pods that are never deleted', withoutDeletes('Pod')],
      ['a status that is not written', instead(({ status: _, ...decision }) => decision)],
      ['a pod made again before it is seen', seeing((observed) => ({ ...observed, podOnItsWay: false }))],
    ],
  },
  'a Failed agent': {
    story: { budget: 2, toldAtOnce: true, disturbances: ['the pod crashes again and again', 'the pod vanishes'] },
    mutants: [['that is never tried again', without('Recovering', 'Failed')]],
  },
  'an agent with one try': {
    story: {
      budget: 2,
      toldAtOnce: true,
      start: { spec: 'once' },
      disturbances: ['the pod vanishes', 'its spec is another'],
    },
    mutants: [['that a new spec does not heal', without('Replacing', 'Failed')]],
  },
  'a start': {
    story: happens('its spec cannot work', 'the node is lost'),
    mutants: [
      ['that may take for ever', without('Recovering', 'Scheduled', 'deadline')],
      ['that is tried for ever', without('Failed', 'Scheduled', 'deadline')],
      [
        'of which no try is counted',
        instead((d) => ({ ...d, transitions: d.transitions.map((t) => ({ ...t, attempt: 1 })) })),
      ],
    ],
  },
  'the gate': {
    story: happens('the stream loses its newest event', 'its events are replayed', 'the broker goes away'),
    mutants: [
      [
        'that lets Ready pass before it is told',
        seeing((observed) => {
          const { history } = observed;
          if (history.kind === 'unavailable' || history.last === undefined) return observed;
          const last = { ...history.last, event: { ...history.last.event, state: 'Published' as const } };
          return { ...observed, history: { ...history, last } };
        }),
      ],
      [
        'that shuts again upon who has passed',
        seeing((observed) => {
          if (observed.agent?.status === undefined) return observed;
          const { consistency: _, ...status } = observed.agent.status;
          return { ...observed, agent: { ...observed.agent, status } };
        }),
      ],
    ],
  },
  'the gate of BestEffort': {
    story: { ...tale('an agent that waits for no event') },
    mutants: [['that holds back all the same', spec(() => ({ events: { readinessGate: 'Required' } }))]],
  },
  'the events of an agent': {
    story: happens(
      'the broker refuses the oldest event',
      'the oldest event is stored, its receipts are lost and it is given up',
      'the stream loses its newest event',
    ),
    mutants: [
      ['that are never published', withoutMove('Pending', 'Published')],
      ['that nobody is known to have had', withoutMove('Published', 'Acknowledged')],
      ['had before they are out', withMove({ from: 'Pending', to: 'Acknowledged', by: 'ack watcher' })],
      ['had though they were refused', withMove({ from: 'DeadLettered', to: 'Acknowledged', by: 'ack watcher' })],
      [
        'refused and left for good',
        () => {
          const isEnd = ({ from }: ConsistencyMove) => from === 'DeadLettered';
          moves.splice(0, moves.length, ...soundMoves.filter((move) => !isEnd(move)));
          return decide;
        },
      ],
      [
        'of which the status never says that they are had',
        instead((decision) =>
          decision.status?.consistency?.state === 'Acknowledged'
            ? (({ status: _, ...rest }) => rest)(decision)
            : decision,
        ),
      ],
    ],
  },
  'a claim': {
    story: tale('an agent with a claim'),
    mutants: [
      ['made after its pod', instead((decision) => ({ ...decision, plan: decision.plan.toReversed() }))],
      [
        'never made',
        instead((d) => ({ ...d, plan: d.plan.filter((a) => a.kind !== 'create' || a.resource.kind === 'Pod') })),
      ],
      [
        'with a volume to keep, deleted with its Agent',
        seeing((observed) => {
          const lost = observed.claims.map((claim) => ({ ...claim, status: { phase: 'Pending' } }));
          return { ...observed, claims: observed.agent === undefined ? lost : observed.claims };
        }),
      ],
      ['that nobody has any use for, left behind', withoutDeletes('PersistentVolumeClaim')],
    ],
  },
  'a claim of another, which goes,': {
    story: tale('an agent that finds the claim of another, which goes'),
    mutants: [['is used', seeing((observed) => ({ ...observed, claims: [] }))]],
  },
  'a claim that goes with its Agent': {
    story: tale('an agent whose claim goes with it'),
    mutants: [
      ['kept while it is suspended', withoutDeletes('PersistentVolumeClaim')],
      [
        'made as if it were to stay',
        spec(() => ({ persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Delete' } })),
      ],
    ],
  },
  'a session': {
    story: tale('a session'),
    mutants: [
      ['that goes on and on', without('Completed', 'Ready', 'session')],
      ['whose end nobody waits for', deadlinesOf(withoutLifecycle)],
      ['that ends before its time', always('Completed', (facts) => facts.podReady)],
      [
        'that begins anew with each pod',
        seeing((observed) => {
          const { history } = observed;
          if (history.kind === 'unavailable' || history.latestByPhase.Ready === undefined) return observed;
          const { firstReadyAt: _, ...detail } = history.latestByPhase.Ready.detail;
          const Ready = { ...history.latestByPhase.Ready, detail };
          return { ...observed, history: { ...history, latestByPhase: { ...history.latestByPhase, Ready } } };
        }),
      ],
    ],
  },
  'a session that ends with the agent': {
    story: tale('a session that ends with the agent'),
    mutants: [
      ['which stays', withoutDeletes('Agent')],
      [
        'which is deleted too soon',
        spec(() => ({ lifecycle: { maxSessionDurationSeconds: 50, shutdownPolicy: 'Delete' } })),
      ],
    ],
  },
  'an agent with a last hour': {
    story: { ...tale('an agent with a last hour'), budget: 1 },
    mutants: [
      ['that is not cleaned away', withoutDeletes('Agent')],
      ['that nobody cleans away in time', deadlinesOf(withoutLifecycle)],
      ['that is not suspended any more when it strikes', without('Completed', 'Suspended', 'session')],
    ],
  },
  'a Tenant': {
    story: { ...longStories['what becomes of its Tenant'], budget: 1 },
    mutants: [
      ['that holds and is not heard', underRules(() => 'None')],
      ['that drains and is heard by half', underRules((suspend) => (suspend === 'None' ? 'None' : 'Hold'))],
      ['that holds and stops what runs', underRules((suspend) => (suspend === 'None' ? 'None' : 'HoldAndDrain'))],
      [
        'that is gone, and its agents go on',
        seeing((observed) => ({ ...observed, tenancy: { kind: 'member', tenant: 'acme' } })),
      ],
      ['that took its namespaces along, and nobody says so', always('Terminating', () => false)],
    ],
  },
  'a leader whose caches are behind': {
    story: {
      budget: 1,
      credulous: true,
      disturbances: [
        'a leader takes over whose caches know nothing yet',
        'a leader takes over whose caches are behind',
      ],
    },
    mutants: [['and who believes them', () => decide]],
  },
};

const all = Object.entries(mutants).flatMap(([of, { story, mutants: some }]) =>
  some.map(([what, broken]) => ({ what: `${of} ${what}`, broken, story })),
);

describe('the model check finds', { timeout: 60_000 }, () => {
  test.each(all)('$what', ({ broken, story }) => {
    expect(exploreAgent(story, { decide: broken() }).finding).toBeDefined();
  });

  test('nothing wrong where nothing is', () => {
    const proved: readonly Story[] = Object.values(shortStories);
    const stories = new Set(all.map(({ story }) => story));
    const others = [...stories].filter((story) => story.credulous !== true && !proved.includes(story));
    expect(others.flatMap((story) => exploreAgent(story).finding ?? [])).toEqual([]);
  });
});

import { describe, expect, test } from 'vitest';
import type { Action } from './action.ts';
import type { Decision } from './decision.ts';
import { OperatorError } from './errors.ts';
import type { ResourceType } from './object.ts';
import { requeue, settled } from './outcome.ts';
import { type Observation, observed, type PassPorts, reconcilePass } from './reconcile.ts';

// A world of one object that wants two children, a journal of what was recorded, and a status.
type World = { children: Set<string>; journal: string[]; status: string | undefined };
type Seen = { readonly children: readonly string[]; readonly recorded: readonly string[]; readonly status?: string };
type Ports = PassPorts<Seen, string, string>;

const configMaps: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
};
const wanted = ['one', 'two'];

function create(name: string): Action {
  return { kind: 'create', resource: configMaps, object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } } };
}

function nameOf(action: Action): string {
  return action.kind === 'create' ? action.object.metadata.name : '';
}

function decide({ children, recorded, status }: Seen): Decision<string, string> {
  const missing = wanted.filter((name) => !children.includes(name));
  const isComplete = missing.length === 0;
  const fact = isComplete ? 'complete' : 'created';
  const transitions = recorded.includes(fact) ? [] : [fact];
  const plan = missing.map(create);
  return {
    transitions,
    plan,
    ...(status !== fact && { status: fact }),
    outcome: isComplete && status === fact ? settled : requeue(0),
  };
}

function portsOn(world: World, calls: string[]): Ports {
  return {
    observe: async () => {
      calls.push('observe');
      const { children, journal, status } = world;
      return observed({ children: [...children], recorded: [...journal], ...(status !== undefined && { status }) });
    },
    decide,
    record: async ({ recorded }, transitions) => {
      calls.push(`record ${transitions}`);
      if (recorded.length !== world.journal.length) throw new OperatorError('SequenceTaken', 'conflict', 'm');
      world.journal.push(...transitions);
    },
    execute: async (action) => {
      calls.push(`execute ${nameOf(action)}`);
      world.children.add(nameOf(action));
    },
    writeStatus: async (_, status) => {
      calls.push(`status ${status}`);
      world.status = status;
    },
  };
}

const aWorld = (): World => ({ children: new Set(), journal: [], status: undefined });
const time = { now: 0, signal: new AbortController().signal };

/** Passes until one is settled; at most 20. */
async function settle(ports: Ports): Promise<void> {
  for (let i = 0; i < 20; i += 1) {
    const outcome = await reconcilePass(ports, 'k', time).catch(() => requeue(0));
    if (outcome.kind === 'settled') return;
  }
  throw new Error('not settled after 20 passes');
}

describe('the order', () => {
  test('is observe, record, execute, status; then the outcome', async () => {
    const calls: string[] = [];
    expect(await reconcilePass(portsOn(aWorld(), calls), 'k', time)).toEqual(requeue(0));
    expect(calls).toEqual(['observe', 'record created', 'execute one', 'execute two', 'status created']);
  });

  test('ends after observe when that cannot know yet', async () => {
    const calls: string[] = [];
    const observe = async (): Promise<Observation<Seen>> => requeue(100);
    expect(await reconcilePass({ ...portsOn(aWorld(), calls), observe }, 'k', time)).toEqual(requeue(100));
    expect(calls).toEqual([]);
  });

  test('writes nothing when nothing is to be said', async () => {
    const world = aWorld();
    const calls: string[] = [];
    await settle(portsOn(world, calls));
    calls.length = 0;
    expect(await reconcilePass(portsOn(world, calls), 'k', time)).toEqual(settled);
    expect(calls).toEqual(['observe']);
  });
});

describe('a crash', () => {
  // Every write of a clean run, counted before and after it has happened.
  const writes = (() => {
    const clean: string[] = [];
    return settle(portsOn(aWorld(), clean)).then(() => clean.filter((call) => call !== 'observe').length);
  })();

  test.each(['before', 'after'])('%s any write is repaired by the next passes', async (moment) => {
    const clean = aWorld();
    await settle(portsOn(clean, []));
    for (let n = 0; n < (await writes); n += 1) {
      const world = aWorld();
      const ports = portsOn(world, []);
      let left = n;
      const crashing = <A extends readonly unknown[]>(write: (...args: A) => Promise<void>) => {
        return async (...args: A) => {
          const isNow = left === 0;
          left -= 1;
          if (isNow && moment === 'before') throw new OperatorError('Crash', 'retryable', 'm');
          await write(...args);
          if (isNow && moment === 'after') throw new OperatorError('Crash', 'retryable', 'm');
        };
      };
      await settle({
        ...ports,
        record: crashing(ports.record),
        execute: crashing(ports.execute),
        writeStatus: crashing(ports.writeStatus),
      });
      expect(world, `crash ${moment} write ${n}`).toEqual(clean);
    }
  });

  test('the writes that were crashed at are all of them', async () => {
    expect(await writes).toBe(6);
  });
});

describe('an action that fails', () => {
  const rejected = new OperatorError('PodRejected', 'retryable', 'm');

  function failing(world: World, calls: string[]): Ports {
    const ports = portsOn(world, calls);
    return {
      ...ports,
      execute: async (action, seen) => {
        if (nameOf(action) === 'one') throw rejected;
        await ports.execute(action, seen);
      },
    };
  }

  test('ends the plan and goes to the error policy, the status unwritten', async () => {
    const calls: string[] = [];
    await expect(reconcilePass(failing(aWorld(), calls), 'k', time)).rejects.toBe(rejected);
    expect(calls).toEqual(['observe', 'record created']);
  });

  test('can be explained: that status is written, that outcome holds', async () => {
    const calls: string[] = [];
    const ports: Ports = {
      ...failing(aWorld(), calls),
      explain: (_seen, _decision, error, _now, failed) => ({
        status: `${error.code} ${nameOf(failed)}`,
        outcome: requeue(60_000),
      }),
    };
    expect(await reconcilePass(ports, 'k', time)).toEqual(requeue(60_000));
    expect(calls).toEqual(['observe', 'record created', 'status PodRejected one']);
  });

  test('that nobody can explain goes to the error policy', async () => {
    const ports: Ports = { ...failing(aWorld(), []), explain: () => undefined };
    await expect(reconcilePass(ports, 'k', time)).rejects.toBe(rejected);
  });
});

describe('a fact that cannot be recorded', () => {
  const untellable = new OperatorError('Untellable', 'terminal', 'm');
  const refusing = (calls: string[]): Ports => ({
    ...portsOn(aWorld(), calls),
    record: async () => {
      throw untellable;
    },
  });

  test('ends the pass before anything is done, and goes to the error policy', async () => {
    const calls: string[] = [];
    const ports: Ports = { ...refusing(calls), explainUnrecorded: () => undefined };
    await expect(reconcilePass(ports, 'k', time)).rejects.toBe(untellable);
    expect(calls).toEqual(['observe']);
  });

  test('can be explained: that status is written, and still nothing is done', async () => {
    const calls: string[] = [];
    const ports: Ports = {
      ...refusing(calls),
      explainUnrecorded: (_seen, { code }) => ({ status: code, outcome: requeue(60_000) }),
    };
    expect(await reconcilePass(ports, 'k', time)).toEqual(requeue(60_000));
    expect(calls).toEqual(['observe', 'status Untellable']);
  });
});

describe('an unordered plan', () => {
  const names = Array.from({ length: 40 }, (_, index) => `n${index}`);
  const unordered = (events: Decision<string, string>['events'] = []): Ports['decide'] => {
    return () => ({ transitions: [], plan: names.map(create), unordered: true, events, outcome: settled });
  };
  const note = { kind: 'event', type: 'Normal', reason: 'R', action: 'a', note: 'n' } as const;
  const event = { ...note, regarding: { apiVersion: 'v1', kind: 'ConfigMap', name: 'n', uid: 'u' } };

  test('goes out side by side, all of it and never more than 16 at a time; its events afterwards', async () => {
    const calls: string[] = [];
    let now = 0;
    let most = 0;
    const execute: Ports['execute'] = async (action) => {
      now += 1;
      most = Math.max(most, now);
      await Promise.resolve();
      now -= 1;
      calls.push(action.kind === 'create' ? nameOf(action) : action.kind);
    };
    await reconcilePass({ ...portsOn(aWorld(), []), decide: unordered([event]), execute }, 'k', time);
    expect(most).toBe(16);
    expect(calls.slice(0, -1).toSorted()).toEqual(names.toSorted());
    expect(calls.at(-1)).toBe('event');
  });

  test.each([
    ['the first failure', () => new OperatorError('Refused', 'retryable', 'm'), 'Refused'],
    ['an abort', () => undefined, 'Aborted'],
  ])('%s lets nothing more begin; what is under way ends first', async (_, failing, code) => {
    const begun: string[] = [];
    const ended: string[] = [];
    const lost = new AbortController();
    const execute: Ports['execute'] = async (action) => {
      begun.push(nameOf(action));
      await new Promise(setImmediate);
      ended.push(nameOf(action));
      if (nameOf(action) !== 'n3') return;
      const error = failing();
      if (error !== undefined) throw error;
      lost.abort();
    };
    const ports = { ...portsOn(aWorld(), []), decide: unordered([event]), execute };
    await expect(reconcilePass(ports, 'k', { now: 0, signal: lost.signal })).rejects.toMatchObject({ code });
    expect(begun.length).toBeLessThan(20);
    expect(ended).toEqual(begun);
  });
});

describe('leadership lost in the middle', () => {
  test('nothing more is written', async () => {
    const calls: string[] = [];
    const ports = portsOn(aWorld(), calls);
    const lost = new AbortController();
    const execute: Ports['execute'] = async (action, seen) => {
      await ports.execute(action, seen);
      lost.abort();
    };
    const pass = reconcilePass({ ...ports, execute }, 'k', { now: 0, signal: lost.signal });
    await expect(pass).rejects.toMatchObject({ code: 'Aborted' });
    expect(calls).toEqual(['observe', 'record created', 'execute one']);
  });
});

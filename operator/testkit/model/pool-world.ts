import type { AgentPoolSpec } from '../../api/v1alpha1/agentpool.ts';
import type { PoolAgent, PoolChange, PoolState } from './pool-model.ts';

/** What becomes of a pool's Agents by themselves, and what happens to them and to the pool. */

type Changes = (state: PoolState) => readonly PoolChange[];

/** The change of one Agent, for each that it concerns. */
const each =
  (change: (agent: PoolAgent, now: number) => PoolAgent | 'gone' | undefined): Changes =>
  ({ agents, now }) =>
    agents.map((agent, index) => {
      const after = change(agent, now);
      if (after === undefined) return undefined;
      return { agents: after === 'gone' ? agents.toSpliced(index, 1) : agents.with(index, after) };
    });

/** Alike Agents do not matter one by one: the first of them stands for all. */
const first =
  (change: (agent: PoolAgent, now: number) => PoolAgent | 'gone' | undefined): Changes =>
  (state) =>
    each(change)(state)
      .filter((after) => after !== undefined)
      .slice(0, 1);

/** What happens by itself, sooner or later. */
export const poolCourses: Readonly<Record<string, Changes>> = {
  'the cache shows it': each((agent) => (agent.unseen ? { ...agent, unseen: false, expected: false } : undefined)),
  'an Agent is Ready': each((agent, now) =>
    agent.phase !== 'Ready' && !agent.going && !agent.unseen ? { ...agent, phase: 'Ready', since: now } : undefined,
  ),
  'the pod of an Agent that goes has stopped': each(({ going, unseen }) => (going && !unseen ? 'gone' : undefined)),
  'the database is back': ({ database }) => [database ? undefined : { database: true }],
  'the pool goes on': ({ pool }) => [pool?.spec.paused ? edited(pool, { paused: false }) : undefined],
  'its Agents are let go of, and the pool is gone': ({ orphaning }) => [
    orphaning ? { agents: [], orphaning: false } : undefined,
  ],
};

function edited(pool: NonNullable<PoolState['pool']>, spec: Partial<AgentPoolSpec>): PoolChange {
  const { metadata } = pool;
  const resourceVersion = `${Number(metadata.resourceVersion) + 1}`;
  const next = { ...metadata, resourceVersion, generation: metadata.generation + 1 };
  return { pool: { ...pool, metadata: next, spec: { ...pool.spec, ...spec } } };
}

const edit =
  (spec: Partial<AgentPoolSpec>): Changes =>
  ({ pool }) => {
    const isSame = JSON.stringify({ ...pool?.spec, ...spec }) === JSON.stringify(pool?.spec);
    return [pool === undefined || isSame ? undefined : edited(pool, spec)];
  };

const broken = (agent: PoolAgent): boolean => agent.phase !== 'Failed' && !agent.going && !agent.unseen;

/** What may go wrong, and what people may want. */
export const poolDisturbances: Readonly<Record<string, Changes>> = {
  'the operator is killed': ({ agents }) => [
    {
      pass: undefined,
      due: undefined,
      agents: agents.map((agent) => ({ ...agent, unseen: false, expected: false })),
    },
  ],
  'a leader takes over whose caches are behind': ({ agents }) => [
    { pass: undefined, due: undefined, agents: agents.map((agent) => ({ ...agent, expected: false })) },
  ],
  'the database goes away': ({ database }) => [database ? { database: false } : undefined],
  'an Agent fails': first((agent, now) => (broken(agent) ? { ...agent, phase: 'Failed', since: now } : undefined)),
  'an Agent loses readiness': first((agent, now) =>
    agent.phase === 'Ready' && broken(agent) ? { ...agent, phase: 'coming', since: now } : undefined,
  ),
  'somebody deletes an Agent': first((agent) => (broken(agent) ? { ...agent, going: true } : undefined)),
  'it is scaled to 0': edit({ replicas: 0 }),
  'it is scaled to 1': edit({ replicas: 1 }),
  'it is scaled to 3': edit({ replicas: 3 }),
  'its template is another': edit({ template: { spec: { image: 'registry.test/agent:2' } } }),
  'its template is the first again': edit({ template: { spec: { image: 'registry.test/agent:1' } } }),
  'it is paused': edit({ paused: true }),
  'it is deleted': ({ pool }) => [pool === undefined ? undefined : { pool: undefined }],
  'it is deleted, and its Agents are to stay': ({ pool }) => [
    pool === undefined ? undefined : { pool: undefined, orphaning: true },
  ],
};

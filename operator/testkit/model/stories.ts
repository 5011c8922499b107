import type { Story } from './explore-agent.ts';

/** The stories that are explored: how each begins, what may happen in it and how often. */

const deaths = [
  'the operator is killed',
  'the operator is killed with a request on the wire',
  'a leader takes over whose caches know nothing yet',
  'a leader takes over whose caches are behind',
  'the caches fall behind',
];
const people = ['its spec is another', 'it is suspended', 'it is to run again', 'it is deleted'];
const claims = [
  'the claim vanishes',
  'somebody deletes the claim',
  'the volume is lost',
  'a stranger has the name of the claim',
  'the API server refuses claims',
];
const time = ['nothing happens until the operator looks again', 'eleven minutes pass'];
const pod = ['the pod vanishes', 'the pod loses readiness', 'the pod crashes again and again'];
const bound = [{ uid: 'claim-of-another', phase: 'Bound', deleting: false }] as const;
const left = (owner: 'kept' | 'predecessor') => bound.map((claim) => ({ ...claim, owner }));

/** Seconds: with one disturbance each, every row of both tables is taken. */
export const shortStories: Readonly<Record<string, Story>> = {
  'an agent that nothing happens to': { budget: 0 },
  'an agent that anything happens to': { budget: 1 },
  'an agent that two things happen to': {
    budget: 2,
    toldAtOnce: true,
    disturbances: ['the pod vanishes', 'the pod loses readiness', ...people],
  },
  'an agent whose events are asked for after their time': {
    budget: 2,
    disturbances: ['its events outlive the stream', 'its events are replayed'],
  },
  'an agent that is suspended when its pod has gone': {
    budget: 3,
    toldAtOnce: true,
    disturbances: ['the pod loses readiness', 'the pod vanishes', 'it is suspended'],
  },
  'an agent that is never left alone': {
    budget: 2,
    toldAtOnce: true,
    disturbances: ['its spec is another', 'its spec is the first again'],
  },
  'an agent in a slow world': {
    budget: 2,
    toldAtOnce: true,
    disturbances: ['the pod is drained', 'its spec is another', ...time],
  },
  'an agent with one try': {
    budget: 2,
    toldAtOnce: true,
    start: { spec: 'once' },
    disturbances: ['the pod vanishes', 'the pod loses readiness', 'its spec is another', 'it is deleted', ...time],
  },
  'a job': {
    budget: 1,
    start: { spec: 'job' },
    disturbances: ['the pod fails', 'the pod loses readiness', 'its spec is the first again', 'the operator is killed'],
  },
  'an agent that waits for no event': {
    budget: 1,
    start: { spec: 'hasty' },
    disturbances: ['the broker goes away', 'the broker refuses the oldest event', 'its spec is the first again'],
  },
  'an agent with a claim': { budget: 1, start: { spec: 'keeper' }, disturbances: [...claims, ...people] },
  'an agent whose claim goes with it': { budget: 1, start: { spec: 'owner' }, disturbances: [...claims, ...people] },
  'an agent that finds a claim kept for it': {
    budget: 1,
    start: { spec: 'keeper', claims: left('kept') },
    disturbances: ['it is deleted', 'it is suspended'],
  },
  'an agent that finds the claim of another, which goes': {
    budget: 1,
    start: { spec: 'owner', claims: left('predecessor') },
    disturbances: ['the operator is killed', 'it is deleted'],
  },
  'a session': {
    budget: 1,
    start: { spec: 'session' },
    disturbances: [...time, 'it is suspended', 'the pod vanishes'],
  },
  'a session that ends with the agent': { budget: 1, start: { spec: 'visit' }, disturbances: [...time, ...people] },
  'an agent with a last hour': {
    budget: 2,
    toldAtOnce: true,
    start: { spec: 'curfew' },
    disturbances: ['the pod vanishes', 'the pod loses readiness', 'its spec is another', 'it is suspended', ...time],
  },
};

/** A minute: two and three at a time, of what has to do with each other. */
export const longStories: Readonly<Record<string, Story>> = {
  'pods and wishes': { budget: 2, disturbances: [...pod.slice(0, 1), 'the node is lost', ...people] },
  'faults of every kind': {
    budget: 2,
    disturbances: [
      'the operator is killed',
      'the pod crashes again and again',
      'the database goes away',
      'the broker goes away',
      'the stream loses its newest event',
      'its spec is another',
    ],
  },
  'three times': {
    budget: 3,
    disturbances: ['the operator is killed', 'the pod vanishes', 'its spec is another', 'it is suspended'],
  },
  'leaders that follow one another': { budget: 2, disturbances: [...deaths, 'the pod vanishes', 'it is deleted'] },
  'what becomes of events': {
    budget: 2,
    disturbances: [
      'the broker refuses the oldest event',
      'the oldest event is stored, its receipts are lost and it is given up',
      'its events are replayed',
      'its events outlive the stream',
      'the pod loses readiness',
    ],
  },
  'what becomes of its Tenant': {
    budget: 2,
    disturbances: [
      'the Tenant holds',
      'the Tenant drains',
      'the Tenant is deleted and leaves its namespaces',
      'the Tenant is deleted with its namespaces',
      'its spec is another',
    ],
  },
  'an agent with a claim': { budget: 2, start: { spec: 'keeper' }, disturbances: [...claims, 'it is deleted'] },
  'an agent whose claim goes with it': {
    budget: 2,
    start: { spec: 'owner' },
    disturbances: ['it is suspended', 'it is to run again', 'it is deleted', 'somebody deletes the claim', ...deaths],
  },
  'a session': { budget: 2, start: { spec: 'session' }, disturbances: [...time, ...people] },
  'an agent with a last hour': { budget: 2, start: { spec: 'curfew' }, disturbances: [...time, ...people] },
};

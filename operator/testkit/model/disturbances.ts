import { asksForClaim, each } from './claim-model.ts';
import { eventTroubles } from './outbox-model.ts';
import type { ModelPod } from './pod-model.ts';
import { type Change, changed, type ModelState, specOf, type Wish } from './state.ts';
import { type Touched, time } from './world.ts';

export type Disturbance = { readonly on: Touched; readonly change: (state: ModelState) => Change };

/** A change of every pod the operator can see and nobody deletes; nothing when there is none. */
const pods =
  (change: (pod: ModelPod) => ModelPod | undefined) =>
  (state: ModelState): Change => {
    if (!state.pods.some((pod) => pod.seen && !pod.deleting)) return undefined;
    const after = state.pods.flatMap((pod) => (pod.seen && !pod.deleting ? (change(pod) ?? []) : pod));
    return after.every((pod, index) => pod === state.pods[index]) && after.length === state.pods.length
      ? undefined
      : { pods: after };
  };

const edit =
  (wish: Partial<Wish>) =>
  (state: ModelState): Change => {
    const { wish: before, agent } = state;
    // What claims an Agent has cannot be changed.
    const next = { ...before, ...wish, ...(asksForClaim(state) ? { spec: before.spec } : {}) };
    const isSame = next.spec === before.spec && next.updated === before.updated && next.suspended === before.suspended;
    return agent === undefined || isSame ? undefined : { wish: next, agent: changed(agent, { spec: specOf(next) }) };
  };

/** A restarted operator lists everything anew and remembers nothing. */
const restarted = (state: ModelState): Partial<ModelState> => {
  return {
    pass: undefined,
    due: undefined,
    behind: undefined,
    pods: state.pods.map((pod) => ({ ...pod, seen: true })),
  };
};

/** A standby that takes over lists nothing: it goes by what its own watches have told so far, and remembers nothing. */
const takenOver = (state: ModelState, behind: ModelState['behind']): Partial<ModelState> => {
  const pods = state.pods.map((pod) => ({ ...pod, expected: false }));
  return { pass: undefined, due: undefined, behind, pods };
};

const operatorTroubles: Readonly<Record<string, Disturbance>> = {
  'nothing happens until the operator looks again': { on: 'world', change: time.change },
  'the caches fall behind': {
    on: 'world',
    change: ({ agent, pods: shown, claims, behind, woken }) =>
      behind === undefined ? { behind: { agent, pods: shown, claims }, woken } : undefined,
  },
  'the operator is killed': { on: 'operator', change: restarted },
  'the operator is killed with a request on the wire': {
    on: 'operator',
    change: (state) => {
      const write = state.pass?.writes[0];
      if (write === undefined || write.kind === 'record' || state.onTheWire !== undefined) return undefined;
      return { ...restarted(state), onTheWire: write };
    },
  },
  'a leader takes over whose caches know nothing yet': {
    on: 'operator',
    change: (state) => takenOver(state, { agent: undefined, pods: [], claims: [] }),
  },
  'a leader takes over whose caches are behind': {
    on: 'operator',
    change: (state) => takenOver(state, state.behind ?? { agent: state.agent, pods: [], claims: [] }),
  },
};

const podTroubles: Readonly<Record<string, (state: ModelState) => Change>> = {
  'the pod fails': pods((pod) =>
    pod.scheduled && !pod.succeeded ? { ...pod, failed: true, readySince: undefined } : pod,
  ),
  'the pod crashes again and again': pods((pod) =>
    pod.started && !pod.succeeded && !pod.failed ? { ...pod, crashing: true, readySince: undefined } : pod,
  ),
  'the pod loses readiness': pods((pod) => (pod.readySince === undefined ? pod : { ...pod, readySince: undefined })),
  'the pod vanishes': pods(() => undefined),
  'somebody deletes the pod': pods((pod) => (pod.scheduled ? { ...pod, deleting: true } : undefined)),
  'the node is lost': pods((pod) => (pod.scheduled ? { ...pod, nodeLost: true, readySince: undefined } : pod)),
  'the pod is drained': pods((pod) =>
    pod.scheduled && !pod.succeeded ? { ...pod, disrupted: true, failed: true, readySince: undefined } : pod,
  ),
  'the claim vanishes': each(() => undefined),
  'somebody deletes the claim': each((claim) => (claim.deleting ? claim : { ...claim, deleting: true })),
  'the volume is lost': each((claim) => (claim.phase === 'Bound' ? { ...claim, phase: 'Lost' } : claim)),
  'a stranger has the name of the claim': (state) =>
    asksForClaim(state) && state.claims.length === 0
      ? { claims: [{ uid: 'stranger-uid', owner: 'stranger', phase: 'Bound', deleting: false }] }
      : undefined,
  'the API server refuses claims': (state) =>
    asksForClaim(state) && state.refused === 'nothing' ? { refused: 'claims' } : undefined,
  'the API server refuses pods': ({ refused }) => (refused === 'nothing' ? { refused: 'pods' } : undefined),
};

const worldTroubles: Readonly<Record<string, (state: ModelState) => Change>> = {
  ...Object.fromEntries(Object.entries(eventTroubles).map(([name, { change }]) => [name, change])),
  'eleven minutes pass': (state) =>
    state.pass === undefined ? { now: state.now + 660_000, woken: state.woken } : undefined,
  'the broker goes away': ({ broker }) => (broker ? { broker: false } : undefined),
  'the runtime class goes': ({ runtimeClass }) => (runtimeClass ? { runtimeClass: false } : undefined),
  'the Tenant holds': ({ tenancy }) => (tenancy === 'Active' ? { tenancy: 'Hold' } : undefined),
  'the Tenant drains': ({ tenancy }) =>
    tenancy === 'Active' || tenancy === 'Hold' ? { tenancy: 'HoldAndDrain' } : undefined,
  'the Tenant is deleted and leaves its namespaces': ({ tenancy }) =>
    tenancy === 'nobody' ? undefined : { tenancy: 'nobody' },
  'the Tenant is deleted with its namespaces': (state) =>
    state.agent === undefined
      ? undefined
      : {
          tenancy: 'nobody',
          agent: undefined,
          pods: state.pods.flatMap((pod) => (pod.scheduled ? [{ ...pod, deleting: true }] : [])),
          claims: state.claims.map((claim) => ({ ...claim, deleting: true })),
        },
};

const wishes: Readonly<Record<string, (state: ModelState) => Change>> = {
  'it is suspended': edit({ suspended: true }),
  'it is to run again': edit({ suspended: false }),
  'its spec is another': edit({ updated: true }),
  'its spec is the first again': edit({ spec: 'first', updated: false }),
  'its spec cannot work': edit({ spec: 'broken' }),
  'its spec is a job': edit({ spec: 'job' }),
  'its spec waits for no event': edit({ spec: 'hasty' }),
  'it is deleted': ({ agent }) => (agent === undefined ? undefined : { agent: undefined }),
};

function all(on: Touched, changes: Readonly<Record<string, (state: ModelState) => Change>>) {
  return Object.fromEntries(Object.entries(changes).map(([name, change]) => [name, { on, change }]));
}

/** What may go wrong, and what people may want. */
export const disturbances: Readonly<Record<string, Disturbance>> = {
  ...operatorTroubles,
  ...all('pods', podTroubles),
  ...all('world', worldTroubles),
  'the database goes away': { on: 'database', change: ({ database }) => (database ? { database: false } : undefined) },
  ...all('agent', wishes),
};

import { ApiError, OperatorError } from '../../kernel/errors.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import { attemptPodName } from '../../resources/agent/attempt.ts';
import { type AgentPorts, agentPass } from '../../resources/agent/controller.ts';
import type { AgentDecision } from '../../resources/agent/decide.ts';
import type { AgentObserved } from '../../resources/agent/facts.ts';
import { holdsPlace, placeRules } from '../../resources/places.ts';
import type { PlaceRoom } from '../../resources/quota.ts';
import { aHistory, anObservedAgent, databaseAway } from '../builders.ts';
import { claimObject } from './claim-model.ts';
import type { Move } from './explore.ts';
import { podObject } from './pod-model.ts';
import { type Decide, lastOf, type ModelState, type Pass, type Write } from './state.ts';
import { carriedOut, type Refused } from './writes.ts';

/** The operator of the model: when it looks, what it then sees, and how it carries a decision out. */

export type OperatorOptions = {
  readonly decide: Decide;
  /** Looks at every pass. @throws Violation */
  readonly onPass: (state: ModelState, observed: AgentObserved, decision: AgentDecision) => void;
  /** The place in the quota that this agent asks for, when it shares one with others. */
  readonly places?: PlaceRoom;
  /** Events are on the stream as soon as they are recorded: for models in which they are not the question. */
  readonly toldAtOnce?: boolean;
  /** What is not in a cache counts as gone, without the API server being asked: a mistake, for the check to find. */
  readonly credulous?: boolean;
};

type OperatorMove = Omit<Move<ModelState>, 'fair'>;

export function operatorMoves(state: ModelState, options: OperatorOptions): readonly OperatorMove[] {
  const { pass, woken, due, now } = state;
  if (pass !== undefined) return writes(state, pass, options);
  if (!woken && (due === undefined || due > now)) return [];
  return [{ name: 'the operator looks', to: looked(state, options) }];
}

function writes(state: ModelState, pass: Pass, options: OperatorOptions): readonly OperatorMove[] {
  const [write, ...rest] = pass.writes;
  if (write === undefined) return [];
  const { failed, ...done } = isShort(write, options)
    ? { failed: 'retried' as const }
    : carriedOut(state, write, options.toldAtOnce);
  const next = failed === undefined ? { ...pass, writes: rest } : explained(state, pass, write, failed);
  const after = { ...state, ...done };
  const isAtEnd = next === undefined || next.writes.length === 0;
  const to = isAtEnd ? { ...after, pass: undefined, ...ended(after, next?.outcome) } : { ...after, pass: next };
  return [{ name: `the operator writes: ${write.kind}`, to }];
}

const pass = agentPass({} as AgentPorts);

/** What the controller makes of a create that was refused; undefined: the pass failed and is tried again. */
function explained(state: ModelState, { observed, decision }: Pass, write: Write, refused: Refused): Pass | undefined {
  if (refused === 'retried' || write.kind !== 'action') return undefined;
  const error =
    refused === 'forbidden'
      ? new ApiError('POST', 403, { reason: 'Forbidden', message: 'exceeded quota' })
      : new OperatorError('NameConflict', 'retryable', 'an object that is not ours stands under this name');
  const explanation = pass.explain?.(observed, decision, error, state.now, write.action);
  if (explanation === undefined) return undefined;
  const { status, outcome } = explanation;
  const version = observed.agent?.metadata.resourceVersion ?? '';
  return { observed, decision, outcome, writes: status === undefined ? [] : [{ kind: 'status', status, version }] };
}

function looked(state: ModelState, options: OperatorOptions): ModelState {
  const resting = { ...state, woken: false, due: undefined };
  if (isNothingLeft(state)) return resting;
  const { places } = options;
  const observed = look(state, options.credulous);
  if (observed === 'unsynced') return { ...resting, ...ended(resting, undefined) };
  const asks = places !== undefined && !holdsPlace(placeRules.agent, lastOf(state));
  const quota = { amounts: [], ...(asks ? { places } : {}) };
  const whole = places === undefined ? observed : { ...observed, quota };
  const decision = options.decide(whole, state.now);
  options.onPass(state, whole, decision);
  const toWrite = writesOf(state, decision);
  const { outcome } = decision;
  if (toWrite.length === 0) return { ...resting, ...ended(resting, outcome) };
  return { ...resting, pass: { writes: toWrite, outcome, observed: whole, decision } };
}

const withPod: ReadonlySet<string> = new Set(['Scheduled', 'Starting', 'Ready', 'NotReady']);

/** As observeAgent looks: what follows from an Agent or a pod that is not there the API server itself has to confirm. */
export function look(state: ModelState, credulous = false): AgentObserved | 'unsynced' {
  const observed = observe(state);
  if (credulous) return observed;
  const last = state.database ? lastOf(state) : undefined;
  const isPodMissing = observed.pods.length === 0 && withPod.has(last?.to ?? '');
  const isInDoubt = observed.agent === undefined ? last?.to !== 'Terminating' : isPodMissing;
  if (isInDoubt && (state.agent === undefined) !== (observed.agent === undefined)) return 'unsynced';
  const stray = isPodMissing ? state.pods.find(({ name }) => name === attemptPodName(observed)) : undefined;
  if (stray === undefined) return observed;
  return stray.deleting ? { ...observed, pods: [podObject(stray)] } : 'unsynced';
}

export function observe(state: ModelState): AgentObserved {
  const { tenancy, runtimeClass, database, rows, broker } = state;
  const { agent, pods, claims } = state.behind ?? state;
  return anObservedAgent({
    agent,
    tenancy:
      tenancy === 'nobody'
        ? { kind: 'none' }
        : { kind: 'member', tenant: 'acme', rules: { suspend: tenancy === 'Active' ? 'None' : tenancy } },
    runtimeClass: { name: 'gvisor', exists: runtimeClass },
    pods: pods.filter(({ seen }) => seen).map(podObject),
    podOnItsWay: state.pods.some(({ seen, expected }) => !seen && expected === true),
    claims: claims.map(claimObject),
    history: database ? aHistory(...rows) : databaseAway,
    brokerAvailable: broker,
  });
}

function isNothingLeft(state: ModelState): boolean {
  const { agent, pods } = state.behind ?? state;
  const last = state.database ? lastOf(state) : undefined;
  return agent === undefined && pods.every(({ seen }) => !seen) && (last === undefined || last.to === 'Deleted');
}

/** What a decision writes, in the order of the kernel. Kubernetes Events are for people: nothing depends on them. */
export function writesOf(state: ModelState, { transitions, plan, status }: AgentDecision): readonly Write[] {
  const { agent } = state.behind ?? state;
  const version = agent?.metadata.resourceVersion ?? '';
  return [
    ...(transitions.length > 0 ? [{ kind: 'record', transitions, after: lastOf(state)?.seq ?? 0 } as const] : []),
    ...plan.filter(({ kind }) => kind !== 'event').map((action) => ({ kind: 'action', action }) as const),
    ...(status === undefined ? [] : [{ kind: 'status', status, version } as const]),
  ];
}

/** The queue's part: when the key comes again. A pass that failed is tried again after a moment. */
function ended({ now, woken }: ModelState, outcome: Outcome | undefined): Pick<ModelState, 'woken' | 'due'> {
  if (outcome === undefined) return { woken, due: now + backoffMs };
  if (outcome.kind === 'settled') return { woken, due: undefined };
  return outcome.afterMs === 0 ? { woken: true, due: undefined } : { woken, due: now + outcome.afterMs };
}

const backoffMs = 500;

/** The ledger refuses in the same statement: whoever saw a free place may not be the one who gets it. */
function isShort(write: Write, { places }: OperatorOptions): boolean {
  if (write.kind !== 'record' || places === undefined) return false;
  const [first, last] = [write.transitions[0], write.transitions.at(-1)];
  const held = first !== undefined && first.from !== 'New' && holdsPlace(placeRules.agent, { to: first.from });
  return !held && holdsPlace(placeRules.agent, last) && places.used >= places.limit;
}

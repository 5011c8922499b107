import type { Action, EventAction } from './action.ts';
import type { Decision } from './decision.ts';
import { aborted, classify, type OperatorError } from './errors.ts';
import { type Outcome, requeue } from './outcome.ts';

/** What `observe` found: a value to decide on, or an outcome when it cannot know yet (or nothing is left to do). */
export type Observation<Observed> = { readonly kind: 'observed'; readonly value: Observed } | Outcome;

/** What `observe` answers while a cache is behind, or contradicts what the API server itself says. */
export const unsynced: Outcome = requeue(500);

export function observed<Observed>(value: Observed): Observation<Observed> {
  return { kind: 'observed', value };
}

/** A decider's answer to an action that failed. */
export type Explanation<Status> = {
  /** Kubernetes Events that tell of it. */
  readonly events?: readonly EventAction[];
  readonly status?: Status;
  readonly outcome: Outcome;
};

/** What a pass does its work through. Each write must be harmless when it is done twice. */
export type PassPorts<Observed, Transition, Status> = {
  readonly observe: (key: string) => Promise<Observation<Observed>>;
  readonly decide: (observed: Observed, now: number) => Decision<Transition, Status>;
  /** Records all transitions in one transaction, or throws a conflict when someone moved first. */
  readonly record: (observed: Observed, transitions: readonly Transition[]) => Promise<void>;
  readonly execute: (action: Action, observed: Observed) => Promise<void>;
  readonly writeStatus: (observed: Observed, status: Status) => Promise<void>;
  /** As `explain`, for facts that could not be recorded: nothing was done. */
  readonly explainUnrecorded?: (
    observed: Observed,
    error: OperatorError,
    now: number,
  ) => Explanation<Status> | undefined;
  /** For failures a user should see in the status; undefined leaves the error to the error policy. */
  readonly explain?: (
    observed: Observed,
    decision: Decision<Transition, Status>,
    error: OperatorError,
    now: number,
    failed: Action,
  ) => Explanation<Status> | undefined;
};

export type PassTime = {
  /** Milliseconds since the epoch: the one `now` of this pass. */
  readonly now: number;
  /** Nothing is written any more once it aborts. */
  readonly signal: AbortSignal;
};

/**
 * The order of things, defined here and nowhere else: observe → decide → record → execute → status →
 * outcome. Facts are recorded before anything is done about them; the first action that fails ends
 * the plan; the status is written last. A pass that dies anywhere is repaired by the next one.
 */
export async function reconcilePass<Observed, Transition, Status>(
  ports: PassPorts<Observed, Transition, Status>,
  key: string,
  { now, signal }: PassTime,
): Promise<Outcome> {
  const observation = await ports.observe(key);
  if (observation.kind !== 'observed') return observation;

  const { value } = observation;
  const decision = ports.decide(value, now);

  const unrecorded = await record(ports, value, decision, { now, signal });
  if (unrecorded !== undefined) return tell(ports, value, unrecorded, signal);

  const failure = await runPlan(ports, value, decision.plan, signal, decision.unordered === true ? sideBySide : 1);
  const end: Explanation<Status> = failure === undefined ? decision : explained(ports, value, decision, failure, now);
  return tell(ports, value, end, signal);
}

/** Records what was decided; what a user should see when that cannot be done. */
async function record<Observed, Transition, Status>(
  { explainUnrecorded, record: write }: PassPorts<Observed, Transition, Status>,
  value: Observed,
  { transitions }: Decision<Transition, Status>,
  { now, signal }: PassTime,
): Promise<Explanation<Status> | undefined> {
  if (transitions.length === 0) return undefined;
  refuseIfAborted(signal);
  try {
    await write(value, transitions);
    return undefined;
  } catch (thrown) {
    const explanation = explainUnrecorded?.(value, classify(thrown), now);
    if (explanation === undefined) throw thrown;
    return explanation;
  }
}

async function tell<Observed, Transition, Status>(
  ports: PassPorts<Observed, Transition, Status>,
  value: Observed,
  { events = [], outcome, status }: Explanation<Status>,
  signal: AbortSignal,
): Promise<Outcome> {
  await runPlan(ports, value, events, signal);
  if (status !== undefined) {
    refuseIfAborted(signal);
    await ports.writeStatus(value, status);
  }
  return outcome;
}

type Failure = { readonly action: Action; readonly error: OperatorError };

/** How many actions of an unordered plan go out at a time. */
const sideBySide = 16;

/** The first failure ends the plan: what has gone out by then is waited for, nothing more is begun. */
async function runPlan<Observed, Transition, Status>(
  ports: PassPorts<Observed, Transition, Status>,
  value: Observed,
  plan: readonly Action[],
  signal: AbortSignal,
  width = 1,
): Promise<Failure | undefined> {
  const open = plan.values();
  let failure: Failure | undefined;
  const lane = async (): Promise<void> => {
    for (const action of open) {
      if (signal.aborted) return;
      try {
        await ports.execute(action, value);
      } catch (thrown) {
        failure ??= { action, error: classify(thrown) };
      }
      if (failure !== undefined) return;
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, plan.length) }, lane));
  if (failure === undefined && plan.length > 0) refuseIfAborted(signal);
  return failure;
}

function explained<Observed, Transition, Status>(
  ports: PassPorts<Observed, Transition, Status>,
  value: Observed,
  decision: Decision<Transition, Status>,
  { action, error }: Failure,
  now: number,
): Explanation<Status> {
  const explanation = ports.explain?.(value, decision, error, now, action);
  if (explanation === undefined) throw error;
  return explanation;
}

function refuseIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw aborted(signal.reason);
}

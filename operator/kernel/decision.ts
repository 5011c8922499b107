import type { Action, EventAction } from './action.ts';
import type { Outcome } from './outcome.ts';

/**
 * What a pure `decide` answers. `transitions` are observed facts, recorded before anything is done
 * about them; `plan` runs in order, or side by side where it is `unordered`; then `events` are told;
 * `status` is written last, and only when it is given.
 */
export type Decision<Transition, Status> = {
  readonly transitions: readonly Transition[];
  readonly plan: readonly Action[];
  /** No action of the plan needs another to have been carried out. */
  readonly unordered?: boolean;
  /** Kubernetes Events that hold only when the plan succeeds. */
  readonly events?: readonly EventAction[];
  readonly status?: Status;
  readonly outcome: Outcome;
};

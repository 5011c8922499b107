import type { Action } from './action.ts';
import type { Outcome } from './outcome.ts';

/**
 * What a pure `decide` answers. `transitions` are observed facts, recorded before anything is done
 * about them; `plan` runs in order; `status` is written last, and only when it is given.
 */
export type Decision<Transition, Status> = {
  readonly transitions: readonly Transition[];
  readonly plan: readonly Action[];
  readonly status?: Status;
  readonly outcome: Outcome;
};

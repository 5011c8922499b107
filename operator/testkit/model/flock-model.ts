import { holdsPlace, placeRules } from '../../resources/places.ts';
import type { PlaceRoom } from '../../resources/quota.ts';
import { agentKey } from './agent-key.ts';
import { agentModel } from './agent-model.ts';
import { isRest } from './agent-rest.ts';
import { demand, type Exploration, explore, type Move } from './explore.ts';
import { judged } from './explore-agent.ts';
import { type Decide, lastOf, type ModelState } from './state.ts';

/** Agents of one Tenant, the oldest first, that share the places of its quota. */
type Flock = readonly ModelState[];

export type FlockOptions = {
  readonly size: number;
  /** Places of the quota. */
  readonly limit: number;
  /** What may go wrong with any of them, and how often in one story. */
  readonly disturbances: readonly string[];
  readonly budget: number;
  readonly decide?: Decide;
};

/** All stories of several agents. A place that is let go of wakes the others; who waited longest is served first. */
export function exploreFlock({ size, limit, disturbances, budget, decide }: FlockOptions): Exploration {
  const modelOf = (flock: Flock, index: number) =>
    agentModel({ ...judged(decide), disturbances, budget, toldAtOnce: true, places: roomOf(flock, index, limit) });
  const moves = (flock: Flock): readonly Move<Flock>[] => {
    demand(used(flock) <= limit, 'more places taken than there are');
    const own = flock.map((state, index) => modelOf(flock, index).moves(state));
    // Time is one for all: it passes when nobody has anything to do at once.
    const isBusy = own.some((each) => each.some(({ name, fair }) => fair && !isTime(name)));
    return own.flatMap((each, index) =>
      each
        .filter(({ name }) => !isBusy || !isTime(name))
        .map(({ name, fair, to }) => ({ name: `${index}: ${name}`, fair, to: joined(flock, index, to) })),
    );
  };
  const initial = Array.from({ length: size }, () => modelOf([], 0).initial);
  return explore<Flock>({
    initial,
    key: (flock) => flock.map(agentKey).join(),
    moves,
    isRest: (flock) => isCalm(flock, limit),
  });
}

function isTime(name: string): boolean {
  return name.startsWith('time passes');
}

function holds(state: ModelState): boolean {
  return holdsPlace(placeRules.agent, lastOf(state));
}

function used(flock: Flock): number {
  return flock.filter(holds).length;
}

function waits({ agent }: ModelState): boolean {
  return agent?.status?.reason === 'WaitingForQuota';
}

function roomOf(flock: Flock, index: number, limit: number): PlaceRoom {
  const self = flock[index];
  const isWaiting = self !== undefined && waits(self);
  const before = flock.filter(
    (other, at) => waits(other) && !other.wish.suspended && (isWaiting ? at < index : at !== index),
  );
  return { limit, used: used(flock), ahead: used(flock) >= limit ? 0 : before.length };
}

/** One has moved: the clock is everybody's, and so is what is left to go wrong and the news of a free place. */
function joined(flock: Flock, index: number, to: ModelState): Flock {
  const next = flock.with(index, to);
  const freed = used(next) < used(flock) || flock.some((state, at) => waits(state) !== waits(next[at] as ModelState));
  return next.map((state, at) => {
    return at === index ? state : { ...state, now: to.now, left: to.left, woken: state.woken || freed };
  });
}

/** Each rests by itself, or waits for a place that another holds. */
function isCalm(flock: Flock, limit: number): boolean {
  return flock.every((state) => {
    if (isRest(state)) return true;
    const isIdle = state.pass === undefined && !state.woken && state.pods.length === 0 && !holds(state);
    return isIdle && waits(state) && used(flock) === limit;
  });
}

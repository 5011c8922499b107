import { isAvailable, type Member } from './member.ts';

/** What the Agents of the pool should come to. */
export type Goal = {
  readonly replicas: number;
  readonly revision: string;
  /** How many there may be beyond `replicas`, and how many may be missing, while others are replaced. */
  readonly maxSurge: number;
  readonly maxUnavailable: number;
  /** Whether Agents of another revision are replaced step by step, or only when somebody deletes them. */
  readonly rolling: boolean;
  /** Nothing new is made and nothing that stands is replaced: the new revision keeps failing. */
  readonly held: boolean;
  readonly minReadyMs: number;
};

/** How many Agents to make now, and which to delete. */
export type Step = { readonly create: number; readonly remove: readonly Member[] };

/** One pass does no more than this, so that it ends and what changed meanwhile is seen. */
const maxBatch = 250;

/**
 * The next step towards the goal. Whatever is outstanding has been seen by now. It never takes the pool beyond
 * replicas + maxSurge, Agents on their way out included, and never takes an available Agent away below
 * replicas - maxUnavailable.
 */
export function nextStep(members: readonly Member[], goal: Goal, now: number): Step {
  const live = members.filter((member) => !member.terminating);
  const updated = live.filter((member) => member.revision === goal.revision);
  const rolls = goal.rolling && updated.length < live.length;
  const ceiling = goal.replicas + (rolls ? goal.maxSurge : 0);
  const surplus = deletionOrder(live, goal, now).slice(0, Math.max(0, live.length - ceiling));
  if (goal.held) return { create: 0, remove: surplus.slice(0, maxBatch) };
  const remove = rolls ? replaced(live, updated, goal, now) : surplus;
  const wanted = rolls ? goal.replicas - updated.length : ceiling;
  const room = ceiling - members.length;
  return {
    create: batch(rolls ? Math.min(wanted, room) : room, updated.length),
    remove: remove.slice(0, maxBatch),
  };
}

/** Slow start: one, then as many as stand already. What the API server refuses, it refuses once and not a thousand times. */
function batch(wanted: number, standing: number): number {
  return Math.max(0, Math.min(wanted, Math.max(1, standing), maxBatch));
}

/** What a rolling update takes away now: outdated Agents within the budget, and new ones beyond the count. */
function replaced(live: readonly Member[], updated: readonly Member[], goal: Goal, now: number): readonly Member[] {
  const available = (member: Member) => isAvailable(member, goal.minReadyMs, now);
  const outdated = deletionOrder(
    live.filter((member) => member.revision !== goal.revision),
    goal,
    now,
  );
  const least = goal.replicas - goal.maxUnavailable;
  const coming = updated.filter((member) => !available(member)).length;
  // New Agents that are not available yet may never be: they do not stand in for the old ones.
  const budget = live.length - least - coming;
  const tooMany = live.length - goal.replicas - goal.maxSurge;
  const useless = outdated.filter((member) => !available(member)).slice(0, Math.max(0, budget, tooMany));
  const spare = Math.min(live.filter(available).length - least, budget - useless.length);
  const spared = outdated.filter(available).slice(0, Math.max(0, spare));
  const beyond = deletionOrder(updated, goal, now).slice(0, Math.max(0, updated.length - goal.replicas));
  return [...useless, ...spared, ...beyond];
}

/** Whom to delete first: failed, then not Ready, then not available; of equals the outdated, then the newest. */
export function deletionOrder(members: readonly Member[], goal: Goal, now: number): readonly Member[] {
  const rank = (member: Member): number => {
    if (member.failedSince !== undefined) return 0;
    if (member.readySince === undefined) return 1;
    return isAvailable(member, goal.minReadyMs, now) ? 3 : 2;
  };
  const isUpdated = (member: Member) => Number(member.revision === goal.revision);
  return members.toSorted(
    (a, b) =>
      rank(a) - rank(b) || isUpdated(a) - isUpdated(b) || b.createdAt - a.createdAt || (a.name < b.name ? 1 : -1),
  );
}

/** A count, or a share of `total` rounded up or down. */
export function share(value: number | string, total: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const exact = (Number.parseInt(value, 10) * total) / 100;
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact);
}

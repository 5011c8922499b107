import { shownConsistency } from '../../store/tables/consistency.ts';
import { isOver } from './outbox-model.ts';
import { lastOf, type ModelState, specOf } from './state.ts';

/** Where the story of an agent may end, told from what was asked for alone. */
export function isRest(state: ModelState): boolean {
  const { agent, pods, rows, pass, onTheWire, woken } = state;
  if (pass !== undefined || woken || onTheWire !== undefined) return false;
  if (!rows.every(({ event }) => isOver(event.state))) return false;
  const last = lastOf(state);
  if (last?.event.state === 'Published') return false;
  if (agent === undefined) return pods.length === 0 && isClean(state) && (last === undefined || last.to === 'Deleted');
  const { status } = agent;
  if (last === undefined || status?.phase !== last.to) return false;
  if (status.observedGeneration !== agent.metadata.generation) return false;
  // What is tried again before a minute is over never gets to show that consumers have had the last event.
  const isShown = status.consistency?.state === shownConsistency(last.event.state) || last.to === 'Failed';
  return isShown && isWish(state, last.to, last.reason);
}

/** Whether this phase is what was asked for, or what comes of it. */
function isWish(state: ModelState, phase: string, reason: string): boolean {
  const { pods, claims, wish, firstReadyAt } = state;
  const spec = specOf(wish);
  const { shutdownTime, ttlSecondsAfterFinished, shutdownPolicy } = spec.lifecycle ?? {};
  const isFinished = phase === 'Completed' || phase === 'Failed';
  if (isFinished && ttlSecondsAfterFinished !== undefined) return false;
  const ends = shutdownTime !== undefined || (spec.lifecycle !== undefined && firstReadyAt !== undefined);
  if (ends) return reason === 'SessionExpired' && pods.length === 0 && shutdownPolicy !== 'Delete';
  const isDoomed = wish.suspended || wish.spec === 'broken' || wish.spec === 'job';
  if (phase === 'Failed') return pods.length === 0 && (isDoomed || claims.some((claim) => claim.phase === 'Lost'));
  // A session that is over stays so, whatever its deadlines are changed to afterwards.
  if (phase === 'Completed') return wish.suspended || wish.spec === 'job' || reason === 'SessionExpired';
  if (wish.suspended) return phase === 'Suspended' && pods.length === 0 && isClean(state);
  return phase === 'Ready' && pods[0]?.readySince !== undefined && pods.length === 1 && pods[0].image === spec.image;
}

/** No claim is left that nobody keeps. */
function isClean({ agent, claims, wish }: ModelState): boolean {
  const { persistentVolumeClaimRetentionPolicy: policy } = specOf(wish);
  const isHeld = (kept: 'Delete' | 'Retain' | undefined) => kept !== 'Delete';
  const mayStay = isHeld(agent === undefined ? policy?.whenDeleted : policy?.whenScaled);
  return claims.every(({ deleting, phase, owner }) => {
    if (owner === 'stranger' || owner === 'predecessor') return true;
    return mayStay && !deleting && (agent !== undefined || phase !== 'Pending');
  });
}

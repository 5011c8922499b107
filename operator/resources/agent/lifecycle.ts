import type { AgentObserved } from './facts.ts';
import { lastRow } from './history.ts';

/** When the session ends by `spec.lifecycle`, whichever of its deadlines comes first; ms since the epoch. */
export function sessionEnd({ agent, history }: AgentObserved): number | undefined {
  const { shutdownTime, maxSessionDurationSeconds } = agent?.spec?.lifecycle ?? {};
  const ready = history.kind === 'known' ? history.latestByPhase.Ready : undefined;
  const firstReady = ready?.detail.firstReadyAt ?? ready?.observedAt;
  const ends = [
    shutdownTime === undefined ? undefined : Date.parse(shutdownTime),
    maxSessionDurationSeconds === undefined || firstReady === undefined
      ? undefined
      : firstReady + maxSessionDurationSeconds * 1000,
  ].filter((end) => end !== undefined);
  return ends.length === 0 ? undefined : Math.min(...ends);
}

export function isSessionOver(observed: AgentObserved, now: number): boolean {
  const end = sessionEnd(observed);
  return end !== undefined && now >= end;
}

/** When the Agent itself is to be deleted by `spec.lifecycle`: its session over with Delete, or finished long enough. */
export function deletionDue(observed: AgentObserved): number | undefined {
  const { ttlSecondsAfterFinished, shutdownPolicy } = observed.agent?.spec?.lifecycle ?? {};
  const last = lastRow(observed.history);
  const finished = last?.to === 'Completed' || last?.to === 'Failed';
  if (finished && ttlSecondsAfterFinished !== undefined) return last.observedAt + ttlSecondsAfterFinished * 1000;
  return shutdownPolicy === 'Delete' && last !== undefined ? sessionEnd(observed) : undefined;
}

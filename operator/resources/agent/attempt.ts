import type { V1Pod } from '@kubernetes/client-node';
import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import { annotations } from '../../api/v1alpha1/names.ts';
import type { AgentObserved } from './facts.ts';
import { type AgentRow, lastRow } from './history.ts';
import { attemptStarts } from './machine.ts';
import { podName } from './pod.ts';

/** Defaults of `spec.recovery` and of the start deadline; they apply when used and are never written into a spec. */
export const defaults = {
  startupDeadlineSeconds: 300,
  backoffLimit: 5,
  backoffBaseSeconds: 1,
  backoffMaxSeconds: 60,
  retryAfterFailedSeconds: 300,
  /** Ready for this long, an agent has proved itself: its next failure counts as the first. */
  attemptsResetAfterMs: 600_000,
} as const;

export type Recovery = {
  readonly backoffLimit: number;
  readonly backoffBaseSeconds: number;
  readonly backoffMaxSeconds: number;
  readonly retryAfterFailedSeconds: number;
};

export function recoveryOf(spec: AgentSpec | undefined): Recovery {
  const { recovery } = spec ?? {};
  return {
    backoffLimit: recovery?.backoffLimit ?? defaults.backoffLimit,
    backoffBaseSeconds: recovery?.backoffSeconds?.base ?? defaults.backoffBaseSeconds,
    backoffMaxSeconds: recovery?.backoffSeconds?.max ?? defaults.backoffMaxSeconds,
    retryAfterFailedSeconds:
      recovery?.retryAfterFailedSeconds ?? (isService(spec) ? defaults.retryAfterFailedSeconds : 0),
  };
}

/** Meant to run for ever, as opposed to a job that may end. */
function isService(spec: AgentSpec | undefined): boolean {
  return (spec?.restartPolicy ?? 'Always') === 'Always';
}

/** The try in hand: what began it, which pod is its own, when it may act and when its time is up. */
export type Attempt = {
  /** The row that began it (Created, Recovering or Replacing). */
  readonly start: AgentRow | undefined;
  /** 1 for the first try. */
  readonly number: number;
  readonly reason: string | undefined;
  /** Of the spec that its pod was made from, or will be. */
  readonly specHash: string | undefined;
  readonly podName: string | undefined;
  /** Its own pod, when there is one. */
  readonly pod: V1Pod | undefined;
  /** Not before this is a pod created (ms since the epoch). */
  readonly notBefore: number;
  /** By this its pod has to be Ready (ms since the epoch); none while there is no pod: nothing has been tried yet. */
  readonly deadline: number | undefined;
  /** When a Failed agent is tried again; undefined when never, or when it has not failed. */
  readonly retryFailedAt: number | undefined;
};

/** Reads the attempt in hand off the history. */
export function attemptOf(observed: AgentObserved, now: number): Attempt {
  const start = startRow(observed);
  const last = lastRow(observed.history);
  const name = attemptPodName(observed);
  const spec = observed.agent?.spec;
  const notBefore = start === undefined ? now : start.observedAt + backoffMs(start, recoveryOf(spec));
  const pod = observed.pods.find(({ metadata }) => metadata?.name === name);
  return {
    start,
    number: countedAttempt(observed, now),
    reason: start?.reason,
    // Of a record that was lost and adopted from the stream, or begun anew, only the pod knows what it was made from.
    specHash: pod?.metadata?.annotations?.[annotations.specHash] ?? start?.detail.specHash,
    podName: name,
    pod,
    notBefore,
    deadline: pod === undefined ? undefined : startDeadline(pod, notBefore, spec),
    retryFailedAt: last?.to === 'Failed' ? retryAt(last, recoveryOf(spec)) : undefined,
  };
}

/** The name of the one pod that the attempt in hand makes. */
export function attemptPodName(observed: Pick<AgentObserved, 'uid' | 'name' | 'history'>): string | undefined {
  const start = startRow(observed);
  return start === undefined ? undefined : podName(observed.name, observed.uid, start.seq);
}

// From the pod's own creation on: time in which no pod could be made (the database or the operator was away, the
// runtime class missing, an old pod still stopping) is not the pod's fault and uses no attempt up.
function startDeadline(pod: V1Pod, notBefore: number, spec: AgentSpec | undefined): number {
  const created = new Date(pod.metadata?.creationTimestamp ?? notBefore).getTime();
  const seconds = spec?.startupDeadlineSeconds ?? defaults.startupDeadlineSeconds;
  return Math.max(notBefore, created) + seconds * 1000;
}

/** The newest row that began an attempt. */
export function startRow({ history }: Pick<AgentObserved, 'history'>): AgentRow | undefined {
  if (history.kind === 'unavailable') return undefined;
  const rows = attemptStarts.map((phase) => history.latestByPhase[phase]).filter((row) => row !== undefined);
  return rows.reduce<AgentRow | undefined>((newest, row) => (newest && newest.seq > row.seq ? newest : row), undefined);
}

function countedAttempt(observed: AgentObserved, now: number): number {
  const last = lastRow(observed.history);
  if (last === undefined || observed.history.kind === 'unavailable') return 1;
  const reset = attemptsResetAt(observed);
  return reset !== undefined && now >= reset ? 1 : last.attempt;
}

/** When an agent that took several tries will have proved itself; ms since the epoch. */
export function attemptsResetAt({ history }: AgentObserved): number | undefined {
  const last = lastRow(history);
  const unproved = last?.to === 'Ready' && last.attempt > 1;
  return unproved ? last.observedAt + defaults.attemptsResetAfterMs : undefined;
}

/** Exponential, from the second try on: base, 2·base, 4·base … up to max. A retry after Failed has waited already. */
function backoffMs(start: AgentRow, recovery: Recovery): number {
  if (start.to !== 'Recovering' || start.reason === 'Retrying') return 0;
  const seconds = recovery.backoffBaseSeconds * 2 ** Math.max(0, start.attempt - 2);
  return Math.min(seconds, recovery.backoffMaxSeconds) * 1000;
}

function retryAt(failed: AgentRow, recovery: Recovery): number | undefined {
  if (recovery.retryAfterFailedSeconds === 0) return undefined;
  return failed.observedAt + recovery.retryAfterFailedSeconds * 1000;
}

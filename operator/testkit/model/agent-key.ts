import type { AgentStatus } from '../../api/v1alpha1/agent.ts';
import { startRow } from '../../resources/agent/attempt.ts';
import { crashLoopProbationMs } from '../../resources/agent/facts.ts';
import type { AgentRow } from '../../resources/agent/history.ts';
import { podName, specHash } from '../../resources/agent/pod.ts';
import type { ModelClaim } from './claim-model.ts';
import { observe } from './operator-model.ts';
import { isOver } from './outbox-model.ts';
import type { ModelPod } from './pod-model.ts';
import { lastOf, type ModelState, specOf, specs, type Write } from './state.ts';

/**
 * What of a state bears on what happens next, as text: ages instead of times, each only as long as it matters, and
 * the place of a row in its story instead of its number. Two stories that differ in nothing else are one.
 */
export function agentKey(state: ModelState): string {
  const { wish, database, broker, runtimeClass, tenancy, refused, woken, due, now } = state;
  const { pods, claims, pass, onTheWire, behind, left } = state;
  const start = startRow({ ...observe({ ...state, database: true }) });
  const own = start === undefined ? undefined : podName('scout', 'agent-uid', start.seq);
  const wished = [wish.spec, wish.updated, wish.suspended];
  const world = [left, wished, database, broker, runtimeClass, tenancy, refused, woken];
  return JSON.stringify([
    world,
    due === undefined || woken ? '-' : due - now,
    recordKey(state, start),
    sessionKey(state),
    pods.map((pod) => podKey(pod, own, state)),
    claims.map(claimKey),
    statusKey(state, own),
    pass?.writes.map((write) => writeKey(write, state, own)),
    pass === undefined || pass.outcome.kind === 'settled' ? '-' : pass.outcome.afterMs,
    onTheWire === undefined ? '-' : writeKey(onTheWire, state, own),
    behind === undefined ? '-' : behindKey({ ...state, ...behind }, own, state.agent),
  ]);
}

const longestMs = {
  start: 1_000,
  projected: 1_000,
  retry: 30_000,
  attempt: 21_000,
  proved: 600_000,
  stalled: 60_000,
  acknowledged: 60_000,
  finished: 30_000,
} as const;

function age(at: number, now: number, longest: number): number {
  return Math.min(now - at, longest);
}

function recordKey(state: ModelState, start: AgentRow | undefined): unknown {
  const { agent, rows, sent, everSent, now } = state;
  const last = lastOf(state);
  if (last === undefined || start === undefined) return agent === undefined ? 'gone' : 'new';
  const longests = { Failed: longestMs.retry, Completed: longestMs.finished, Ready: longestMs.proved };
  const longest = longests[last.to as keyof typeof longests] ?? longestMs.projected;
  const open = rows.filter(({ event }) => !isOver(event.state));
  const shown = agent?.status?.consistency?.state;
  const isNews = last.event.state === 'Acknowledged' && shown !== 'Acknowledged';
  return [
    agent === undefined,
    last.to,
    last.reason,
    Math.min(last.attempt, 3),
    age(last.observedAt, now, longest),
    // Told again as the phase while agent.ready waits, and as the last failure.
    last.from,
    ['Recovering', 'Failed'].map((phase) => rows.findLast(({ to }) => to === phase)?.reason),
    [start.to, start.reason, Math.min(start.attempt, 3), age(start.observedAt, now, longestMs.start)],
    agent !== undefined && start.detail.specHash === specHash(agent.spec),
    [
      open.length,
      open[0]?.event.state,
      (open[0]?.seq ?? 0) <= sent,
      last.event.state,
      last.seq <= sent,
      last.seq <= everSent,
    ],
    rows.some(({ event }) => event.state === 'Published'),
    isNews ? age(last.event.publishedAt ?? 0, now, longestMs.acknowledged) : '-',
    rows.some(({ to, seq }) => to === 'Ready' && seq > start.seq),
  ];
}

/** How long its session has yet to go, or has been over. */
function sessionKey({ wish, firstReadyAt, now }: ModelState): unknown {
  const { lifecycle } = specOf(wish);
  if (lifecycle === undefined) return '-';
  const { shutdownTime, maxSessionDurationSeconds = 0 } = lifecycle;
  const end =
    shutdownTime === undefined ? (firstReadyAt ?? 0) + maxSessionDurationSeconds * 1000 : Date.parse(shutdownTime);
  return [firstReadyAt === undefined, Math.max(end - now, 0)];
}

function claimKey({ owner, phase, deleting }: ModelClaim): unknown {
  return [owner, phase, deleting];
}

function podKey(pod: ModelPod, own: string | undefined, { now }: ModelState): unknown {
  const { name, image, createdAt, readySince, late, seen, expected, mounts, deleting, scheduled } = pod;
  const { started, crashing, failed, succeeded, disrupted, nodeLost } = pod;
  const knowledge = [late, seen, !seen && expected, mounts];
  const flags = [...knowledge, deleting, scheduled, started, crashing, failed, succeeded, disrupted, nodeLost].map(
    Boolean,
  );
  const stuck = image === specs.broken.image;
  const ready = readySince === undefined ? '-' : age(readySince, now, crashLoopProbationMs);
  return [name === own, stuck, image === specs.job.image, flags, age(createdAt, now, longestMs.attempt), ready];
}

/** Conditions that turn into Stalled when they have lasted. */
const blocking: ReadonlySet<string> = new Set(['IsolationReady', 'TenantReady', 'PodScheduled', 'QuotaReserved']);

function statusKey({ agent, now, rows }: ModelState, own: string | undefined): unknown {
  const status = agent?.status;
  if (agent === undefined || status === undefined) return '-';
  const {
    phase,
    reason,
    podRef,
    observedGeneration,
    conditions = [],
    consistency,
    attempts,
    lastFailureReason,
  } = status;
  const told = rows.find(({ seq }) => seq === consistency?.sequence);
  return [
    [phase, reason, observedGeneration === agent.metadata.generation, podRef === undefined ? '-' : podRef.name === own],
    conditions.map(({ type, status: value, reason: why, lastTransitionTime }) => {
      const since = blocking.has(type) ? age(Date.parse(lastTransitionTime), now, longestMs.stalled) : '-';
      return [type, value, why, since];
    }),
    [told === lastOf({ rows }), consistency?.state, Math.min(attempts ?? 0, 3), lastFailureReason, shown(status, rows)],
  ];
}

/** Which of its times a status shows, and whether they are those of the record. */
function shown(status: AgentStatus, rows: readonly AgentRow[]): readonly unknown[] {
  const published = Math.max(0, ...rows.map(({ event }) => event.publishedAt ?? 0));
  const told = status.consistency?.lastPublishedTime;
  const times = [status.createdAt, status.scheduledAt, status.startingAt, status.readyAt];
  const phases = ['Created', 'Scheduled', 'Starting', 'Ready'];
  return [
    status.nextRetryTime !== undefined,
    status.nodeName !== undefined,
    status.restartCount,
    (told === undefined ? 0 : Date.parse(told)) === published,
    ...times.map((time, index) => {
      const row = rows.findLast(({ to }) => to === phases[index]);
      return time === undefined ? '-' : Date.parse(time) === row?.observedAt;
    }),
  ];
}

function behindKey(shown: ModelState, own: string | undefined, now: ModelState['agent']): unknown {
  const { agent, pods, claims } = shown;
  const isCurrent = agent?.metadata.resourceVersion === now?.metadata.resourceVersion;
  const wish = [agent === undefined, isCurrent, agent?.spec.image, agent?.spec.operatingMode];
  return [wish, statusKey(shown, own), pods.map((pod) => podKey(pod, own, shown)), claims.map(claimKey)];
}

function writeKey(write: Write, state: ModelState, own: string | undefined): unknown {
  switch (write.kind) {
    case 'record':
      return [write.transitions.map(({ to, reason }) => [to, reason]), write.after === (lastOf(state)?.seq ?? 0)];
    case 'action': {
      const { action } = write;
      if (action.kind === 'create') return ['create', action.object.kind, action.object.metadata.name === own];
      return action.kind === 'delete' ? ['delete', action.ref.resource.kind, action.ref.name === own] : action.kind;
    }
    case 'status': {
      const { phase, reason, podRef } = write.status;
      return [phase, reason, podRef?.name === own, write.version === state.agent?.metadata.resourceVersion];
    }
    default:
      return write satisfies never;
  }
}

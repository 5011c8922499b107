import type { Agent, AgentStatus } from '../../api/v1alpha1/agent.ts';
import type { AgentReason } from '../../api/v1alpha1/reasons.ts';
import type { EventAction } from '../../kernel/action.ts';
import { sameStatus } from '../../kernel/conditions.ts';
import type { AgentRow } from './history.ts';
import { moving } from './summary.ts';

/** A phase an agent only passes through is projected when it stays in it this long: a quick cold start is one status write. */
const projectAfterMs = 1_000;
/** Once its pod is shown, longer: of a thousand that start slowly because they are a thousand each would cost every write. */
const projectWithPodAfterMs = 10_000;
/** Of many that start at once most are Ready before anybody has looked at one: so much longer for each that shows nothing yet … */
const projectAfterPerUnshownMs = 100;
/** … up to here, for those who wonder what keeps theirs. */
const projectUnshownWithinMs = 30_000;
/** That consumers have an event is for people, and a write of its own: it waits so long for another to go along with. */
export const acknowledgedAfterMs = 60_000;

/** Reasons a person should hear of by a Warning event. */
const alarming: ReadonlySet<AgentReason> = new Set<AgentReason>([
  'StartDeadlineExceeded',
  'ImagePullFailed',
  'CrashLoop',
  'Unschedulable',
  'RuntimeClassNotFound',
  'RuntimeHandlerMissing',
  'TenantNotFound',
  'NotAllowed',
  'PodRejected',
  'WaitingForQuota',
  'QuotaExceeded',
  'PodLost',
  'PodFailed',
  'OutOfMemory',
  'ContainerNotCreated',
  'Evicted',
  'NodeLost',
  'ClaimRejected',
  'NameConflict',
  'InvalidSpec',
]);

export type StatusWrite =
  | { readonly kind: 'now' }
  | { readonly kind: 'never' }
  | { readonly kind: 'later'; readonly at: number };

/**
 * When to write. At rest, on anything alarming, and when another pod took the place of the one shown: now. On the
 * way up only when the agent stays in a phase: one write per cold start, two for one that takes more than a second,
 * and again one when so many start (`unshown` is how many show nothing yet) that they are slow for that alone.
 */
export function statusWrite(
  prior: AgentStatus | undefined,
  next: AgentStatus,
  last: AgentRow | undefined,
  now: number,
  unshown = 0,
): StatusWrite {
  if (prior !== undefined && sameStatus(prior, next)) return { kind: 'never' };
  const quietUntil = (last?.event.publishedAt ?? 0) + acknowledgedAfterMs;
  if (now < quietUntil && isOnlyAcknowledged(prior, next)) return { kind: 'later', at: quietUntil };
  if (last === undefined || alarming.has(next.reason as AgentReason) || !isPassing(next)) return { kind: 'now' };
  const isReplaced = prior?.podRef !== undefined && next.podRef !== undefined && prior.podRef.uid !== next.podRef.uid;
  const isFollowed = prior?.podRef !== undefined && isPassing(prior);
  const crowd = Math.min(unshown * projectAfterPerUnshownMs, projectUnshownWithinMs);
  const at = last.observedAt + Math.max(isFollowed ? projectWithPodAfterMs : projectAfterMs, crowd);
  return isReplaced || now >= at ? { kind: 'now' } : { kind: 'later', at };
}

/** True when nothing is news but that consumers have the newest event. */
function isOnlyAcknowledged(prior: AgentStatus | undefined, next: AgentStatus): boolean {
  if (prior?.consistency?.state !== 'Published' || next.consistency?.state !== 'Acknowledged') return false;
  const others = (status: AgentStatus) => ({
    ...status,
    consistency: { ...status.consistency, state: undefined },
    conditions: status.conditions?.filter(({ type }) => type !== 'EventsAcknowledged'),
  });
  return sameStatus(others(prior), others(next));
}

function isPassing(status: AgentStatus): boolean {
  return moving.has(status.phase ?? 'Pending') || status.reason === 'AwaitingEventPublish';
}

/** Kubernetes Events that go with a status about to be written: one Normal at Ready, a Warning for what alarms. */
export function statusEvents(agent: Agent, next: AgentStatus): readonly EventAction[] {
  const wasReady = agent.status?.phase === 'Ready';
  const becameReady = next.phase === 'Ready' && next.reason === 'AgentReady' && !wasReady;
  const alarm = alarming.has(next.reason as AgentReason) && agent.status?.reason !== next.reason;
  if (!becameReady && !alarm) return [];
  return [statusEvent(agent, becameReady ? 'Normal' : 'Warning', next.reason ?? '', next.message ?? '')];
}

function statusEvent(agent: Agent, type: 'Normal' | 'Warning', reason: string, note: string): EventAction {
  const { namespace, name, uid } = agent.metadata;
  return {
    kind: 'event',
    type,
    regarding: { apiVersion: agent.apiVersion, kind: agent.kind, namespace, name, uid },
    reason,
    action: 'Reconcile',
    note,
  };
}

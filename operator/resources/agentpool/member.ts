import type { Agent } from '../../api/v1alpha1/agent.ts';
import { group, labels } from '../../api/v1alpha1/names.ts';
import { findCondition } from '../../kernel/conditions.ts';
import type { StoredObject } from '../../kernel/object.ts';

/** An Agent of the pool as a cache holds it. */
export type MemberObject = StoredObject & Pick<Agent, 'spec' | 'status'>;

/** An Agent of the pool as plain answers. Times are milliseconds since the epoch. */
export type Member = {
  readonly name: string;
  readonly uid: string;
  /** The revision it was made from; absent when somebody took the label away. */
  readonly revision: string | undefined;
  readonly createdAt: number;
  readonly terminating: boolean;
  readonly unschedulable: boolean;
  /** Since when it is Ready. */
  readonly readySince: number | undefined;
  /** Since when it has given up. */
  readonly failedSince: number | undefined;
  readonly object: MemberObject;
};

/** The UID of the pool that controls the Agent, if one does. Ownership is decided by this alone, never by a label. */
export function poolUidOf({ metadata }: StoredObject): string | undefined {
  return metadata.ownerReferences?.find(
    ({ apiVersion, kind, controller }) =>
      controller === true && kind === 'AgentPool' && apiVersion.startsWith(`${group}/`),
  )?.uid;
}

/** Reads an Agent's own status: the pool never looks at pods. */
export function memberOf(object: MemberObject): Member {
  const { metadata, status } = object;
  const conditions = status?.conditions ?? [];
  const createdAt = timeOf(metadata.creationTimestamp) ?? 0;
  const ready = findCondition(conditions, 'Ready');
  const failed = status?.phase === 'Failed';
  return {
    name: metadata.name,
    uid: metadata.uid,
    revision: metadata.labels?.[labels.revision],
    createdAt,
    terminating: metadata.deletionTimestamp !== undefined,
    unschedulable: ready?.reason === 'Unschedulable',
    readySince: ready?.status === 'True' ? timeOf(ready.lastTransitionTime) : undefined,
    // A Failed Agent is Stalled from that moment on; its Ready condition may have been False for long before.
    failedSince: failed ? (timeOf(findCondition(conditions, 'Stalled')?.lastTransitionTime) ?? createdAt) : undefined,
    object,
  };
}

/** Ready for long enough to be counted on. */
export function isAvailable({ readySince, terminating }: Member, minReadyMs: number, now: number): boolean {
  return !terminating && readySince !== undefined && now - readySince >= minReadyMs;
}

/**
 * How many of these Agents have failed since the last time one of them became Ready. Read off what stands: deleting
 * the failed ones, a recovery of any of them, or a new revision starts the count anew.
 */
export function consecutiveFailures(members: readonly Member[]): number {
  const lastSuccess = Math.max(0, ...members.map((member) => member.readySince ?? 0));
  return members.filter(({ failedSince }) => failedSince !== undefined && failedSince >= lastSuccess).length;
}

function timeOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : new Date(text).getTime();
}

import { type AgentPool, parseAgentPool } from '../../api/v1alpha1/agentpool.ts';
import type { StoredObject } from '../../kernel/object.ts';
import { requeue, settled } from '../../kernel/outcome.ts';
import { type Observation, observed, unsynced } from '../../kernel/reconcile.ts';
import type { PlaceRoom } from '../quota.ts';
import { type Membership, type TenancyPorts, tenancyOf } from '../tenancy.ts';
import type { PoolObserved, Refusal } from './decide.ts';
import { lastRow, type PoolHistory } from './history.ts';
import { type MemberObject, memberOf } from './member.ts';

/** Where a pool's world is looked up. */
export type PoolSources = TenancyPorts & {
  /** False while a cache is behind: what is not in it may only be unknown. */
  readonly synced: () => boolean;
  readonly pool: (uid: string) => StoredObject | undefined;
  /** Every Agent whose controller is this UID: those that stand, and those that have gone while their pods still stop. */
  readonly membersOf: (uid: string) => readonly MemberObject[];
  /** Asks the API server itself whether the pool with this UID stands under this name. */
  readonly isStanding: (uid: string, namespace: string, name: string) => Promise<boolean>;
  /** Asks the API server itself whether this Agent stands and has lost its controller. */
  readonly isReleased: (member: MemberObject) => Promise<boolean>;
  /** Creates and deletes of ours that the cache has not shown yet. */
  readonly outstanding: (uid: string) => boolean;
  /** How many pools its tenant may have. Undefined when any number, or when the database is away. */
  readonly room: (uid: string, tenancy: Membership) => Promise<PlaceRoom | undefined>;
  readonly refusal: (uid: string) => Refusal | undefined;
  /** Never throws for a database that is away: that is one of its answers. */
  readonly history: (uid: string) => Promise<PoolHistory>;
  readonly newTraceparent: () => string;
};

/** The watch wakes the pool when the cache has caught up; this is the net below it. */
const outstandingRecheckMs = 2_000;

/** One frozen look at the pool with this UID; settled when nothing is left of it. */
export async function observePool(uid: string, sources: PoolSources): Promise<Observation<PoolObserved>> {
  // The record first: the caches are then at least as new as it.
  const history = await sources.history(uid);
  if (!sources.synced()) return unsynced;
  if (sources.outstanding(uid)) return requeue(outstandingRecheckMs);
  const object = sources.pool(uid);
  const objects = sources.membersOf(uid);
  const last = lastRow(history);
  if (object === undefined && objects.length === 0 && (last === undefined || last.to === 'Deleted')) return settled;

  const namespace = object?.metadata.namespace ?? last?.detail.namespace ?? objects[0]?.metadata.namespace ?? '';
  const name = object?.metadata.name ?? last?.detail.name ?? ownerName(objects[0], uid);
  if (object === undefined && !(await isGone(uid, namespace, name, objects[0], sources))) {
    return unsynced;
  }
  const isGoing = object?.metadata.deletionTimestamp !== undefined;
  const present = isGoing ? undefined : object;
  const parsed = present === undefined ? undefined : parseAgentPool(present);
  const tenancy = tenancyOf(namespace, sources);
  const asksForPlace = present !== undefined && history.kind === 'known' && last === undefined;
  const room = asksForPlace && tenancy.kind === 'member' ? await sources.room(uid, tenancy) : undefined;
  return observed({
    uid,
    namespace,
    name,
    pool: parsed?.kind === 'valid' ? parsed.value : (present as AgentPool | undefined),
    ...(parsed?.kind === 'invalid' ? { invalid: parsed.problems.join('; ') } : {}),
    orphaning: object?.metadata.finalizers?.includes('orphan') === true,
    tenancy,
    ...(room === undefined ? {} : { room }),
    members: objects.map(memberOf),
    refusal: sources.refusal(uid),
    history,
    traceparent: last?.traceparent ?? sources.newTraceparent(),
  });
}

/**
 * Agents are deleted for it, so that a pool is gone is not taken from a cache alone. And one whose Agents were to stay
 * (deleted with --cascade=orphan) has let all of them go before it went: a cache that still shows one is behind.
 */
async function isGone(
  uid: string,
  namespace: string,
  name: string,
  member: MemberObject | undefined,
  sources: PoolSources,
): Promise<boolean> {
  if (await sources.isStanding(uid, namespace, name)) return false;
  return member === undefined || !(await sources.isReleased(member));
}

function ownerName(member: MemberObject | undefined, uid: string): string {
  return member?.metadata.ownerReferences?.find((owner) => owner.uid === uid)?.name ?? '';
}

import type { V1Pod } from '@kubernetes/client-node';
import { type Agent, parseAgent } from '../../api/v1alpha1/agent.ts';
import type { StoredObject } from '../../kernel/object.ts';
import { settled } from '../../kernel/outcome.ts';
import { type Observation, observed, unsynced } from '../../kernel/reconcile.ts';
import type { ObservedChild } from '../children.ts';
import { holdsPlace, placeRules } from '../places.ts';
import type { QuotaRoom } from '../quota.ts';
import type { NodeTrouble } from '../runtime.ts';
import { allowedRuntimeClasses, type Membership, type TenancyPorts, tenancyOf } from '../tenancy.ts';
import { attemptPodName } from './attempt.ts';
import type { ClaimObject } from './claims.ts';
import type { AgentObserved } from './facts.ts';
import { type AgentHistory, lastRow } from './history.ts';
import { isDisowned } from './pod.ts';

/** Where an agent's world is looked up: caches of the cluster, the record in Postgres, the state of the broker. */
export type AgentSources = TenancyPorts & {
  /** False while a cache is behind: what is not in it may only be unknown. */
  readonly synced: () => boolean;
  readonly agent: (uid: string) => StoredObject | undefined;
  /** Asks the API server itself whether the object with this UID stands under this name. */
  readonly isStanding: (uid: string, namespace: string, name: string) => Promise<boolean>;
  /** Every cached pod whose controller is this UID. */
  readonly podsOf: (uid: string) => readonly V1Pod[];
  /** Asks the API server itself for the pod of this name, whoever owns it and whatever its labels. */
  readonly podNamed: (namespace: string, name: string) => Promise<V1Pod | undefined>;
  /** The name of the last pod of this UID that the cluster took away, while it is remembered. */
  readonly evictedPod: (uid: string) => string | undefined;
  /** What is wrong with a node; `unknown`: the cache does not have it. */
  readonly nodeTrouble: (name: string) => NodeTrouble | 'unknown' | undefined;
  /** Asks the API server itself whether there is no such node. */
  readonly isNodeGone: (name: string) => Promise<boolean>;
  /** Cached claims made for an Agent of this name, unless another than this one has it by now. */
  readonly claimsOf: (agent: {
    readonly uid: string;
    readonly namespace: string;
    readonly name: string;
  }) => readonly ClaimObject[];
  /** The NetworkPolicy made for this UID. */
  readonly policyOf: (uid: string) => ObservedChild | undefined;
  readonly runtimeClassExists: (name: string) => boolean;
  /** The handler of the runtime class when no node offers it. */
  readonly missingHandler: (runtimeClass: string) => string | undefined;
  /**
   * What the quota of a tenant leaves to this agent; with the places when it asks for one. Undefined when nothing is
   * bounded or the database is away.
   */
  readonly quota: (uid: string, tenancy: Membership, asksForPlace: boolean) => Promise<QuotaRoom | undefined>;
  /** A create of ours whose pod the cache has not shown yet. */
  readonly podOnItsWay: (uid: string) => boolean;
  /** Never throws for a database that is away: that is one of its answers. */
  readonly history: (uid: string) => Promise<AgentHistory>;
  readonly brokerAvailable: () => boolean;
  /** Why published events are not acknowledged; undefined while they are. */
  readonly ackObstacle: () => AgentObserved['ackObstacle'];
  /** How many Agents show no phase yet, in the whole cluster. */
  readonly unshown: () => number;
  readonly newTraceparent: () => string;
  readonly defaultRuntimeClass: string;
};

const withPod: ReadonlySet<string> = new Set(['Scheduled', 'Starting', 'Ready', 'NotReady']);

/** One frozen look at the agent with this UID; settled when neither an object, a record nor a pod is left of it. */
export async function observeAgent(uid: string, sources: AgentSources): Promise<Observation<AgentObserved>> {
  // The record first: the caches are then at least as new as it, and a decision never mixes an old pod with a new row.
  const history = await sources.history(uid);
  if (!sources.synced()) return unsynced;
  const object = sources.agent(uid);
  const cached = sources.podsOf(uid);
  const last = lastRow(history);
  if (object === undefined && cached.length === 0 && (last === undefined || last.to === 'Deleted')) return settled;

  const namespace = object?.metadata.namespace ?? last?.detail.namespace ?? cached[0]?.metadata?.namespace ?? '';
  const name = object?.metadata.name ?? last?.detail.name ?? ownerName(cached[0], uid);
  // Two watches are never quite abreast, and what follows from an Agent or a pod that is not there cannot be taken
  // back: then the API server has to agree with the cache on whether the Agent stands.
  const ended = object === undefined && last?.to !== 'Terminating';
  const isPodMissing = cached.length === 0 && last !== undefined && withPod.has(last.to);
  const standing = object !== undefined;
  const lost = standing && isPodMissing;
  if ((ended || lost) && (await sources.isStanding(uid, namespace, name)) !== standing) return unsynced;
  const own = isPodMissing ? attemptPodName({ uid, name, history }) : undefined;
  const stray = own === undefined ? undefined : await sources.podNamed(namespace, own);
  // It stands as we made it: the cache is behind.
  if (stray !== undefined && !isDisowned(stray, uid) && stray.metadata?.deletionTimestamp === undefined)
    return unsynced;
  const pods = stray === undefined ? cached : [stray];

  const nodes = await nodesInTrouble(pods, sources);
  const policy = sources.policyOf(uid);
  const evictedPod = sources.evictedPod(uid);

  const present = object !== undefined && object.metadata.deletionTimestamp === undefined ? object : undefined;
  const parsed = present === undefined ? undefined : parseAgent(present);
  const agent = parsed?.kind === 'valid' ? parsed.value : (present as Agent | undefined);
  const tenancy = tenancyOf(namespace, sources);
  const runtimeClass =
    agent?.spec?.runtimeClassName ??
    (tenancy.kind === 'member' ? tenancy.defaultRuntimeClass : undefined) ??
    sources.defaultRuntimeClass;
  const rules = tenancy.kind === 'member' ? (tenancy.rules ?? {}) : {};
  const allowed = allowedRuntimeClasses(rules, sources.defaultRuntimeClass);
  const missingHandler = sources.missingHandler(runtimeClass);
  const ackObstacle = sources.ackObstacle();
  const isBounded = agent !== undefined && history.kind === 'known' && tenancy.kind === 'member';
  const quota = isBounded ? await sources.quota(uid, tenancy, !holdsPlace(placeRules.agent, last)) : undefined;
  return observed({
    uid,
    namespace,
    name,
    agent,
    ...(parsed?.kind === 'invalid' ? { invalid: parsed.problems.join('; ') } : {}),
    tenancy,
    runtimeClass: {
      name: runtimeClass,
      exists: sources.runtimeClassExists(runtimeClass),
      ...(tenancy.kind === 'none' || allowed.includes(runtimeClass) ? {} : { allowedInstead: allowed }),
      ...(missingHandler === undefined ? {} : { missingHandler }),
    },
    ...(quota === undefined ? {} : { quota }),
    pods,
    podOnItsWay: sources.podOnItsWay(uid),
    nodes,
    ...(evictedPod === undefined ? {} : { evictedPod }),
    claims: sources.claimsOf({ uid, namespace, name }),
    ...(policy === undefined ? {} : { policy }),
    history,
    brokerAvailable: sources.brokerAvailable(),
    ...(ackObstacle === undefined ? {} : { ackObstacle }),
    unshown: sources.unshown(),
    traceparent: last?.traceparent ?? sources.newTraceparent(),
  });
}

/** A node that a pod is on and the cache does not have is gone, or so new that its watch has not told of it. */
async function nodesInTrouble(pods: readonly V1Pod[], sources: AgentSources): Promise<AgentObserved['nodes']> {
  const names = new Set(pods.map((pod) => pod.spec?.nodeName).filter((name) => name !== undefined));
  const found: Record<string, NodeTrouble> = {};
  for (const name of names) {
    const trouble = sources.nodeTrouble(name);
    if (trouble !== undefined && trouble !== 'unknown') found[name] = trouble;
    if (trouble === 'unknown' && (await sources.isNodeGone(name))) found[name] = 'Lost';
  }
  return found;
}

function ownerName(pod: V1Pod | undefined, uid: string): string {
  return pod?.metadata?.ownerReferences?.find((owner) => owner.uid === uid)?.name ?? '';
}

import type { Agent, AgentStatus } from '../../api/v1alpha1/agent.ts';
import type { Action } from '../../kernel/action.ts';
import type { Decision } from '../../kernel/decision.ts';
import { type Outcome, requeue, requeueAt, settled, soonest } from '../../kernel/outcome.ts';
import { networkPolicyResource, podResource } from '../builtin.ts';
import { agentResource } from '../own.ts';
import { type Attempt, attemptOf, attemptsResetAt } from './attempt.ts';
import { type Blocker, blockerOf } from './blockers.ts';
import { createClaims, deleteClaims, emptyClaims, surplusClaims } from './claims.ts';
import { type AgentTransition, agentTransitions } from './events.ts';
import {
  type AgentFacts,
  type AgentObserved,
  agentFacts,
  crashLoopProbationMs,
  isPodReady,
  isProbation,
  nodeTrouble,
  podCondition,
  timeOf,
} from './facts.ts';
import { isOut, lastRow } from './history.ts';
import { deletionDue, sessionEnd } from './lifecycle.ts';
import { startsAttempt, type TransitionRule, walk } from './machine.ts';
import { agentNetworkPolicy, hasOwnRules, isPolicyInOrder, tooWide } from './networkpolicy.ts';
import { agentPod, isDisowned } from './pod.ts';
import { quotaBlocker } from './quota.ts';
import { agentStatus, stalledFrom } from './status.ts';
import { statusEvents, statusWrite } from './status-write.ts';

export type AgentDecision = Decision<AgentTransition, AgentStatus>;

/** While the database is away nothing is recorded and nothing is created; its return wakes every agent sooner. */
const databaseRecheckMs = 5_000;
/** A pod we created shows up in the cache within milliseconds; this is the net below it. */
const podRecheckMs = 2_000;
/** No watch tells of a pod that somebody took from its agent. */
const disownedRecheckMs = 500;
/** The publisher says when an event is out; this is the net below it, for one that runs in another process. */
const publishRecheckMs = 30_000;
/** A blocker is rechecked when what it names changes; this is the net below it. */
const blockerRecheckMs = 30_000;

/**
 * What to do about one agent, from what was observed. Pure and total. A pass that has facts to record does
 * only that, and the next one, which follows at once, acts on the record: so nothing is ever done about
 * a fact that was not persisted first, and a status never shows what the database does not hold.
 */
export function decide(observed: AgentObserved, now: number): AgentDecision {
  if (observed.history.kind === 'unavailable') return withoutDatabase(observed, now);
  const { blocker, facts, rules } = judge(observed, now);
  if (rules.length > 0) {
    const taken = rules.map((rule) => ({
      rule,
      reason: typeof rule.reason === 'function' ? rule.reason(facts) : rule.reason,
    }));
    const isOver = rules.at(-1)?.to === 'Deleted';
    return { transitions: agentTransitions(taken, observed, now), plan: [], outcome: isOver ? settled : requeue(0) };
  }
  return act(observed, observed.agent, blocker, facts, now);
}

type Judgement = {
  readonly blocker: Blocker | undefined;
  readonly facts: AgentFacts;
  readonly rules: readonly TransitionRule[];
};

/** What stands in the way, and where the machine goes. Whether the quota does depends on where that would be. */
function judge(observed: AgentObserved, now: number): Judgement {
  const under = (blocker: Blocker | undefined): Judgement => {
    const facts = agentFacts(observed, blocker === undefined, now);
    return { blocker, facts, rules: walk(lastRow(observed.history)?.to ?? 'New', facts) };
  };
  const judgement = under(blockerOf(observed));
  if (judgement.blocker !== undefined) return judgement;
  const short = quotaBlocker(observed, judgement.rules);
  return short === undefined ? judgement : under(short);
}

function act(
  observed: AgentObserved,
  agent: Agent | undefined,
  blocker: Blocker | undefined,
  facts: AgentFacts,
  now: number,
): AgentDecision {
  const attempt = attemptOf(observed, now);
  const plan = [
    ...policyPlan(observed),
    ...podPlan(observed, attempt, blocker, now),
    ...claimDeletions(observed),
    ...ownDeletion(observed, now),
  ];
  if (agent === undefined) {
    return { transitions: [], plan, outcome: observed.podOnItsWay ? requeue(podRecheckMs) : settled };
  }
  const next = agentStatus(observed, agent, blocker, facts, now);
  const write = statusWrite(agent.status, next, lastRow(observed.history), now, observed.unshown);
  const shown = write.kind === 'now';
  return {
    transitions: [],
    plan: shown ? [...plan, ...statusEvents(agent, next)] : plan,
    ...(shown ? { status: next } : {}),
    outcome: soonest(
      write.kind === 'later' ? requeueAt(write.at, now) : settled,
      ...deadlines(observed, attempt, blocker, now),
    ),
  };
}

/** Deletes every pod that is not this attempt's own or no longer says so, and creates that one when its time has come. */
function podPlan(
  observed: AgentObserved,
  attempt: Attempt,
  blocker: Blocker | undefined,
  now: number,
): readonly Action[] {
  const keep = keepsPod(observed) ? attempt.podName : undefined;
  const surplus = observed.pods.filter((pod) => pod.metadata?.name !== keep || isDisowned(pod, observed.uid));
  const deletions = deletePods(surplus, observed.nodes);
  if (observed.pods.length > 0 || observed.podOnItsWay || blocker !== undefined || now < attempt.notBefore)
    return deletions;
  return [...deletions, ...createPod(observed, attempt)];
}

/** A finished program's pod stays for its logs; whoever failed, is suspended or is over has none. */
function keepsPod({ agent, history }: AgentObserved): boolean {
  const last = lastRow(history);
  if (agent === undefined || last === undefined) return false;
  if (last.to === 'Completed') return last.reason === 'Completed';
  return last.to !== 'Failed' && last.to !== 'Suspending' && last.to !== 'Suspended';
}

function createPod(observed: AgentObserved, attempt: Attempt): readonly Action[] {
  const phase = lastRow(observed.history)?.to;
  const { agent, tenancy, runtimeClass, traceparent } = observed;
  if (agent === undefined || phase === undefined || !startsAttempt(phase)) return [];
  if (attempt.start === undefined || tenancy.kind === 'none') return [];
  const pod = agentPod({
    agent,
    tenant: tenancy.tenant,
    ...(tenancy.rules === undefined ? {} : { placement: tenancy.rules }),
    runtimeClassName: runtimeClass.name,
    startSeq: attempt.start.seq,
    traceparent,
  });
  const claims = createClaims(agent, tenancy.tenant, observed.claims);
  return [...claims, { kind: 'create', resource: podResource, object: pod }];
}

/**
 * Makes the Agent's NetworkPolicy what the spec says, before any pod is: none when it has no rules of its own, or
 * reaches further than its Tenant allows. Nobody's namespace and a spec that cannot be read change nothing.
 */
function policyPlan({ agent, history, invalid, policy, tenancy }: AgentObserved): readonly Action[] {
  const isBegun = history.kind === 'unavailable' ? agent?.status?.podRef !== undefined : history.last !== undefined;
  if (agent === undefined || invalid !== undefined || tenancy.kind === 'none' || !isBegun) return [];
  const network = tenancy.rules?.network;
  if (!hasOwnRules(agent.spec) || tooWide(agent.spec, network, agent.metadata.namespace).length > 0) {
    if (policy === undefined || policy.object.metadata.deletionTimestamp !== undefined) return [];
    const { name, namespace = '', uid } = policy.object.metadata;
    return [{ kind: 'delete', ref: { resource: networkPolicyResource, namespace, name }, uid }];
  }
  const wanted = agentNetworkPolicy(agent, tenancy.tenant, network);
  if (policy !== undefined && isPolicyInOrder(wanted, policy)) return [];
  return [{ kind: 'apply', resource: networkPolicyResource, object: wanted }];
}

/** What no longer holds anything for anybody, once the pods are gone. */
function claimDeletions(observed: AgentObserved): readonly Action[] {
  const { agent, claims, history } = observed;
  if (observed.pods.length > 0 || observed.podOnItsWay) return [];
  if (agent === undefined) return deleteClaims(emptyClaims(observed, claims));
  return lastRow(history)?.to === 'Suspended' ? deleteClaims(surplusClaims(agent, claims)) : [];
}

/** The Agent goes by its own lifecycle: everything else follows from its being gone. */
function ownDeletion(observed: AgentObserved, now: number): readonly Action[] {
  const { agent, uid } = observed;
  const due = deletionDue(observed);
  if (agent === undefined || due === undefined || now < due) return [];
  const { name, namespace } = agent.metadata;
  return [{ kind: 'delete', ref: { resource: agentResource, name, namespace }, uid }];
}

/**
 * Deletes these pods, but for those that are on their way out already. Of one whose node is lost nobody is left to
 * say that it has ended: it goes at once. Never while the node may only be cut off, for then it may run on.
 */
function deletePods(pods: AgentObserved['pods'], nodes: AgentObserved['nodes']): readonly Action[] {
  return pods.flatMap((pod): readonly Action[] => {
    const { deletionTimestamp, namespace = '', name = '', uid = '' } = pod.metadata ?? {};
    const ref = { resource: podResource, namespace, name };
    if (nodeTrouble(nodes, pod) === 'Lost') return [{ kind: 'delete', ref, uid, gracePeriodSeconds: 0 }];
    return deletionTimestamp === undefined ? [{ kind: 'delete', ref, uid }] : [];
  });
}

/** Every point in time at which this agent has to be looked at though nothing changes. */
function deadlines(
  observed: AgentObserved,
  attempt: Attempt,
  blocker: Blocker | undefined,
  now: number,
): readonly Outcome[] {
  const last = lastRow(observed.history);
  const phase = last?.to;
  const isStartDue = phase !== undefined && startsAttempt(phase) && blocker === undefined && now >= attempt.notBefore;
  const awaitsPod = observed.podOnItsWay || (isStartDue && observed.pods.length === 0);
  const starting = phase !== undefined && (startsAttempt(phase) || phase === 'Scheduled' || phase === 'Starting');
  const onProbation = starting && isProbation(attempt.reason) && isPodReady(attempt.pod);
  const readySince = timeOf(podCondition(attempt.pod, 'Ready')?.lastTransitionTime);
  return [
    upcoming(starting ? attempt.notBefore : undefined, now),
    upcoming(starting ? attempt.deadline : undefined, now),
    upcoming(onProbation && readySince !== undefined ? readySince + crashLoopProbationMs : undefined, now),
    upcoming(attempt.retryFailedAt, now),
    upcoming(attemptsResetAt(observed), now),
    upcoming(phase === 'Completed' ? undefined : sessionEnd(observed), now),
    upcoming(deletionDue(observed), now),
    observed.pods.some((pod) => isDisowned(pod, observed.uid)) ? requeue(disownedRecheckMs) : settled,
    awaitsPod ? requeue(podRecheckMs) : settled,
    last !== undefined && !isOut(last) ? requeue(publishRecheckMs) : settled,
    blocker === undefined || blocker.onlyByUser ? settled : requeue(blockerRecheckMs),
    upcoming(stalledFrom(observed.agent, blocker, now), now),
  ];
}

function upcoming(at: number | undefined, now: number): Outcome {
  return at !== undefined && at > now ? requeueAt(at, now) : settled;
}

/**
 * Persist before schedule: without the database no pod is made and none is touched, but those of a deleted agent go,
 * and what keeps a running one closed is put back.
 */
function withoutDatabase(observed: AgentObserved, now: number): AgentDecision {
  const outcome = requeue(databaseRecheckMs);
  if (observed.agent === undefined)
    return { transitions: [], plan: deletePods(observed.pods, observed.nodes), outcome };
  const blocker = blockerOf(observed);
  const next = agentStatus(observed, observed.agent, blocker, agentFacts(observed, false, now), now);
  const write = statusWrite(observed.agent.status, next, undefined, now);
  return {
    transitions: [],
    plan: policyPlan(observed),
    ...(write.kind === 'now' ? { status: next } : {}),
    outcome,
  };
}

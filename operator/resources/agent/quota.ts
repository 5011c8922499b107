import type { V1Container, V1PodSpec } from '@kubernetes/client-node';
import type { Agent } from '../../api/v1alpha1/agent.ts';
import type { Plain } from '../../api/v1alpha1/common.ts';
import { holdsPlace, placeRules } from '../places.ts';
import { quantityOf, quantityText } from '../quantity.ts';
import { type Amount, isTaken } from '../quota.ts';
import type { TenantRules } from '../tenancy.ts';
import type { Blocker } from './blockers.ts';
import type { AgentObserved } from './facts.ts';
import { lastRow } from './history.ts';
import { startsAttempt, type TransitionRule } from './machine.ts';

type Container = Plain<V1Container>;
type PodSpec = Plain<V1PodSpec>;
type Amounts = Readonly<Record<string, number>>;

/**
 * What of its tenant's quota keeps an agent from where its machine would go now (`rules`), or undefined. Others cure it
 * by ending or by asking for less, so it is never stalled by it.
 */
export function quotaBlocker(observed: AgentObserved, rules: readonly TransitionRule[]): Blocker | undefined {
  const { agent, quota, pods, podOnItsWay, history, tenancy } = observed;
  if (agent === undefined || quota === undefined) return undefined;
  const last = lastRow(history);
  const next = rules.at(-1)?.to ?? last?.to;
  const takes = next !== undefined && !holdsPlace(placeRules.agent, last) && holdsPlace(placeRules.agent, { to: next });
  if (takes && quota.places !== undefined && isTaken(quota.places)) return withoutPlace(quota.places.limit);
  // While an old pod stands its share is not free yet, and it is its successor's.
  const makesPod = next !== undefined && startsAttempt(next) && pods.length === 0 && !podOnItsWay;
  return makesPod ? withoutAmount(agent, quota.amounts, rulesOf(tenancy)) : undefined;
}

function withoutPlace(limit: number): Blocker {
  if (limit === 0) {
    const message = 'The Tenant may have no Agents at all (quota.agents is 0). Ask for a higher quota.';
    return { reason: 'QuotaExceeded', message, condition: 'QuotaReserved', onlyByUser: false, patient: true };
  }
  const message = `All ${limit} places of the Tenant's quota for Agents are taken. It starts when one is free and nobody who waits for longer needs it; suspend or delete others, or ask for a higher quota.`;
  return { reason: 'WaitingForQuota', message, condition: 'QuotaReserved', onlyByUser: false, patient: true };
}

/** Looked at beforehand: the API server answers a pod that does not fit as it answers any that is forbidden. */
function withoutAmount(agent: Agent, amounts: readonly Amount[], rules: TenantRules): Blocker | undefined {
  const needs = podNeeds(agent, rules);
  for (const { name, hard, used } of amounts) {
    const need = needs[name] ?? 0;
    if (need === 0) continue;
    const asks = `The pod asks for ${quantityText(need)} ${name}`;
    if (need > hard) {
      const message = `${asks}, and the Tenant's quota is ${quantityText(hard)} in all. Ask for less, or for a higher quota.`;
      return { reason: 'QuotaExceeded', message, onlyByUser: false, patient: true };
    }
    if (used + need > hard * (1 + 1e-9)) {
      const message = `${asks}, which is more than is left of the Tenant's quota of ${quantityText(hard)}. It starts when others have let go of enough.`;
      return { reason: 'WaitingForQuota', message, onlyByUser: false, patient: true };
    }
  }
  return undefined;
}

function rulesOf(tenancy: AgentObserved['tenancy']): TenantRules {
  return tenancy.kind === 'member' ? (tenancy.rules ?? {}) : {};
}

/**
 * What a pod of this agent counts for in a ResourceQuota, under each name it may have there. As far as it can be known:
 * the overhead of a runtime class comes on top, and what is missing here the API server still refuses.
 */
export function podNeeds({ spec }: Agent, { limitRange }: Pick<TenantRules, 'limitRange'>): Amounts {
  const pod: PodSpec = spec.template?.spec ?? {
    containers: [{ name: 'agent', ...(spec.resources === undefined ? {} : { resources: spec.resources }) }],
  };
  const defaults = limitRange?.limits.find(({ type }) => type === 'Container');
  const of = (kind: 'requests' | 'limits') => podTotal(pod, (container) => amountsOf(container, kind, defaults));
  const requests = of('requests');
  return {
    pods: 1,
    'count/pods': 1,
    ...requests,
    ...prefixed('requests', requests),
    ...prefixed('limits', of('limits')),
  };
}

type Defaults = { readonly default?: ResourceList; readonly defaultRequest?: ResourceList } | undefined;
type ResourceList = Readonly<Record<string, string | number>>;

/** As the API server fills them in: a request that is missing is the limit. */
function amountsOf({ resources }: Container, kind: 'requests' | 'limits', defaults: Defaults): Amounts {
  const limits = { ...defaults?.default, ...resources?.limits };
  const list: ResourceList =
    kind === 'limits'
      ? limits
      : { ...limits, ...defaults?.defaultRequest, ...resources?.limits, ...resources?.requests };
  return Object.fromEntries(Object.entries(list).map(([name, amount]) => [name, quantityOf(amount)]));
}

/** All that run at once, or the greatest of those that run before them, whichever is more. */
function podTotal(pod: PodSpec, of: (container: Container) => Amounts): Amounts {
  const inits = pod.initContainers ?? [];
  const sidecars = inits.filter(({ restartPolicy }) => restartPolicy === 'Always');
  const together = [...pod.containers, ...sidecars].map(of).reduce((a, b) => merged(a, b, (x, y) => x + y), {});
  const before = inits.filter((each) => !sidecars.includes(each)).map(of);
  return before.reduce((a, b) => merged(a, b, Math.max), together);
}

function merged(a: Amounts, b: Amounts, by: (x: number, y: number) => number): Amounts {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return Object.fromEntries(names.map((name) => [name, by(a[name] ?? 0, b[name] ?? 0)]));
}

function prefixed(prefix: string, amounts: Amounts): Amounts {
  return Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [`${prefix}.${name}`, amount]));
}

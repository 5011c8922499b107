import type { Agent } from '../../api/v1alpha1/agent.ts';
import type { AgentReason, ConditionType } from '../../api/v1alpha1/reasons.ts';
import { isFromRegistry, isPriorityAllowed, type TenantRules } from '../tenancy.ts';
import { leavingClaim } from './claims.ts';
import type { AgentObserved } from './facts.ts';
import { tooWide } from './networkpolicy.ts';

/** Something outside the machine that keeps an agent from (re)starting. Running pods are left alone. */
export type Blocker = {
  readonly reason: AgentReason;
  readonly message: string;
  /** The condition that tells of it beside Ready. */
  readonly condition?: ConditionType;
  /** Only its author can cure it; anything else may be cured by another object and gets a minute first. */
  readonly onlyByUser: boolean;
  /** Nothing is wrong, it is not its turn: never Stalled. */
  readonly patient?: boolean;
};

/** Ordered: the first that applies is the one shown. */
const checks: readonly ((observed: AgentObserved) => Blocker | undefined)[] = [
  invalidSpec,
  noTenant,
  onHold,
  runtimeClassNotAllowed,
  priorityNotAllowed,
  registryNotAllowed,
  trafficNotAllowed,
  noRuntimeClass,
  noRuntimeHandler,
  claimTerminating,
];

/** What keeps this agent from starting, or undefined when nothing does. */
export function blockerOf(observed: AgentObserved): Blocker | undefined {
  for (const check of checks) {
    const blocker = check(observed);
    if (blocker !== undefined) return blocker;
  }
  return undefined;
}

function invalidSpec({ invalid }: AgentObserved): Blocker | undefined {
  if (invalid === undefined) return undefined;
  return { reason: 'InvalidSpec', message: `The spec cannot be used: ${invalid}`, onlyByUser: true };
}

function noTenant({ tenancy, namespace }: AgentObserved): Blocker | undefined {
  if (tenancy.kind === 'member') return undefined;
  const message = `No Tenant has the namespace ${namespace}. Ask your platform team to add it to a Tenant's spec.namespaces.`;
  return { reason: 'TenantNotFound', message, condition: 'TenantReady', onlyByUser: false };
}

/** Without a condition: a wish of somebody's is nothing to be stalled by. */
function onHold({ tenancy }: AgentObserved): Blocker | undefined {
  const { suspend = 'None', suspendReason } = rulesOf(tenancy);
  if (suspend === 'None') return undefined;
  const message = `The Tenant is on hold and starts no pods${suspendReason === undefined ? '' : `: ${suspendReason}`}.`;
  return { reason: 'TenantSuspended', message, onlyByUser: false };
}

function runtimeClassNotAllowed({ runtimeClass: { name, allowedInstead } }: AgentObserved): Blocker | undefined {
  return allowedInstead === undefined ? undefined : notAllowed('runtime class', name, allowedInstead, 'IsolationReady');
}

function priorityNotAllowed({ agent, tenancy }: AgentObserved): Blocker | undefined {
  const name = agent?.spec?.priorityClassName ?? agent?.spec?.template?.spec?.priorityClassName;
  const allowed = rulesOf(tenancy).priorityClasses?.allowed;
  if (name === undefined || name === '' || isPriorityAllowed(name, allowed)) return undefined;
  return notAllowed('priority class', name, allowed ?? ['any that does not start with system-'], 'TenantReady');
}

function registryNotAllowed({ agent, tenancy }: AgentObserved): Blocker | undefined {
  const allowed = rulesOf(tenancy).allowedRegistries;
  if (allowed === undefined || agent === undefined) return undefined;
  const image = imagesOf(agent.spec).find((each) => !isFromRegistry(each, allowed));
  return image === undefined ? undefined : notAllowed('image', image, allowed, 'TenantReady');
}

function trafficNotAllowed({ agent, namespace, tenancy }: AgentObserved): Blocker | undefined {
  const rules = agent === undefined ? [] : tooWide(agent.spec, rulesOf(tenancy).network, namespace);
  if (rules.length === 0) return undefined;
  const paths = rules.map((path) => `spec.${path}`).join(', ');
  const message = `The Tenant does not allow all the traffic of ${paths}, so none of the Agent's passes, not even to DNS. Name less, or ask your platform team for more in the Tenant's spec.network.`;
  return { reason: 'NotAllowed', message, condition: 'TenantReady', onlyByUser: false };
}

function imagesOf({ image, volumes, template }: Agent['spec']): readonly string[] {
  const pod = template?.spec;
  const containers = [...(pod?.containers ?? []), ...(pod?.initContainers ?? [])];
  const mounted = [...(volumes ?? []), ...(pod?.volumes ?? [])].map((volume) => volume.image?.reference);
  return [image, ...containers.map((container) => container.image), ...mounted].filter((each) => each !== undefined);
}

function rulesOf(tenancy: AgentObserved['tenancy']): TenantRules {
  return tenancy.kind === 'member' ? (tenancy.rules ?? {}) : {};
}

function notAllowed(what: string, name: string, allowed: readonly string[], condition: ConditionType): Blocker {
  const instead = allowed.length === 0 ? 'none' : allowed.join(', ');
  const message = `The Tenant does not allow the ${what} "${name}". It allows ${instead}. Use what is allowed, or ask your platform team for more.`;
  return { reason: 'NotAllowed', message, condition, onlyByUser: false };
}

function noRuntimeClass({ runtimeClass }: AgentObserved): Blocker | undefined {
  if (runtimeClass.exists) return undefined;
  const message = `The cluster has no RuntimeClass "${runtimeClass.name}". Create it, or name another in spec.runtimeClassName; OpenOS never falls back to a weaker sandbox.`;
  return { reason: 'RuntimeClassNotFound', message, condition: 'IsolationReady', onlyByUser: false };
}

/** A pod that still uses the claim is what keeps it: only the next one has to wait. */
function claimTerminating({ agent, claims, pods }: AgentObserved): Blocker | undefined {
  const name = agent === undefined || pods.length > 0 ? undefined : leavingClaim(agent, claims);
  if (name === undefined) return undefined;
  const message = `The claim ${name} is being deleted; the Agent starts when it has gone and was made anew.`;
  return { reason: 'ClaimTerminating', message, condition: 'PodScheduled', onlyByUser: false };
}

function noRuntimeHandler({ runtimeClass: { name, missingHandler } }: AgentObserved): Blocker | undefined {
  if (missingHandler === undefined) return undefined;
  const message = `No node offers the handler "${missingHandler}" of RuntimeClass "${name}". Install that runtime on a node, or name another class in spec.runtimeClassName.`;
  return { reason: 'RuntimeHandlerMissing', message, condition: 'IsolationReady', onlyByUser: false };
}

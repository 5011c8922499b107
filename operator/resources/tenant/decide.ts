import { finalizers } from '../../api/v1alpha1/names.ts';
import type { Tenant, TenantStatus } from '../../api/v1alpha1/tenant.ts';
import type { Action } from '../../kernel/action.ts';
import { findCondition, sameStatus } from '../../kernel/conditions.ts';
import type { Decision } from '../../kernel/decision.ts';
import { addFinalizer, isDeleting, removeFinalizer } from '../../kernel/finalizer.ts';
import type { ObjectRef, StoredObject } from '../../kernel/object.ts';
import { requeue, settled, soonest } from '../../kernel/outcome.ts';
import { tenantResource } from '../own.ts';
import { convergeChildren, revokeAccess } from './children.ts';
import { type TenantRecord, tenantRecords } from './events.ts';
import type { TenantHistory } from './history.ts';
import {
  createNamespace,
  deleteNamespace,
  type HeldNamespace,
  isMadeFor,
  judge,
  labelNamespace,
  type ObservedNamespace,
  releaseNamespace,
  type Verdict,
} from './namespace.ts';
import { networkPolicyNames } from './networkpolicy.ts';
import { isUncounted, remakeUncounted } from './quota.ts';
import { type Problem, type Setup, statusEvents, tenantStatus } from './status.ts';

export type TenantObserved = {
  readonly name: string;
  readonly tenant: Tenant | undefined;
  /** Why the spec cannot be acted on, in words for its author. */
  readonly invalid?: string;
  /** Every namespace the spec names. */
  readonly namespaces: readonly ObservedNamespace[];
  /** Namespaces the status holds, the spec no longer names, and that still exist (the same ones, by UID). */
  readonly released: readonly HeldNamespace[];
  /** The operator's RuntimeClass, for Tenants that name none. */
  readonly defaultRuntimeClass: string;
  /** How long it waits, when it is deleted, for its agents to go before it goes itself. */
  readonly protectionMs: number;
  readonly agents: {
    readonly total: number;
    readonly ready: number;
    readonly failed: number;
    readonly suspended: number;
  };
  readonly pools: number;
  /** How many say that they wait for the quota. */
  readonly waiting: { readonly agents: number; readonly pools: number };
  readonly history: TenantHistory;
  /** W3C traceparent of its life: the recorded one, or a new one for its first pass. */
  readonly traceparent: string;
};

export type TenantDecision = Decision<TenantRecord, TenantStatus>;

const recheckMs = 30_000;
const deletionRecheckMs = 2_000;

/**
 * What to do about one Tenant. Pure and total. What this look proves is recorded first, in a pass of its own. While the
 * database is away the Tenant is looked after all the same: what is found then is told when it is back.
 */
export function decide(observed: TenantObserved, now: number): TenantDecision {
  const { tenant } = observed;
  const records = tenantRecords(observed, now);
  if (records.length > 0) return { transitions: records, plan: [], outcome: requeue(0) };
  if (tenant === undefined) return { transitions: [], plan: [], outcome: settled };
  if (tenant.metadata.deletionTimestamp !== undefined) return terminate(observed, tenant, now);
  const invalid = specProblem(observed);
  if (invalid !== undefined) return finish(observed, tenant, [], [], invalid, now);
  // Alone in its pass: the patch moves the resourceVersion on, and a status carrying the observed one would conflict.
  const guard = addFinalizer(refOf(tenant), stored(tenant), finalizers.tenantProtection);
  if (guard.length > 0) return { transitions: [], plan: guard, outcome: settled };
  const setups = observed.namespaces.map((namespace) => setUp(tenant, namespace, observed.defaultRuntimeClass));
  const plan = [...isolatingFirst(setups.flatMap(({ todo }) => todo)), ...observed.released.flatMap(letGo)];
  if (isShownReady(tenant) && isProof(plan, observed)) return { transitions: [], plan, outcome: requeue(0) };
  const ready = setups.filter(({ verdict, todo }) => verdict.kind === 'ours' && todo.length === 0);
  const counted = observed.namespaces.filter(({ name }) => ready.some((each) => each.name === name));
  const remade = remakeUncounted(
    counted.flatMap(({ children }) => children),
    now,
  );
  const problem = namespaceProblem(setups) ?? countingProblem(observed);
  const decision = finish(observed, tenant, [...plan, ...remade.plan], setups, problem, now);
  return { ...decision, outcome: soonest(decision.outcome, remade.outcome) };
}

/**
 * The decision after the API server refused, for good, what the spec asks for in a namespace. `what` names it and
 * says why, for the author of the spec.
 */
export function decideRefused(observed: TenantObserved, what: string, now: number): TenantDecision | undefined {
  const { tenant } = observed;
  if (tenant === undefined || tenant.metadata.deletionTimestamp !== undefined) return undefined;
  const setups = observed.namespaces.map((namespace) => setUp(tenant, namespace, observed.defaultRuntimeClass));
  return finish(observed, tenant, [], setups, { reason: 'InvalidSpec', message: what, patienceMs: 0 }, now);
}

function setUp(tenant: Tenant, namespace: ObservedNamespace, defaultRuntimeClass: string): Setup {
  const { name } = namespace;
  const verdict = judge(tenant, namespace, defaultRuntimeClass);
  return { name, verdict, todo: converge(tenant, name, verdict, namespace, defaultRuntimeClass) };
}

function converge(
  tenant: Tenant,
  name: string,
  verdict: Verdict,
  { children }: ObservedNamespace,
  defaultRuntimeClass: string,
): readonly Action[] {
  if (verdict.kind === 'missing') return [createNamespace(tenant, name)];
  if (verdict.kind === 'refused') return [];
  const labelling = verdict.labelled ? [] : [labelNamespace(tenant, verdict.object, defaultRuntimeClass)];
  return [...labelling, ...convergeChildren(tenant, name, children)];
}

/** Whether nothing is done but to apply what stands there already, to learn what the server makes of it: a new leader's. */
function isProof(plan: readonly Action[], { namespaces }: TenantObserved): boolean {
  const unproven = namespaces.flatMap(({ children }) => children).filter(({ isUnproven }) => isUnproven);
  const isUnproven = (action: Action) => {
    if (action.kind !== 'apply') return false;
    const { name, namespace } = action.object.metadata;
    return unproven.some(
      ({ resource, object: { metadata } }) =>
        resource === action.resource && metadata.name === name && metadata.namespace === namespace,
    );
  };
  return plan.length > 0 && plan.every(isUnproven);
}

function isShownReady({ metadata: { generation }, status }: Tenant): boolean {
  const ready = findCondition(status?.conditions ?? [], 'Ready');
  return ready?.status === 'True' && status?.observedGeneration === generation;
}

/** The first action that fails ends a plan: what closes every namespace comes before what the server may refuse. */
function isolatingFirst(plan: readonly Action[]): readonly Action[] {
  const rank = (action: Action) => {
    if (action.kind === 'create') return 0;
    if (action.kind !== 'apply') return 3;
    const { kind, metadata } = action.object;
    return kind === 'Namespace' || metadata.name === networkPolicyNames.deny ? 1 : 2;
  };
  return plan.toSorted((a, b) => rank(a) - rank(b));
}

/** A namespace that is the Tenant's no longer: what it holds stays, and stays closed; the access the Tenant gave ends. */
function letGo({ object, children }: HeldNamespace): readonly Action[] {
  return [...revokeAccess(children), releaseNamespace(object)];
}

function specProblem({ invalid }: TenantObserved): Problem | undefined {
  if (invalid === undefined) return undefined;
  return { reason: 'InvalidSpec', message: `The spec cannot be used: ${invalid}`, patienceMs: 0 };
}

function namespaceProblem(setups: readonly Setup[]): Problem | undefined {
  const refused = setups.map(({ verdict }) => verdict).find((verdict) => verdict.kind === 'refused');
  if (refused !== undefined) {
    const { reason, message } = refused;
    return { reason, message, patienceMs: reason === 'NamespaceTerminating' ? Number.POSITIVE_INFINITY : 60_000 };
  }
  const waiting = setups.filter(({ todo }) => todo.length > 0);
  if (waiting.length === 0) return undefined;
  const message = `Setting up ${waiting.map(({ name }) => name).join(', ')}.`;
  return { reason: 'NamespacesNotReady', message, patienceMs: Number.POSITIVE_INFINITY };
}

/** Everything stands, and yet nobody can make an Agent there. */
function countingProblem({ namespaces }: TenantObserved): Problem | undefined {
  const uncounted = namespaces.filter(({ children }) => children.some(isUncounted)).map(({ name }) => name);
  if (uncounted.length === 0) return undefined;
  const message = `The API server does not count Agents and AgentPools in ${uncounted.join(', ')} yet and refuses them there ("status unknown for quota").`;
  return { reason: 'NamespacesNotReady', message, patienceMs: Number.POSITIVE_INFINITY };
}

function finish(
  observed: TenantObserved,
  tenant: Tenant,
  plan: readonly Action[],
  setups: readonly Setup[],
  problem: Problem | undefined,
  now: number,
): TenantDecision {
  const next = tenantStatus(observed, tenant, setups, problem, now);
  const outcome = problem === undefined ? settled : requeue(recheckMs);
  const changed = tenant.status === undefined || !sameStatus(tenant.status, next);
  const events = changed ? statusEvents(tenant, next) : [];
  return { transitions: [], plan: [...plan, ...events], ...(changed ? { status: next } : {}), outcome };
}

/** Its agents are protected for a bounded time; then the namespaces are let go, or go with it, and the Tenant leaves. */
function terminate(observed: TenantObserved, tenant: Tenant, now: number): TenantDecision {
  const { protectionMs } = observed;
  const since = new Date(tenant.metadata.deletionTimestamp ?? now).getTime();
  const inTime = now - since < protectionMs;
  const held = heldNamespaces(observed, tenant);
  const doomed = tenant.spec?.deletionPolicy === 'Delete' ? held.filter(({ object }) => isMadeFor(tenant, object)) : [];
  const waitingFor = doomed.length > 0 ? `${doomed.length} namespaces` : `${observed.agents.total} agents`;
  if (inTime && (doomed.length > 0 || observed.agents.total > 0)) {
    const message = `Waiting up to ${protectionMs / 1000} s for ${waitingFor} to be deleted.`;
    const setups = observed.namespaces.map((each) => setUp(tenant, each, observed.defaultRuntimeClass));
    const problem: Problem = { reason: 'Terminating', message, patienceMs: Number.POSITIVE_INFINITY };
    const plan = doomed.filter(({ object }) => !isDeleting(object)).map(({ object }) => deleteNamespace(object));
    return { ...finish(observed, tenant, plan, setups, problem, now), outcome: requeue(deletionRecheckMs) };
  }
  const plan = [
    ...[...held, ...observed.released].filter(({ object }) => !isDeleting(object)).flatMap(letGo),
    ...removeFinalizer(refOf(tenant), stored(tenant), finalizers.tenantProtection),
  ];
  return { transitions: [], plan, outcome: settled };
}

/** The namespaces that the status lists and that still are the same ones. */
function heldNamespaces({ namespaces }: TenantObserved, tenant: Tenant): readonly HeldNamespace[] {
  const held = new Set(tenant.status?.namespaces?.map(({ uid }) => uid));
  return namespaces.flatMap(({ object, children }) =>
    object !== undefined && held.has(object.metadata.uid) ? [{ object, children }] : [],
  );
}

function refOf(tenant: Tenant): ObjectRef {
  return { resource: tenantResource, name: tenant.metadata.name };
}

function stored(tenant: Tenant): StoredObject {
  return tenant as StoredObject;
}

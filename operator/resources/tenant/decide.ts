import { finalizers } from '../../api/v1alpha1/names.ts';
import type { Tenant, TenantStatus } from '../../api/v1alpha1/tenant.ts';
import { unsupportedTenantFields } from '../../api/v1alpha1/unsupported.ts';
import type { Action } from '../../kernel/action.ts';
import { sameStatus } from '../../kernel/conditions.ts';
import type { Decision } from '../../kernel/decision.ts';
import { addFinalizer, removeFinalizer } from '../../kernel/finalizer.ts';
import type { ObjectRef, StoredObject } from '../../kernel/object.ts';
import { type Outcome, requeue, settled } from '../../kernel/outcome.ts';
import { tenantResource } from '../own.ts';
import {
  createNamespace,
  judge,
  labelNamespace,
  type NamespaceObject,
  type ObservedNamespace,
  releaseNamespace,
  type Verdict,
} from './namespace.ts';
import { type Problem, tenantStatus } from './status.ts';

export type TenantObserved = {
  readonly name: string;
  readonly tenant: Tenant | undefined;
  /** Why the spec cannot be acted on, in words for its author. */
  readonly invalid?: string;
  /** Every namespace the spec names. */
  readonly namespaces: readonly ObservedNamespace[];
  /** Namespaces the status holds, the spec no longer names, and that still exist (the same ones, by UID). */
  readonly released: readonly NamespaceObject[];
  readonly agents: {
    readonly total: number;
    readonly ready: number;
    readonly failed: number;
    readonly suspended: number;
  };
};

/** A Tenant records nothing in this version: its events come with its quota. */
export type TenantDecision = Decision<never, TenantStatus>;

/** How long a deleted Tenant waits for its agents to go before it goes itself. */
const protectionMs = 60_000;
const recheckMs = 30_000;
const deletionRecheckMs = 2_000;

/** What to do about one Tenant. Pure and total. */
export function decide(observed: TenantObserved, now: number): TenantDecision {
  const { tenant } = observed;
  if (tenant === undefined) return { transitions: [], plan: [], outcome: settled };
  if (tenant.metadata.deletionTimestamp !== undefined) return terminate(observed, tenant, now);
  const problem = specProblem(observed, tenant);
  if (problem !== undefined) return finish(observed, tenant, [], [], problem, now);
  // Alone in its pass: the patch moves the resourceVersion on, and a status carrying the observed one would conflict.
  const guard = addFinalizer(refOf(tenant), stored(tenant), finalizers.tenantProtection);
  if (guard.length > 0) return { transitions: [], plan: guard, outcome: settled };
  const verdicts = observed.namespaces.map((namespace) => ({
    name: namespace.name,
    verdict: judge(tenant, namespace),
  }));
  const plan = [
    ...verdicts.flatMap(({ name, verdict }) => converge(tenant, name, verdict)),
    ...observed.released.map(releaseNamespace),
  ];
  return finish(observed, tenant, plan, verdicts, namespaceProblem(verdicts), now);
}

type Judged = { readonly name: string; readonly verdict: Verdict };

function converge(tenant: Tenant, name: string, verdict: Verdict): readonly Action[] {
  if (verdict.kind === 'missing') return [createNamespace(tenant, name)];
  return verdict.kind === 'ours' && !verdict.labelled ? [labelNamespace(tenant, verdict.object)] : [];
}

function specProblem({ invalid }: TenantObserved, tenant: Tenant): Problem | undefined {
  if (invalid !== undefined) {
    return { reason: 'InvalidSpec', message: `The spec cannot be used: ${invalid}`, patienceMs: 0 };
  }
  const fields = unsupportedTenantFields(tenant.spec);
  if (fields.length === 0) return undefined;
  const message = `This version of OpenOS does not act on ${fields.map((field) => `spec.${field}`).join(', ')}; remove ${fields.length === 1 ? 'it' : 'them'}. Nothing is set up until then.`;
  return { reason: 'FieldNotSupported', message, patienceMs: 0 };
}

function namespaceProblem(verdicts: readonly Judged[]): Problem | undefined {
  const refused = verdicts.map(({ verdict }) => verdict).find((verdict) => verdict.kind === 'refused');
  if (refused !== undefined) {
    const { reason, message } = refused;
    return { reason, message, patienceMs: reason === 'NamespaceTerminating' ? Number.POSITIVE_INFINITY : 60_000 };
  }
  const waiting = verdicts.filter(
    ({ verdict }) => verdict.kind === 'missing' || (verdict.kind === 'ours' && !verdict.labelled),
  );
  if (waiting.length === 0) return undefined;
  const message = `Setting up ${waiting.map(({ name }) => name).join(', ')}.`;
  return { reason: 'NamespacesNotReady', message, patienceMs: Number.POSITIVE_INFINITY };
}

function finish(
  observed: TenantObserved,
  tenant: Tenant,
  plan: readonly Action[],
  verdicts: readonly Judged[],
  problem: Problem | undefined,
  now: number,
): TenantDecision {
  const next = tenantStatus(tenant, verdicts, problem, observed.agents, now);
  const outcome: Outcome = problem === undefined ? settled : requeue(recheckMs);
  const changed = tenant.status === undefined || !sameStatus(tenant.status, next);
  return { transitions: [], plan, ...(changed ? { status: next } : {}), outcome };
}

/** Its agents are protected for a bounded time; then the namespaces are let go and the Tenant leaves. Namespaces stay. */
function terminate(observed: TenantObserved, tenant: Tenant, now: number): TenantDecision {
  const since = new Date(tenant.metadata.deletionTimestamp ?? now).getTime();
  const waiting = observed.agents.total > 0 && now - since < protectionMs;
  if (waiting) {
    const message = `Waiting up to ${protectionMs / 1000} s for ${observed.agents.total} agents to be deleted.`;
    const verdicts = observed.namespaces.map((namespace) => ({
      name: namespace.name,
      verdict: judge(tenant, namespace),
    }));
    const problem: Problem = { reason: 'Terminating', message, patienceMs: Number.POSITIVE_INFINITY };
    return { ...finish(observed, tenant, [], verdicts, problem, now), outcome: requeue(deletionRecheckMs) };
  }
  const held = new Set(tenant.status?.namespaces?.map(({ uid }) => uid));
  const present = observed.namespaces.flatMap(({ object }) =>
    held.has(object?.metadata.uid) && object ? [object] : [],
  );
  const plan = [
    ...[...present, ...observed.released].map(releaseNamespace),
    ...removeFinalizer(refOf(tenant), stored(tenant), finalizers.tenantProtection),
  ];
  return { transitions: [], plan, outcome: settled };
}

function refOf(tenant: Tenant): ObjectRef {
  return { resource: tenantResource, name: tenant.metadata.name };
}

function stored(tenant: Tenant): StoredObject {
  return tenant as StoredObject;
}

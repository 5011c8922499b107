import type { TenantReason } from '../../api/v1alpha1/reasons.ts';
import type { Tenant } from '../../api/v1alpha1/tenant.ts';
import type { TenantObserved } from './decide.ts';
import type { RecordedTenant, TenantDetail, TenantPhase, TenantRow } from './history.ts';
import { overuse, quotaUse } from './usage.ts';

export type TenantEventType =
  | 'tenant.created'
  | 'tenant.suspended'
  | 'tenant.resumed'
  | 'tenant.quota_exceeded'
  | 'tenant.deleted';

/** A fact to be recorded, with the event that tells it. `observedAt` is in ms since the epoch. */
export type TenantTransition = {
  readonly kind: 'told';
  /** UID of the Tenant, and its newest row. */
  readonly id: string;
  readonly last: TenantRow | undefined;
  readonly from: TenantPhase | 'New';
  readonly to: TenantPhase;
  readonly reason: TenantReason;
  readonly observedAt: number;
  readonly detail: TenantDetail;
  readonly event: { readonly type: TenantEventType; readonly data: Readonly<Record<string, unknown>> };
  /** Remembered with it, so that it is told once and not in every pass. */
  readonly exceeded?: 'agents' | 'pools';
};

/** What a pass writes into the record of a Tenant: something told, or the ledger brought up to what was observed. */
export type TenantRecord =
  | TenantTransition
  /** The use of a resource is within bounds again: the next time it is not is told anew. */
  | { readonly kind: 'within'; readonly resource: 'agents' | 'pools' }
  /** The places in these namespaces are the Tenant's, and no others. */
  | { readonly kind: 'book'; readonly namespaces: readonly string[] };

/** What this look proves beyond what is recorded. At most one thing is told at a time: the next pass tells the next. */
export function tenantRecords(observed: TenantObserved, now: number): readonly TenantRecord[] {
  const { history, name, tenant } = observed;
  if (history.kind === 'unavailable') return [];
  const ended = history.open.find(({ id }) => id !== tenant?.metadata.uid);
  if (ended !== undefined) return [goneTransition(ended, now)];
  if (history.ledger.astray > 0) return [{ kind: 'book', namespaces: heldNames(tenant) }];
  const isUsable = tenant !== undefined && tenant.metadata.deletionTimestamp === undefined;
  if (!isUsable || observed.invalid !== undefined) return [];
  const last = history.open.find(({ id }) => id === tenant.metadata.uid)?.last;
  if (last === undefined) {
    return [told(tenant, undefined, 'Active', now, 'tenant.created', 'TenantCreated', { name }, {})];
  }
  return [...suspension(tenant, last, now), ...exceeding(observed, tenant, last, now)].slice(0, 1);
}

/** The places in its namespaces count on it: those its status holds. */
function heldNames(tenant: Tenant | undefined): readonly string[] {
  return tenant?.status?.namespaces?.map(({ name }) => name) ?? [];
}

function suspension(tenant: Tenant, last: TenantRow, now: number): readonly TenantTransition[] {
  const { suspend = 'None', suspendReason } = tenant.spec;
  const { name } = tenant.metadata;
  if (suspend === 'None') {
    return last.to === 'Active' ? [] : [told(tenant, last, 'Active', now, 'tenant.resumed', 'Resumed', { name }, {})];
  }
  if (last.to === 'Suspended' && last.detail.suspend === suspend) return [];
  const more = { suspend, ...(suspendReason === undefined ? {} : { message: suspendReason }) };
  return [told(tenant, last, 'Suspended', now, 'tenant.suspended', 'Suspended', { name, suspend }, more)];
}

/** Only the edges: that it is exceeded is told once, and again when it was within bounds in between. */
function exceeding(observed: TenantObserved, tenant: Tenant, last: TenantRow, now: number): readonly TenantRecord[] {
  if (observed.history.kind === 'unavailable') return [];
  const { exceeded } = observed.history.ledger;
  const { hard = {}, used = {} } = quotaUse(observed, tenant) ?? {};
  return (['agents', 'pools'] as const).flatMap((resource): readonly TenantRecord[] => {
    const isOver = overuse(observed, tenant, resource) !== undefined;
    if (isOver === exceeded.includes(resource)) return [];
    if (!isOver) return [{ kind: 'within', resource }];
    const more = { resource, waiting: observed.waiting[resource], hard, used };
    const type = 'tenant.quota_exceeded';
    return [{ ...told(tenant, last, last.to, now, type, 'QuotaExceeded', last.detail, more), exceeded: resource }];
  });
}

/** The Tenant is gone from the cluster. */
function goneTransition({ id, last }: RecordedTenant, observedAt: number): TenantTransition {
  const { name } = last.detail;
  const event = { type: 'tenant.deleted', data: { name, reason: 'Deleted' } } as const;
  const to = 'Deleted';
  return { kind: 'told', id, last, from: last.to, to, reason: 'Deleted', observedAt, detail: { name }, event };
}

function told(
  { metadata: { name, uid: id } }: Tenant,
  last: TenantRow | undefined,
  to: TenantPhase,
  observedAt: number,
  type: TenantEventType,
  reason: TenantReason,
  detail: TenantDetail,
  more: Readonly<Record<string, unknown>>,
): TenantTransition {
  const event = { type, data: { name, reason, ...more } };
  return { kind: 'told', id, last, from: last?.to ?? 'New', to, reason, observedAt, detail, event };
}

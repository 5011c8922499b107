import type { TenantSpec } from '../../api/v1alpha1/tenant.ts';

/** Phases of a Tenant in the record. Whether its namespaces are set up is told by its status alone. */
export type TenantPhase = 'Active' | 'Suspended' | 'Deleted';

/** What a recorded row of a Tenant carries. Written by us, read back by us. */
export type TenantDetail = {
  readonly name: string;
  /** How it is suspended since then. */
  readonly suspend?: Exclude<TenantSpec['suspend'], undefined | 'None'>;
};

/** The newest row of a Tenant. */
export type TenantRow = {
  readonly seq: number;
  readonly to: TenantPhase;
  readonly tenantId: string;
  /** W3C trace context all events of this Tenant carry. */
  readonly traceparent?: string;
  readonly detail: TenantDetail;
};

/** A Tenant whose story is not over: `id` is its UID. */
export type RecordedTenant = { readonly id: string; readonly last: TenantRow };

/** What the ledger says of a Tenant. */
export type TenantLedger = {
  readonly agents: number;
  readonly pools: number;
  readonly exceeded: readonly ('agents' | 'pools')[];
  /** Places that are booked on another than who has the namespace. */
  readonly astray: number;
};

/** The record in Postgres, or the fact that it cannot be read now. */
export type TenantHistory =
  | { readonly kind: 'unavailable'; readonly message: string }
  | {
      readonly kind: 'known';
      /** Every Tenant of this name without a Deleted row: normally the one that stands, or none. */
      readonly open: readonly RecordedTenant[];
      readonly ledger: TenantLedger;
    };

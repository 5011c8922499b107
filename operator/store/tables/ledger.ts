import type { Generated } from 'kysely';

/** What tenants have a number of: Agents that hold a place, and AgentPools. */
export type LedgerResource = 'agents' | 'pools';

/** One place of a tenant's quota and who holds it. The transitions of the holder say the same. */
export type TenantPlaceTable = {
  aggregate_id: string;
  resource: LedgerResource;
  /** '' while the namespace belongs to nobody. */
  tenant_id: string;
  namespace: string;
  taken_at: Generated<Date>;
};

/** The sum of a tenant's places, which those who take one compare with the quota. */
export type TenantUsageTable = {
  tenant_id: string;
  resource: LedgerResource;
  used: number;
  /** Told as tenant.quota_exceeded, and not within bounds since. */
  exceeded: Generated<boolean>;
  updated_at: Generated<Date>;
};

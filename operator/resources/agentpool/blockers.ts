import type { AgentPoolReason } from '../../api/v1alpha1/reasons.ts';
import { isTaken } from '../quota.ts';
import type { PoolObserved } from './decide.ts';

/** What keeps a pool from acting at all; its Agents are left alone. After `patienceMs` of it a person must act. */
export type Blocker = { readonly reason: AgentPoolReason; readonly message: string; readonly patienceMs: number };

/** What keeps this pool from acting, or undefined when nothing does. The first that applies is the one shown. */
export function blockerOf({ invalid, tenancy, namespace, room }: PoolObserved): Blocker | undefined {
  if (invalid !== undefined) {
    return { reason: 'InvalidSpec', message: `The spec cannot be used: ${invalid}`, patienceMs: 0 };
  }
  if (tenancy.kind === 'member') return room !== undefined && isTaken(room) ? withoutPlace(room.limit) : undefined;
  const message = `No Tenant has the namespace ${namespace}. Ask your platform team to add it to a Tenant's spec.namespaces.`;
  return { reason: 'TenantNotFound', message, patienceMs: 60_000 };
}

function withoutPlace(limit: number): Blocker {
  const patienceMs = Number.POSITIVE_INFINITY;
  if (limit === 0) {
    const message = 'The Tenant may have no AgentPools at all (quota.pools is 0). Ask for a higher quota.';
    return { reason: 'QuotaExceeded', message, patienceMs };
  }
  const message = `All ${limit} places of the Tenant's quota for AgentPools are taken. It goes on when one is free and nobody who waits for longer needs it; delete others, or ask for a higher quota.`;
  return { reason: 'WaitingForQuota', message, patienceMs };
}

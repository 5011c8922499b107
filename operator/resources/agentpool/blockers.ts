import type { AgentPoolReason } from '../../api/v1alpha1/reasons.ts';
import type { PoolObserved } from './decide.ts';

/** What keeps a pool from acting at all; its Agents are left alone. After `patienceMs` of it a person must act. */
export type Blocker = { readonly reason: AgentPoolReason; readonly message: string; readonly patienceMs: number };

/** What keeps this pool from acting, or undefined when nothing does. The first that applies is the one shown. */
export function blockerOf({ invalid, tenancy, namespace }: PoolObserved): Blocker | undefined {
  if (invalid !== undefined) {
    return { reason: 'InvalidSpec', message: `The spec cannot be used: ${invalid}`, patienceMs: 0 };
  }
  if (tenancy.kind === 'member') return undefined;
  const message = `No Tenant has the namespace ${namespace}. Ask your platform team to add it to a Tenant's spec.namespaces.`;
  return { reason: 'TenantNotFound', message, patienceMs: 60_000 };
}

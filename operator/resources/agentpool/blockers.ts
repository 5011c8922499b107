import type { AgentPool } from '../../api/v1alpha1/agentpool.ts';
import type { AgentPoolReason } from '../../api/v1alpha1/reasons.ts';
import { unsupportedAgentPoolFields } from '../../api/v1alpha1/unsupported.ts';
import type { PoolObserved } from './decide.ts';

/** What keeps a pool from acting at all; its Agents are left alone. After `patienceMs` of it a person must act. */
export type Blocker = { readonly reason: AgentPoolReason; readonly message: string; readonly patienceMs: number };

/** What keeps this pool from acting, or undefined when nothing does. The first that applies is the one shown. */
export function blockerOf({ invalid, tenancy, namespace }: PoolObserved, pool: AgentPool): Blocker | undefined {
  if (invalid !== undefined) {
    return { reason: 'InvalidSpec', message: `The spec cannot be used: ${invalid}`, patienceMs: 0 };
  }
  const fields = unsupportedAgentPoolFields(pool.spec);
  if (fields.length > 0) {
    const message = `This version of OpenOS does not act on ${fields.map((field) => `spec.${field}`).join(', ')}; remove ${fields.length === 1 ? 'it' : 'them'}. The Agents are left as they are until then.`;
    return { reason: 'FieldNotSupported', message, patienceMs: 0 };
  }
  if (tenancy.kind === 'member') return undefined;
  const message = `No Tenant has the namespace ${namespace}. Ask your platform team to add it to a Tenant's spec.namespaces.`;
  return { reason: 'TenantNotFound', message, patienceMs: 60_000 };
}

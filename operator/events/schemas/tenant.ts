import { z } from 'zod';
import { envelope } from './envelope.ts';

const tenantData = z.strictObject({
  name: z.string().min(1).describe('Name of the Tenant; a re-created one has another agent_id.'),
  reason: z.string().min(1).describe('One documented word for why.'),
});

const suspendedData = tenantData.extend({
  suspend: z.enum(['Hold', 'HoldAndDrain']).describe('Hold starts no pods; HoldAndDrain stops those that run, too.'),
  message: z.string().optional().describe('spec.suspendReason: why, for people.'),
});

const amounts = z.record(z.string(), z.string());

const exceededData = tenantData.extend({
  resource: z.enum(['agents', 'pools']).describe('What there is more of than the quota holds.'),
  waiting: z.int().nonnegative().describe('How many wait for a place, or for an amount of the quota.'),
  hard: amounts.describe('The quota, by resource, as quantities.'),
  used: amounts.describe('What of it is in use or reserved, as quantities.'),
});

/** Events of a Tenant. What becomes of its agents is told by the agents. */
export const tenantEvents = {
  'tenant.created': { '1.0': envelope('tenant.created', '1.0', tenantData) },
  'tenant.suspended': { '1.0': envelope('tenant.suspended', '1.0', suspendedData) },
  'tenant.resumed': { '1.0': envelope('tenant.resumed', '1.0', tenantData) },
  'tenant.quota_exceeded': { '1.0': envelope('tenant.quota_exceeded', '1.0', exceededData) },
  'tenant.deleted': { '1.0': envelope('tenant.deleted', '1.0', tenantData) },
} as const;

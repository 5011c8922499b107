import { z } from 'zod';
import { envelope } from './envelope.ts';

const poolData = z.strictObject({
  namespace: z.string().min(1).describe('Namespace of the AgentPool.'),
  name: z.string().min(1).describe('Name of the AgentPool; a re-created one has another agent_id.'),
  reason: z.string().min(1).describe('One documented word for why.'),
  replicas: z.int().nonnegative().describe('How many Agents are wanted from now on.'),
  revision: z
    .string()
    .min(1)
    .describe('Revision of the template they are made from, as in their label openos.dev/revision.'),
});

const scaledData = poolData.extend({
  previousReplicas: z.int().nonnegative().describe('How many were wanted before.'),
});

const updatedData = poolData.extend({
  previousRevision: z.string().min(1).describe('Revision of the template before.'),
});

/** Events of an AgentPool. Those of its Agents are told by the Agents themselves. */
export const agentPoolEvents = {
  'agentpool.created': { '1.0': envelope('agentpool.created', '1.0', poolData) },
  'agentpool.scaled': { '1.0': envelope('agentpool.scaled', '1.0', scaledData) },
  'agentpool.updated': { '1.0': envelope('agentpool.updated', '1.0', updatedData) },
  'agentpool.deleted': { '1.0': envelope('agentpool.deleted', '1.0', poolData) },
} as const;

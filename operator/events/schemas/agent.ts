import { z } from 'zod';
import { envelope } from './envelope.ts';

const agentData = z.strictObject({
  namespace: z.string().min(1).describe('Namespace of the Agent.'),
  name: z.string().min(1).describe('Name of the Agent; a re-created one has another agent_id.'),
  attempt: z.int().nonnegative().describe('Which try to run it this is, counted from 1.'),
  phase: z.string().min(1).describe('Phase entered by this event.'),
  reason: z.string().min(1).describe('One documented word for why.'),
  podName: z.string().min(1).optional().describe('Pod of this attempt.'),
  podUid: z.string().min(1).optional().describe('UID of that pod.'),
  nodeName: z.string().min(1).optional().describe('Node the pod runs on.'),
  runtimeClassName: z.string().min(1).optional().describe('RuntimeClass that isolates the pod.'),
  message: z.string().optional().describe('More for people; may change without notice.'),
});

const readyData = agentData.extend({
  startLatencyMilliseconds: z.int().nonnegative().describe('From the start of this attempt until it was Ready.'),
});

/** Events of the control-plane machine of an Agent. */
export const agentEvents = {
  'agent.created': { '1.0': envelope('agent.created', '1.0', agentData) },
  'agent.scheduled': { '1.0': envelope('agent.scheduled', '1.0', agentData) },
  'agent.starting': { '1.0': envelope('agent.starting', '1.0', agentData) },
  'agent.ready': { '1.0': envelope('agent.ready', '1.0', readyData) },
  'agent.unready': { '1.0': envelope('agent.unready', '1.0', agentData) },
  'agent.recovering': { '1.0': envelope('agent.recovering', '1.0', agentData) },
  'agent.failed': { '1.0': envelope('agent.failed', '1.0', agentData) },
  'agent.updated': { '1.0': envelope('agent.updated', '1.0', agentData) },
  'agent.stopping': { '1.0': envelope('agent.stopping', '1.0', agentData) },
  'agent.stopped': { '1.0': envelope('agent.stopped', '1.0', agentData) },
  'agent.resumed': { '1.0': envelope('agent.resumed', '1.0', agentData) },
  'agent.completed': { '1.0': envelope('agent.completed', '1.0', agentData) },
  'agent.deleted': { '1.0': envelope('agent.deleted', '1.0', agentData) },
} as const;

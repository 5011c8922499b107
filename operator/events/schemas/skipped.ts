import { z } from 'zod';
import { envelope } from './envelope.ts';

const skippedData = z.strictObject({
  skippedEventId: z.uuid().describe('event_id of the event that will never come.'),
  skippedEventType: z.string().min(1).describe('What that event would have told.'),
  reason: z.string().min(1).describe('Why it was given up, in the words of who did.'),
});

/** Tombstones: each stands in the stream with the sequence of an event that was given up, so that no number is missing. */
export const skippedEvents = {
  'agent.skipped': { '1.0': envelope('agent.skipped', '1.0', skippedData) },
  'agentpool.skipped': { '1.0': envelope('agentpool.skipped', '1.0', skippedData) },
  'tenant.skipped': { '1.0': envelope('tenant.skipped', '1.0', skippedData) },
} as const;

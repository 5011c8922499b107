import { z } from 'zod';

/** `1.0`: a minor version adds optional fields, a major one is another contract with another subject suffix. */
export const schemaVersion = z.string().regex(/^[1-9][0-9]*\.[0-9]+$/);

/** What every event is wrapped in. Names and meaning are the same for all types and never change. */
export function envelope<const Type extends string, const Version extends string, Data extends z.ZodType>(
  type: Type,
  version: Version,
  data: Data,
) {
  return z.strictObject({
    event_id: z.uuid().describe('Derived from kind, agent_id and sequence: a repeat carries the same id.'),
    event_type: z.literal(type).describe('What happened, as kind.action.'),
    schema_version: z.literal(version).describe('Version of this schema, as major.minor.'),
    occurred_at: z.iso.datetime({ precision: 3 }).describe('When it was observed, in UTC with milliseconds.'),
    trace_id: z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .describe('W3C trace id of the pass that recorded the event.'),
    agent_id: z
      .string()
      .min(1)
      .describe('UID of the custom resource the event is about; its kind is the first word of event_type.'),
    tenant_id: z.string().min(1).describe('Name of the tenant it belonged to then.'),
    sequence: z.int().positive().describe('1, 2, 3, … without gaps for each agent_id.'),
    data,
  });
}

import type { z } from 'zod';
import { agentEvents } from './agent.ts';
import { agentPoolEvents } from './agentpool.ts';
import { skippedEvents } from './skipped.ts';
import { tenantEvents } from './tenant.ts';

/** Every version of every event, ascending; the last one is what is written today. */
export const eventSchemas = {
  ...agentEvents,
  ...agentPoolEvents,
  ...tenantEvents,
  ...skippedEvents,
} as const;

export type EventSchemas = typeof eventSchemas;
export type EventType = keyof EventSchemas;

/** The envelope of one event type, in any version. */
export type EventOf<Type extends EventType> = {
  [Version in keyof EventSchemas[Type]]: z.output<EventSchemas[Type][Version]>;
}[keyof EventSchemas[Type]];

/** Any event a consumer can meet. */
export type AnyEvent = { [Type in EventType]: EventOf<Type> }[EventType];

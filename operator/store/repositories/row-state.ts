import { type RawBuilder, sql } from 'kysely';
import { type ConsistencyMover, sourcesOf } from '../tables/consistency.ts';
import type { OutboxState } from '../tables/outbox.ts';

/**
 * Whether a row of `outbox` that was found by its id is in one of these states.
 *
 * The expression is one no partial index answers to. Such an index has few live rows, so to the planner it looks
 * cheaper than the primary key; while some transaction stays open it also has an entry for every event since then,
 * and a statement that reads it whole for each row it wants takes minutes.
 */
export function isIn(...states: readonly OutboxState[]): RawBuilder<boolean> {
  return sql`(state || '') = any(${[...states]}::text[])`;
}

/** Whether one of these may move a row of `outbox`, found by its id, to this state. */
export function mayBecome(to: OutboxState, ...by: readonly ConsistencyMover[]): RawBuilder<boolean> {
  return isIn(...by.flatMap((each) => sourcesOf(to, each)));
}

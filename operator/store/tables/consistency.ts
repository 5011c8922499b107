import type { OutboxState } from './outbox.ts';

/** Who moves an event on; the last three are commands for people. */
export type ConsistencyMover = 'publisher' | 'ack watcher' | 'auditor' | 'requeue' | 'skip' | 'replay';

export type ConsistencyMove = {
  readonly from: OutboxState;
  readonly to: OutboxState;
  readonly by: ConsistencyMover;
  readonly when: string;
};

/**
 * How far an event can come, as data. A row is born Pending, in the transaction of the change it tells of
 * (Persisted and OutboxWritten at once); nothing moves it but these, and the statements of the outbox take the
 * states they may leave from here.
 */
export const consistencyMoves = [
  { from: 'Pending', to: 'Published', by: 'publisher', when: 'the stream has stored it' },
  { from: 'Pending', to: 'DeadLettered', by: 'publisher', when: 'the broker refused it too often' },
  { from: 'DeadLettered', to: 'Published', by: 'publisher', when: 'a receipt arrived after it was given up' },
  { from: 'DeadLettered', to: 'Pending', by: 'requeue', when: 'what kept the broker from it is mended' },
  { from: 'DeadLettered', to: 'Skipped', by: 'skip', when: 'a tombstone is published in its place' },
  { from: 'Published', to: 'Acknowledged', by: 'ack watcher', when: 'every required consumer has had it' },
  { from: 'Published', to: 'Pending', by: 'auditor', when: 'the stream has lost it' },
  { from: 'Acknowledged', to: 'Pending', by: 'auditor', when: 'the stream has lost it' },
  { from: 'Published', to: 'Pending', by: 'replay', when: 'a consumer wants it once more' },
  { from: 'Acknowledged', to: 'Pending', by: 'replay', when: 'a consumer wants it once more' },
  { from: 'Expired', to: 'Pending', by: 'replay', when: 'a consumer that was overtaken wants it' },
  { from: 'Published', to: 'Expired', by: 'auditor', when: 'it outlived the stream’s age before it was acknowledged' },
] as const satisfies readonly ConsistencyMove[];

/** The states an event may be in for `by` to move it to `to`. */
export function sourcesOf(to: OutboxState, by: ConsistencyMover): readonly OutboxState[] {
  return consistencyMoves.filter((move) => move.to === to && move.by === by).map((move) => move.from);
}

/** What people see of a state: a row that waits for the publisher is one that is written. */
export function shownConsistency(state: OutboxState): Exclude<OutboxState, 'Pending'> | 'OutboxWritten' {
  return state === 'Pending' ? 'OutboxWritten' : state;
}

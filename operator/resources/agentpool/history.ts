/** What a recorded row of a pool carries: what it is asked for since then. Written by us, read back by us. */
export type PoolDetail = {
  readonly namespace: string;
  readonly name: string;
  readonly replicas: number;
  /** The template in effect. */
  readonly revision: string;
};

/** Phases of a pool in the record. Its story is told by events and counts; it has no phase in its status. */
export type PoolPhase = 'Created' | 'Deleted';

/** One recorded fact. Times are milliseconds since the epoch. */
export type PoolRow = {
  readonly seq: number;
  readonly to: PoolPhase;
  readonly observedAt: number;
  readonly tenantId: string;
  /** W3C trace context all events of this pool carry. */
  readonly traceparent?: string;
  readonly detail: PoolDetail;
};

/** The record in Postgres, or the fact that it cannot be read now. */
export type PoolHistory =
  | { readonly kind: 'unavailable'; readonly message: string }
  | { readonly kind: 'known'; readonly last: PoolRow | undefined };

export function lastRow(history: PoolHistory): PoolRow | undefined {
  return history.kind === 'known' ? history.last : undefined;
}

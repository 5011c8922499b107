import type { RecordedPhase } from './machine.ts';

/** What a recorded row of an agent carries beside its phase; written by us, read back by us. */
export type AgentDetail = {
  readonly namespace: string;
  readonly name: string;
  /** Hash of the part of the spec that makes the pod; on the rows that begin an attempt. */
  readonly specHash?: string;
  /** On agent.ready: from the start of the attempt to Ready, by our clock. */
  readonly startLatencyMilliseconds?: number;
  /** On agent.ready: when this agent was Ready for the first time, ms since the epoch. Sessions count from it. */
  readonly firstReadyAt?: number;
  readonly message?: string;
};

export type DeliveryState = 'Pending' | 'Published' | 'Acknowledged' | 'DeadLettered' | 'Skipped' | 'Expired';

/** One recorded transition with the delivery state of its event. Times are milliseconds since the epoch. */
export type AgentRow = {
  readonly seq: number;
  readonly from: string;
  readonly to: RecordedPhase;
  readonly reason: string;
  readonly attempt: number;
  readonly observedAt: number;
  readonly tenantId: string;
  /** W3C trace context every event and the pod of this agent carry. */
  readonly traceparent?: string;
  readonly detail: AgentDetail;
  readonly event: {
    readonly id: string;
    readonly type: string;
    readonly state: DeliveryState;
    readonly publishedAt?: number;
    readonly lastError?: string;
  };
};

/** The record in Postgres, or the fact that it cannot be read now. */
export type AgentHistory =
  | { readonly kind: 'unavailable'; readonly message: string }
  | {
      readonly kind: 'known';
      /** The newest row: its `to` is the phase. Undefined for an agent nothing was recorded of. */
      readonly last: AgentRow | undefined;
      readonly latestByPhase: Readonly<Partial<Record<RecordedPhase, AgentRow>>>;
    };

export function lastRow(history: AgentHistory): AgentRow | undefined {
  return history.kind === 'known' ? history.last : undefined;
}

/** Out of the broker's hands for good or in them: what the Ready gate asks. */
export function isOut(row: AgentRow): boolean {
  return row.event.state !== 'Pending' && row.event.state !== 'DeadLettered';
}

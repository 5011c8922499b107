import type { Logger } from './kernel/logger.ts';
import type { AggregateKind } from './telemetry/metrics.ts';
import { traceFields } from './telemetry/tracing.ts';

/** What one recording committed, for its log lines. */
export type Recorded = {
  readonly kind: AggregateKind;
  readonly uid: string;
  /** '' for what has none. */
  readonly namespace: string;
  readonly name: string;
  readonly tenantId: string;
  /** W3C traceparent that its events carry. */
  readonly traceparent: string;
  /** Sequence of the row before them; 0 = they are the first. */
  readonly lastSeq: number;
  readonly eventIds: readonly string[];
  readonly transitions: readonly {
    readonly from: string;
    readonly to: string;
    readonly reason: string;
    readonly event: { readonly type: string };
  }[];
};

/** One line at info for each transition, with the fields by which its event is found again on the stream. */
export function logRecorded(log: Logger, recorded: Recorded): void {
  const { kind, uid, namespace, name, tenantId, traceparent, lastSeq, eventIds, transitions } = recorded;
  // Its own trace and not that of the pass: after a restart the first pass does not know it yet.
  const trace = traceFields(traceparent);
  const of = { kind, uid, ...(namespace !== '' && { namespace }), name, tenant_id: tenantId, ...trace };
  for (const [index, { from, to, reason, event }] of transitions.entries()) {
    const told = { event_type: event.type, event_id: eventIds[index], sequence: lastSeq + 1 + index };
    log.info({ ...of, from, to, reason, ...told }, 'recorded a transition');
  }
}

import { encode } from './events/registry.ts';
import { OperatorError } from './kernel/errors.ts';
import type { AgentTransition } from './resources/agent/events.ts';
import type { AgentObserved } from './resources/agent/facts.ts';
import { type AgentHistory, type AgentRow, lastRow } from './resources/agent/history.ts';
import type { PoolObserved } from './resources/agentpool/decide.ts';
import type { PoolTransition } from './resources/agentpool/events.ts';
import { lastRow as lastPoolRow, type PoolHistory, type PoolRow } from './resources/agentpool/history.ts';
import type { Database } from './store/db.ts';
import { type RecordedTransition, readHistory } from './store/repositories/history.ts';
import { takeOver } from './store/repositories/leadership.ts';
import { recordTransitions } from './store/repositories/recording.ts';
import type { Metrics } from './telemetry/metrics.ts';

/** Errors of the store that mean "not now": shown as a condition, never thrown into a pass that only reads. */
const awayCodes: ReadonlySet<string> = new Set(['DatabaseUnavailable', 'DatabaseAuthFailed', 'SchemaOutdated']);

/** Reads what is recorded of an agent; a database that is away is an answer, not an error. */
export async function agentHistory(database: Database, uid: string): Promise<AgentHistory> {
  try {
    const { last, latestByPhase } = await readHistory(database.db, 'agent', uid);
    return {
      kind: 'known',
      last: last === undefined ? undefined : agentRow(last),
      latestByPhase: Object.fromEntries(Object.entries(latestByPhase).map(([phase, row]) => [phase, agentRow(row)])),
    };
  } catch (error) {
    if (error instanceof OperatorError && awayCodes.has(error.code))
      return { kind: 'unavailable', message: error.message };
    throw error;
  }
}

/** The columns are written by `recordAgent` alone, so the record's phases and detail are an agent's. */
function agentRow(row: RecordedTransition): AgentRow {
  const { publishedAt, ...event } = row.event;
  return {
    seq: row.seq,
    from: row.from ?? 'New',
    to: row.to as AgentRow['to'],
    reason: row.reason,
    attempt: row.attempt,
    observedAt: row.observedAt.getTime(),
    tenantId: row.tenantId,
    detail: row.detail as AgentRow['detail'],
    ...(row.traceContext === undefined ? {} : { traceparent: row.traceContext }),
    event: { ...event, ...(publishedAt === undefined ? {} : { publishedAt: publishedAt.getTime() }) },
  };
}

/** The epoch of this leadership: taken once, when the database is first there. Everything recorded carries it. */
export class LeaderEpoch {
  readonly #database: Database;
  readonly #holder: string;
  #epoch: Promise<number> | undefined;

  constructor(database: Database, holder: string) {
    this.#database = database;
    this.#holder = holder;
  }

  /** @throws OperatorError DatabaseUnavailable; asked again it tries again. */
  async current(): Promise<number> {
    this.#epoch ??= takeOver(this.#database.db, this.#holder);
    try {
      return await this.#epoch;
    } catch (error) {
      this.#epoch = undefined;
      throw error;
    }
  }
}

export type RecorderPorts = {
  readonly database: Database;
  readonly epoch: LeaderEpoch;
  readonly metrics: Metrics;
  /** Called after the commit: the publisher need not wait for its poll. */
  readonly recorded: () => void;
};

const actor = 'openos-controller';

/** Records all that one pass observed of an agent: transitions, their events and an audit row, in one transaction. */
export async function recordAgent(
  { database, epoch, metrics, recorded }: RecorderPorts,
  observed: AgentObserved,
  transitions: readonly AgentTransition[],
): Promise<void> {
  const last = lastRow(observed.history);
  const lastSeq = last?.seq ?? 0;
  const tenantId = last?.tenantId ?? (observed.tenancy.kind === 'member' ? observed.tenancy.tenant : '');
  const aggregate = { kind: 'agent', id: observed.uid } as const;
  const outbox = transitions.map(({ event, observedAt }, index) =>
    encode({
      type: event.type,
      aggregate,
      tenantId,
      seq: lastSeq + 1 + index,
      occurredAt: new Date(observedAt),
      traceContext: observed.traceparent,
      data: event.data,
    }),
  );
  await recordTransitions(database.db, {
    aggregate,
    tenantId,
    epoch: await epoch.current(),
    lastSeq,
    transitions: transitions.map((transition) => ({
      from: transition.from === 'New' ? null : transition.from,
      to: transition.to,
      reason: transition.reason,
      attempt: transition.attempt,
      observedAt: new Date(transition.observedAt),
      detail: transition.detail,
    })),
    outbox,
    audit: {
      actor,
      action: transitions.map((transition) => transition.event.type).join(','),
      detail: {
        namespace: observed.namespace,
        name: observed.name,
        from: last?.to ?? null,
        to: transitions.at(-1)?.to,
      },
    },
  });
  recorded();
  for (const { from, to, detail } of transitions) {
    metrics.transitioned('agent', from, to);
    if (to === 'Ready' && from !== 'NotReady') metrics.agentStarted(detail.startLatencyMilliseconds ?? 0);
  }
}

/** Reads what is recorded of a pool; a database that is away is an answer, not an error. */
export async function poolHistory(database: Database, uid: string): Promise<PoolHistory> {
  try {
    const { last } = await readHistory(database.db, 'agentpool', uid);
    return { kind: 'known', last: last === undefined ? undefined : poolRow(last) };
  } catch (error) {
    if (error instanceof OperatorError && awayCodes.has(error.code))
      return { kind: 'unavailable', message: error.message };
    throw error;
  }
}

/** The columns are written by `recordPool` alone, so the record's phases and detail are a pool's. */
function poolRow({ seq, to, observedAt, tenantId, detail, traceContext }: RecordedTransition): PoolRow {
  return {
    seq,
    to: to as PoolRow['to'],
    observedAt: observedAt.getTime(),
    tenantId,
    detail: detail as PoolRow['detail'],
    ...(traceContext === undefined ? {} : { traceparent: traceContext }),
  };
}

/** As {@link recordAgent}, for a pool. */
export async function recordPool(
  { database, epoch, metrics, recorded }: RecorderPorts,
  observed: PoolObserved,
  transitions: readonly PoolTransition[],
): Promise<void> {
  const last = lastPoolRow(observed.history);
  const lastSeq = last?.seq ?? 0;
  const tenantId = last?.tenantId ?? (observed.tenancy.kind === 'member' ? observed.tenancy.tenant : '');
  const aggregate = { kind: 'agentpool', id: observed.uid } as const;
  const outbox = transitions.map(({ event, observedAt }, index) =>
    encode({
      type: event.type,
      aggregate,
      tenantId,
      seq: lastSeq + 1 + index,
      occurredAt: new Date(observedAt),
      traceContext: observed.traceparent,
      data: event.data,
    }),
  );
  const { namespace, name } = observed;
  await recordTransitions(database.db, {
    aggregate,
    tenantId,
    epoch: await epoch.current(),
    lastSeq,
    transitions: transitions.map(({ from, to, reason, observedAt, detail }) => ({
      from: from === 'New' ? null : from,
      to,
      reason,
      attempt: 0,
      observedAt: new Date(observedAt),
      detail,
    })),
    outbox,
    audit: {
      actor,
      action: transitions.map((transition) => transition.event.type).join(','),
      detail: { namespace, name, from: last?.detail ?? null, to: transitions.at(-1)?.detail },
    },
  });
  recorded();
  for (const { from, to } of transitions) metrics.transitioned('agentpool', from, to);
}

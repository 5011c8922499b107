import { encode } from './events/registry.ts';
import type { EventType } from './events/schemas/index.ts';
import { hasCode, OperatorError } from './kernel/errors.ts';
import type { Logger } from './kernel/logger.ts';
import type { ObjectMeta } from './kernel/object.ts';
import type { LeaderEpoch } from './leader-epoch.ts';
import { logRecorded, type Recorded } from './recorded-lines.ts';
import type { AgentTransition } from './resources/agent/events.ts';
import type { AgentObserved } from './resources/agent/facts.ts';
import { type AgentHistory, type AgentRow, lastRow } from './resources/agent/history.ts';
import type { PoolObserved } from './resources/agentpool/decide.ts';
import type { PoolTransition } from './resources/agentpool/events.ts';
import { lastRow as lastPoolRow, type PoolHistory, type PoolRow } from './resources/agentpool/history.ts';
import { holdsPlace, placeRules } from './resources/places.ts';
import type { TenantObserved } from './resources/tenant/decide.ts';
import type { TenantRecord } from './resources/tenant/events.ts';
import type { TenantHistory, TenantRow } from './resources/tenant/history.ts';
import type { Database, Trx } from './store/db.ts';
import { openAggregatesOf, type RecordedTransition, readHistory } from './store/repositories/history.ts';
import { bookPlaces, ledgerUse, markExceeded } from './store/repositories/ledger.ts';
import { type PlaceChange, type Recording, recordTransitions } from './store/repositories/recording.ts';
import { unitOfWork } from './store/unit-of-work.ts';
import type { AggregateKind, Metrics } from './telemetry/metrics.ts';
import { activeTraceparent, parseTraceparent } from './telemetry/tracing.ts';

/** Errors of the store that mean "not now": shown as a condition, never thrown into a pass that only reads. */
const awayCodes: ReadonlySet<string> = new Set([
  'DatabaseUnavailable',
  'DatabaseAuthFailed',
  'DatabaseUnsafe',
  'SchemaOutdated',
]);

/** Reads what is recorded of an agent; a database that is away is an answer, not an error. */
export function agentHistory(
  database: Database,
  uid: string,
  epoch: Pick<LeaderEpoch, 'reading'> = { reading: (read) => read() },
): Promise<AgentHistory> {
  return orAway(async () => {
    const { last, latestByPhase } = await epoch.reading(() => readHistory(database.db, 'agent', uid));
    return {
      kind: 'known',
      last: last === undefined ? undefined : agentRow(last),
      latestByPhase: Object.fromEntries(Object.entries(latestByPhase).map(([phase, row]) => [phase, agentRow(row)])),
    };
  });
}

async function orAway<Known>(
  read: () => Promise<Known>,
): Promise<Known | { readonly kind: 'unavailable'; readonly message: string }> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof OperatorError) || !awayCodes.has(error.code)) throw error;
    return { kind: 'unavailable', message: error.message };
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

export type RecorderPorts = {
  readonly database: Database;
  readonly epoch: LeaderEpoch;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Called after the commit: the publisher need not wait for its poll. */
  readonly recorded: () => void;
  /** Called after the commit with the tenant that has a place more. */
  readonly freed: (tenant: string) => void;
};

const actor = 'openos-controller';

/**
 * Records all that one pass observed of an agent: transitions, their events and an audit row, in one transaction.
 * Returns the history as it is then.
 */
export async function recordAgent(
  ports: RecorderPorts,
  observed: AgentObserved,
  transitions: readonly AgentTransition[],
): Promise<AgentHistory> {
  const last = lastRow(observed.history);
  const change = { ...writerOf(observed.agent), from: last?.to ?? null, to: transitions.at(-1)?.to };
  const recorded = await record(ports, 'agent', observed, last, transitions, change);
  for (const { from, to, detail } of transitions) {
    if (to === 'Ready' && from !== 'NotReady') ports.metrics.agentStarted(detail.startLatencyMilliseconds ?? 0);
  }
  return historyAfter(observed, transitions, recorded);
}

/** As {@link agentHistory} would read it. */
function historyAfter(
  { history, traceparent }: AgentObserved,
  transitions: readonly AgentTransition[],
  { tenantId, eventIds }: Recorded,
): AgentHistory {
  const before = history.kind === 'known' ? history : { latestByPhase: {}, last: undefined };
  const lastSeq = before.last?.seq ?? 0;
  const rows = transitions.map(({ event, ...row }, index): AgentRow => {
    const told = { id: eventIds[index] ?? '', type: event.type, state: 'Pending' } as const;
    return { ...row, seq: lastSeq + 1 + index, tenantId, traceparent, event: told };
  });
  const latestByPhase = { ...before.latestByPhase, ...Object.fromEntries(rows.map((row) => [row.to, row])) };
  return { kind: 'known', last: rows.at(-1) ?? before.last, latestByPhase };
}

/** Reads what is recorded of a pool; a database that is away is an answer, not an error. */
export function poolHistory(database: Database, uid: string): Promise<PoolHistory> {
  return orAway(async () => {
    const { last } = await readHistory(database.db, 'agentpool', uid);
    return { kind: 'known', last: last === undefined ? undefined : poolRow(last) };
  });
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

/** As {@link recordAgent}, for a pool: what changes is not its phase but what its rows hold. */
export async function recordPool(
  ports: RecorderPorts,
  observed: PoolObserved,
  transitions: readonly PoolTransition[],
): Promise<void> {
  const last = lastPoolRow(observed.history);
  const rows = transitions.map((transition) => ({ ...transition, attempt: 0 }));
  const change = { ...writerOf(observed.pool), from: last?.detail ?? null, to: rows.at(-1)?.detail };
  await record(ports, 'agentpool', observed, last, rows, change);
}

/** Reads what is recorded of Tenants of this name, and its ledger; a database that is away is an answer, not an error. */
export function tenantHistory({ db }: Database, name: string, namespaces: readonly string[]): Promise<TenantHistory> {
  return orAway(async () => {
    const [ids, ledger] = await Promise.all([openAggregatesOf(db, 'tenant', name), ledgerUse(db, name, namespaces)]);
    const open = await Promise.all(
      ids.map(async (id) => {
        const { last } = await readHistory(db, 'tenant', id);
        return last === undefined ? [] : [{ id, last: tenantRow(last) }];
      }),
    );
    return { kind: 'known', open: open.flat(), ledger };
  });
}

/** The columns are written by `recordTenant` alone, so the record's phases and detail are a Tenant's. */
function tenantRow({ seq, to, tenantId, detail, traceContext }: RecordedTransition): TenantRow {
  return {
    seq,
    to: to as TenantRow['to'],
    tenantId,
    detail: detail as TenantRow['detail'],
    ...(traceContext === undefined ? {} : { traceparent: traceContext }),
  };
}

/** As {@link recordAgent}, for a Tenant; what the ledger learns with it is in the same transaction. */
export async function recordTenant(
  ports: Omit<RecorderPorts, 'recorded'> & { readonly recorded: (id: string) => void },
  { name, tenant, traceparent }: Pick<TenantObserved, 'name' | 'tenant' | 'traceparent'>,
  records: readonly TenantRecord[],
): Promise<void> {
  const { database, epoch, freed } = ports;
  for (const each of records) {
    const write = async (db: Trx, held: number): Promise<Recorded | undefined> => {
      if (each.kind === 'within') await markExceeded(db, name, each.resource, false, actor);
      if (each.kind === 'book') await bookPlaces(db, name, each.namespaces, actor);
      if (each.kind !== 'told') return undefined;
      const tenancy = { kind: 'member', tenant: name } as const;
      const observed = { uid: each.id, namespace: '', name, tenancy, traceparent };
      const change = { ...writerOf(tenant), from: each.last?.detail ?? null, to: each.detail };
      const { recording, recorded } = loudly(ports, 'tenant', observed, () =>
        recordingOf('tenant', observed, each.last, [{ ...each, attempt: 0 }], change),
      );
      await recordTransitions(db, { ...recording, epoch: held });
      if (each.exceeded !== undefined) await markExceeded(db, name, each.exceeded, true, actor);
      return recorded;
    };
    const recorded = await epoch.during((held) => unitOfWork(database.db, held, (db) => write(db, held)));
    // The publisher has to find it committed.
    if (recorded !== undefined) tell({ ...ports, recorded: () => ports.recorded(recorded.uid) }, recorded);
    if (each.kind === 'book') freed(name);
  }
}

/** Who wrote the desired state this follows from: the field manager, which is all that an object says of it. */
function writerOf(object: { readonly metadata: object } | undefined): { readonly manager?: string } {
  const { lastManager } = (object?.metadata ?? {}) as ObjectMeta;
  return lastManager === undefined ? {} : { manager: lastManager };
}

type Observed = Pick<AgentObserved, 'uid' | 'namespace' | 'name' | 'tenancy' | 'traceparent'>;
type Transition = {
  readonly from: string;
  readonly to: string;
  readonly reason: string;
  readonly attempt: number;
  readonly observedAt: number;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly event: { readonly type: EventType; readonly data: Readonly<Record<string, unknown>> };
};

type LastRow = { readonly seq: number; readonly from?: string; readonly to: string; readonly tenantId: string };

/** A place of the quota is taken and given back in the statement that records why. */
function placeChange(
  kind: keyof typeof placeRules,
  { namespace, tenancy }: Observed,
  last: LastRow | undefined,
  next: Transition | undefined,
): PlaceChange | undefined {
  const rule = placeRules[kind];
  const held = holdsPlace(rule, last);
  if (holdsPlace(rule, next) === held) return undefined;
  if (held || tenancy.kind === 'none') return { kind: 'release' };
  const { tenant: tenantId, rules } = tenancy;
  const limit = rules?.quota?.[rule.resource];
  return { kind: 'take', resource: rule.resource, tenantId, namespace, ...(limit === undefined ? {} : { limit }) };
}

/** What happened follows from the pass that found it, when that is part of the same trace; else from its root. */
function producing(traceparent: string): string {
  const pass = activeTraceparent();
  const isSameTrace = pass !== undefined && traceIdOf(pass) === traceIdOf(traceparent);
  return isSameTrace ? pass : traceparent;
}

function traceIdOf(traceparent: string): string | undefined {
  return parseTraceparent(traceparent)?.traceId;
}

async function record(
  ports: RecorderPorts,
  kind: AggregateKind,
  observed: Observed,
  last: LastRow | undefined,
  transitions: readonly Transition[],
  change: Readonly<Record<string, unknown>>,
): Promise<Recorded> {
  const { database, epoch, freed } = ports;
  const { recording, recorded } = loudly(ports, kind, observed, () =>
    recordingOf(kind, observed, last, transitions, change),
  );
  await epoch.during((held) => recordTransitions(database.db, { ...recording, epoch: held }));
  tell(ports, recorded);
  const { tenancy } = observed;
  if (recording.place?.kind === 'release') freed(tenancy.kind === 'member' ? tenancy.tenant : recorded.tenantId);
  return recorded;
}

/** An event that fits no schema is a fault of ours, and stops all work on its object: nobody may overlook it. */
function loudly<Result>(
  { log, metrics }: Pick<RecorderPorts, 'log' | 'metrics'>,
  kind: AggregateKind,
  { namespace, name, uid }: Observed,
  encodeAll: () => Result,
): Result {
  try {
    return encodeAll();
  } catch (err) {
    if (!hasCode(err, 'EventInvalid')) throw err;
    metrics.eventInvalid(kind);
    log.error({ err, code: 'EventInvalid', kind, namespace, name, uid }, 'an event fits no schema and is not recorded');
    throw err;
  }
}

/** What follows from a commit, whatever it was part of. */
function tell({ log, metrics, recorded }: RecorderPorts, committed: Recorded): void {
  recorded();
  for (const { from, to } of committed.transitions) metrics.transitioned(committed.kind, from, to);
  logRecorded(log, committed);
}

function recordingOf(
  kind: AggregateKind,
  observed: Observed,
  last: LastRow | undefined,
  transitions: readonly Transition[],
  change: Readonly<Record<string, unknown>>,
): { readonly recording: Omit<Recording, 'epoch'>; readonly recorded: Recorded } {
  const { uid, namespace, name, tenancy, traceparent } = observed;
  const lastSeq = last?.seq ?? 0;
  const place = kind === 'tenant' ? undefined : placeChange(kind, observed, last, transitions.at(-1));
  // Whose it was when its story began: a namespace that changes hands takes no story along.
  const tenantId = last?.tenantId ?? (tenancy.kind === 'member' ? tenancy.tenant : '');
  const aggregate = { kind, id: uid } as const;
  const outbox = transitions.map(({ event, observedAt }, index) =>
    encode({
      type: event.type,
      aggregate,
      tenantId,
      seq: lastSeq + 1 + index,
      occurredAt: new Date(observedAt),
      traceContext: producing(traceparent),
      data: event.data,
    }),
  );
  const recording = {
    aggregate,
    tenantId,
    lastSeq,
    transitions: transitions.map(({ event: _, from, observedAt, ...row }) => ({
      ...row,
      from: from === 'New' ? null : from,
      observedAt: new Date(observedAt),
    })),
    outbox,
    ...(place === undefined ? {} : { place }),
    audit: {
      actor,
      action: transitions.map(({ event }) => event.type).join(','),
      detail: { namespace, name, ...change },
    },
  };
  const eventIds = outbox.map(({ eventId }) => eventId);
  return { recording, recorded: { kind, uid, namespace, name, tenantId, traceparent, lastSeq, eventIds, transitions } };
}

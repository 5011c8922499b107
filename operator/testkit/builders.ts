import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node';
import type { Agent, AgentSpec, AgentStatus } from '../api/v1alpha1/agent.ts';
import { labels } from '../api/v1alpha1/names.ts';
import type { Tenant, TenantSpec, TenantStatus } from '../api/v1alpha1/tenant.ts';
import type { StoredObject } from '../kernel/object.ts';
import type { ClaimObject } from '../resources/agent/claims.ts';
import type { AgentTransition } from '../resources/agent/events.ts';
import type { AgentObserved } from '../resources/agent/facts.ts';
import type { AgentHistory, AgentRow, DeliveryState } from '../resources/agent/history.ts';
import { startsAttempt } from '../resources/agent/machine.ts';
import { podName, specHash } from '../resources/agent/pod.ts';
import type { TenantHistory, TenantLedger, TenantRow } from '../resources/tenant/history.ts';

/** Objects for tests: every builder has sensible defaults, and an argument says only what matters to the test. */

/** The moment most tests begin at, in ms since the epoch. */
export const t0 = Date.parse('2030-01-01T00:00:00Z');

/** Milliseconds since the epoch as the API server writes a time: whole seconds. */
export function at(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

export const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

type MetadataOverrides = {
  readonly name?: string;
  readonly uid?: string;
  readonly generation?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly deletionTimestamp?: string;
  readonly ownerReferences?: NonNullable<Agent['metadata']['ownerReferences']>;
};

function metadata(defaults: { readonly name: string; readonly uid: string }, overrides: MetadataOverrides) {
  return { resourceVersion: '1', generation: 1, creationTimestamp: at(t0), ...defaults, ...overrides };
}

export type AgentOverrides = MetadataOverrides & {
  readonly namespace?: string;
  readonly spec?: AgentSpec;
  readonly status?: AgentStatus;
};

/** An Agent in the short form, as the API server holds it. */
export function anAgent({ namespace = 'research', spec, status, ...overrides }: AgentOverrides = {}): Agent {
  return {
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'Agent',
    metadata: { ...metadata({ name: 'scout', uid: 'agent-uid' }, overrides), namespace },
    spec: spec ?? { image: 'registry.test/scout:1' },
    ...(status === undefined ? {} : { status }),
  };
}

export type TenantOverrides = MetadataOverrides & { readonly spec?: TenantSpec; readonly status?: TenantStatus };

/** A Tenant with one namespace, `research`, and our finalizer. */
export function aTenant({ spec, status, ...overrides }: TenantOverrides = {}): Tenant {
  const finalizers = ['openos.dev/tenant-protection'];
  return {
    apiVersion: 'openos.dev/v1alpha1',
    kind: 'Tenant',
    metadata: { finalizers, ...metadata({ name: 'acme', uid: 'tenant-uid' }, overrides) },
    spec: spec ?? { namespaces: [{ name: 'research' }] },
    ...(status === undefined ? {} : { status }),
  };
}

/** The record of the Tenant above, Active and with an empty ledger; of none with `[]`. */
export function aTenantHistory(
  rows: readonly Partial<TenantRow>[] = [{}],
  ledger: Partial<TenantLedger> = {},
): Extract<TenantHistory, { readonly kind: 'known' }> {
  const last: TenantRow = { seq: 1, to: 'Active', tenantId: 'acme', detail: { name: 'acme' } };
  return {
    kind: 'known',
    open: rows.map((row) => ({ id: 'tenant-uid', last: { ...last, ...row } })),
    ledger: { agents: 0, pools: 0, exceeded: [], astray: 0, ...ledger },
  };
}

/** A Namespace that nobody owns. */
export function aNamespace(overrides: MetadataOverrides = {}): StoredObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: metadata({ name: 'research', uid: 'ns-uid' }, overrides) };
}

type Status = { -readonly [Key in keyof V1ContainerStatus]?: V1ContainerStatus[Key] };

/** The status of one container; runs, but is not ready, unless `state` and `ready` say otherwise. */
export function aContainerStatus(overrides: Status = {}): V1ContainerStatus {
  return {
    name: 'agent',
    image: 'registry.test/scout:1',
    imageID: '',
    ready: false,
    restartCount: 0,
    state: { running: {} },
    ...overrides,
  };
}

/** A container that waits and why: ContainerCreating, ImagePullBackOff, CrashLoopBackOff, … */
export function aWaitingContainer(reason: string, overrides: Status = {}): V1ContainerStatus {
  return aContainerStatus({ state: { waiting: { reason } }, ...overrides });
}

/** A claim `data` of the Agent `scout`, bound, and kept when that goes. */
export function aClaim(overrides: MetadataOverrides & { readonly phase?: string } = {}): ClaimObject {
  const { phase = 'Bound', ...rest } = overrides;
  const kept = { 'openos.dev/retained-for': 'scout' };
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      ...metadata({ name: 'data-scout', uid: 'claim-uid' }, { annotations: kept, ...rest }),
      namespace: 'research',
    },
    status: { phase },
  };
}

export type PodOverrides = {
  readonly name?: string;
  readonly uid?: string;
  readonly agent?: Agent;
  /** Its name is that of the attempt which this row began. */
  readonly startSeq?: number;
  readonly scheduled?: boolean;
  /** Says why no node was found. */
  readonly unschedulable?: string;
  /** Since when it is Ready (ms since the epoch), or that it is not. */
  readonly readySince?: number;
  readonly containers?: readonly V1ContainerStatus[];
  readonly initContainers?: readonly V1ContainerStatus[];
  readonly phase?: string;
  readonly reason?: string;
  readonly deleting?: boolean;
  /** When it was created (ms since the epoch). */
  readonly createdAt?: number;
  readonly runtimeClassName?: string;
};

/** A pod of an Agent as raw JSON; without arguments: just created, no node yet. */
export function aPod(overrides: PodOverrides = {}): V1Pod {
  const { agent = anAgent(), startSeq = 1, readySince, containers, initContainers } = overrides;
  const { scheduled = containers !== undefined || readySince !== undefined, deleting = false } = overrides;
  const statuses = containers ?? (readySince === undefined ? undefined : [aContainerStatus({ ready: true })]);
  const name = overrides.name ?? podName(agent.metadata.name, agent.metadata.uid, startSeq);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: agent.metadata.namespace,
      uid: overrides.uid ?? `uid-of-${name}`,
      creationTimestamp: at(overrides.createdAt ?? t0),
      labels: { [labels.agent]: agent.metadata.name, [labels.agentUid]: agent.metadata.uid },
      ownerReferences: [
        {
          apiVersion: agent.apiVersion,
          kind: agent.kind,
          name: agent.metadata.name,
          uid: agent.metadata.uid,
          controller: true,
        },
      ],
      ...(deleting ? { deletionTimestamp: at(t0) } : {}),
    },
    spec: {
      containers: [{ name: 'agent', image: 'registry.test/scout:1' }],
      runtimeClassName: overrides.runtimeClassName ?? 'gvisor',
      ...(scheduled ? { nodeName: 'node-1' } : {}),
    },
    status: {
      phase: overrides.phase ?? (statuses === undefined ? 'Pending' : 'Running'),
      ...(overrides.reason === undefined ? {} : { reason: overrides.reason }),
      conditions: podConditions(scheduled, overrides),
      ...(statuses === undefined ? {} : { containerStatuses: statuses }),
      ...(initContainers === undefined ? {} : { initContainerStatuses: initContainers }),
    },
    // Raw JSON carries times as strings; the model of the client library says Date.
  } as unknown as V1Pod;
}

function podConditions(scheduled: boolean, { unschedulable, readySince, containers }: PodOverrides) {
  const ready = { type: 'Ready', status: readySince === undefined ? 'False' : 'True' };
  return [
    unschedulable === undefined
      ? { type: 'PodScheduled', status: scheduled ? 'True' : 'False' }
      : { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: unschedulable },
    ...(containers === undefined && readySince === undefined
      ? []
      : [{ ...ready, lastTransitionTime: at(readySince ?? t0) }]),
  ];
}

export type RowOverrides = Partial<Omit<AgentRow, 'event' | 'detail'>> & {
  readonly detail?: Partial<AgentRow['detail']>;
  readonly state?: DeliveryState;
  readonly publishedAt?: number;
  readonly lastError?: string;
  /** The spec it was recorded for: gives the rows that begin an attempt their hash. */
  readonly spec?: AgentSpec;
};

/** A recorded transition whose event is published; sequence 1 and at t0 unless said otherwise. */
export function aRow(to: AgentRow['to'], overrides: RowOverrides = {}): AgentRow {
  const { state = 'Published', publishedAt, lastError, spec = anAgent().spec, detail, ...row } = overrides;
  const seq = overrides.seq ?? 1;
  return {
    from: 'New',
    to,
    reason: 'AgentCreated',
    attempt: 1,
    observedAt: t0,
    tenantId: 'acme',
    traceparent,
    ...row,
    seq,
    detail: {
      namespace: 'research',
      name: 'scout',
      ...(startsAttempt(to) ? { specHash: specHash(spec) } : {}),
      ...detail,
    },
    event: {
      id: `event-${seq}`,
      type: `agent.${to.toLowerCase()}`,
      state,
      ...(publishedAt === undefined ? {} : { publishedAt }),
      ...(lastError === undefined ? {} : { lastError }),
    },
  };
}

/** What is recorded of these transitions after the row `lastSeq`; their events wait for the publisher. */
export function rowsOf(transitions: readonly AgentTransition[], lastSeq: number): readonly AgentRow[] {
  return transitions.map(({ event, ...fact }, index) => {
    const seq = lastSeq + 1 + index;
    const waiting = { id: `event-${seq}`, type: event.type, state: 'Pending' } as const;
    return { ...fact, seq, tenantId: 'acme', traceparent, event: waiting };
  });
}

/** The record of these rows, oldest first. A row without a sequence of its own gets its place in the list. */
export function aHistory(...rows: readonly AgentRow[]): Extract<AgentHistory, { kind: 'known' }> {
  return {
    kind: 'known',
    last: rows.at(-1),
    latestByPhase: Object.fromEntries(rows.map((row) => [row.to, row])),
  };
}

export type PathStep = readonly [to: AgentRow['to'], overrides?: RowOverrides];

/** A record in which each step follows the one before: `from` and `seq` are filled in. */
export function aPath(...steps: readonly PathStep[]): Extract<AgentHistory, { kind: 'known' }> {
  const rows = steps.map(([to, overrides], index) =>
    aRow(to, { seq: index + 1, from: steps[index - 1]?.[0] ?? 'New', ...overrides }),
  );
  return aHistory(...rows);
}

/** The record of an agent that started without trouble and is Ready since t0; `last` says more of its last row. */
export function aReadyPath(last: RowOverrides = {}): Extract<AgentHistory, { kind: 'known' }> {
  return aPath(
    ['Created'],
    ['Scheduled', { reason: 'PodScheduled' }],
    ['Starting', { reason: 'ContainerStarted' }],
    ['Ready', { reason: 'AgentReady', detail: { startLatencyMilliseconds: 480 }, ...last }],
  );
}

export const databaseAway: AgentHistory = { kind: 'unavailable', message: 'connection refused' };

export type ObservedOverrides = Partial<AgentObserved>;

/** One look at an agent in a healthy world: it belongs to a tenant, its runtime class is there, nothing is recorded. */
export function anObservedAgent(overrides: ObservedOverrides = {}): AgentObserved {
  const agent = 'agent' in overrides ? overrides.agent : anAgent();
  return {
    uid: agent?.metadata.uid ?? 'agent-uid',
    namespace: agent?.metadata.namespace ?? 'research',
    name: agent?.metadata.name ?? 'scout',
    tenancy: { kind: 'member', tenant: 'acme' },
    runtimeClass: { name: 'gvisor', exists: true },
    pods: [],
    podOnItsWay: false,
    nodes: {},
    claims: [],
    history: aHistory(),
    brokerAvailable: true,
    traceparent,
    ...overrides,
    agent,
  };
}

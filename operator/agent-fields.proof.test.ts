import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AgentSpec, type AgentStatus, agentSpecSchema } from './api/v1alpha1/agent.ts';
import { hasCode } from './kernel/errors.ts';
import type { KubernetesObject } from './kernel/object.ts';
import { eventually } from './testkit/eventually.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

/** What a user may write into one field. */
type Field = {
  /** Accepted, and the Agent comes to rest with it: Ready, Suspended or Completed. */
  readonly good: readonly unknown[];
  /** Accepted, and the Agent cannot run with it: its status has to say why. */
  readonly bad?: readonly unknown[];
  /** Refused by the API server. */
  readonly refused: readonly unknown[];
  /** What has to stand beside it. */
  readonly beside?: Readonly<Record<string, unknown>>;
  /** It cannot be changed later. */
  readonly immutable?: true;
};

const probe = { good: [{ tcpSocket: { port: 8080 } }], bad: [{ tcpSocket: { port: 0 } }], refused: [5] };
const nodeAffinity = (key: string) => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key, operator: 'Exists' }] }],
    },
  },
});
const spread = (maxSkew: number) => [{ maxSkew, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }];

const fields: Readonly<Record<string, Field>> = {
  image: { good: ['registry.test/agent:2'], refused: ['', 5] },
  command: { good: [['/agent']], refused: ['/agent'] },
  args: { good: [['--fast']], refused: [5] },
  env: { good: [[{ name: 'A', value: 'b' }]], refused: [[{ value: 'b' }]] },
  envFrom: { good: [[{ configMapRef: { name: 'settings', optional: true } }]], refused: [[{ configMapRef: 5 }]] },
  ports: {
    good: [[{ containerPort: 1 }], [{ containerPort: 65_535 }]],
    bad: [[{ containerPort: 65_536 }]],
    refused: [[{ containerPort: 'http' }]],
  },
  resources: {
    good: [{ requests: { cpu: '10m' }, limits: { memory: '64Mi' } }],
    bad: [{ requests: { cpu: '100k' } }, { requests: { cpu: '2' }, limits: { cpu: '1' } }],
    refused: [{ requests: 5 }],
  },
  livenessProbe: probe,
  readinessProbe: probe,
  startupProbe: probe,
  volumeMounts: {
    beside: { volumes: [{ name: 'data', emptyDir: {} }] },
    good: [[{ name: 'data', mountPath: '/data' }]],
    bad: [[{ name: 'none', mountPath: '/data' }]],
    refused: [[{ name: 'data' }]],
  },
  workingDir: { good: ['/work'], refused: [5, 'x'.repeat(4097)] },
  volumes: {
    good: [[{ name: 'data', emptyDir: {} }]],
    bad: [[{ name: 'data', hostPath: { path: '/' } }]],
    refused: [[{ emptyDir: {} }]],
  },
  serviceAccountName: { good: ['default'], bad: ['missing'], refused: ['Not A Name'] },
  automountServiceAccountToken: { good: [true, false], refused: ['yes'] },
  imagePullSecrets: { good: [[{ name: 'registry' }]], refused: [[{}]] },
  priorityClassName: { good: ['fields'], bad: ['missing'], refused: ['Not A Name'] },
  nodeSelector: { good: [{ 'kubernetes.io/os': 'linux' }], bad: [{ no: 'such' }], refused: [5] },
  tolerations: { good: [[{ operator: 'Exists' }]], bad: [[{ operator: 'Perhaps' }]], refused: [5] },
  affinity: { good: [nodeAffinity('kubernetes.io/os')], bad: [nodeAffinity('no-such-label')], refused: [5] },
  topologySpreadConstraints: { good: [spread(1)], bad: [spread(0)], refused: [[{ maxSkew: 1 }]] },
  schedulerName: { good: ['default-scheduler'], refused: [5] },
  terminationGracePeriodSeconds: { good: [0, 1], refused: [-1, 'soon'] },
  securityContext: { good: [{ runAsUser: 1_000 }], bad: [{ runAsNonRoot: false }], refused: [5] },
  template: {
    beside: { image: undefined },
    good: [{ spec: { containers: [{ name: 'agent', image: 'registry.test/agent:2' }] } }],
    bad: [{ spec: { hostNetwork: true, containers: [{ name: 'agent', image: 'registry.test/agent:2' }] } }],
    refused: [{ spec: { containers: [] } }],
  },
  runtimeClassName: { good: ['gvisor'], bad: ['missing'], refused: ['Not A Name'] },
  operatingMode: { good: ['Running', 'Suspended'], refused: ['Off'] },
  volumeClaimTemplates: {
    good: [],
    bad: [
      [
        {
          metadata: { name: 'data' },
          spec: {
            storageClassName: 'missing',
            accessModes: ['ReadWriteOnce'],
            resources: { requests: { storage: '1Gi' } },
          },
        },
      ],
    ],
    refused: [[{ spec: {} }]],
    immutable: true,
  },
  persistentVolumeClaimRetentionPolicy: {
    good: [{ whenDeleted: 'Delete' }],
    refused: [{ whenDeleted: 'Never' }],
    immutable: true,
  },
  networkPolicy: {
    good: [{ ingress: [] }, { management: 'Unmanaged' }],
    bad: [{ egress: [{}] }],
    refused: [{ management: 'Unmanaged', ingress: [] }],
  },
  restartPolicy: { good: ['Always', 'OnFailure', 'Never'], refused: ['Sometimes'] },
  recovery: {
    good: [{ backoffLimit: 0 }, { backoffLimit: 1_000 }, { backoffSeconds: { base: 3_600, max: 3_600 } }],
    refused: [{ backoffLimit: -1 }, { backoffLimit: 1_001 }, { backoffSeconds: { base: 61 } }],
  },
  startupDeadlineSeconds: { good: [60, 86_400], refused: [0, 86_401] },
  lifecycle: {
    good: [
      { ttlSecondsAfterFinished: 0 },
      { maxSessionDurationSeconds: 86_400 },
      { shutdownTime: '2020-01-01T00:00:00Z' },
    ],
    refused: [{ shutdownTime: 'soon' }, { maxSessionDurationSeconds: 0 }],
  },
  events: { good: [{ readinessGate: 'BestEffort' }], refused: [{ readinessGate: 'Never' }] },
};

type Variant = { readonly field: string; readonly value: unknown; readonly spec: Field; readonly isGood: boolean };
const variantsOf = (isGood: boolean): readonly Variant[] =>
  Object.entries(fields).flatMap(([field, spec]) =>
    ((isGood ? spec.good : spec.bad) ?? []).map((value) => ({ field, value, spec, isGood })),
  );
const refusals = Object.entries(fields).flatMap(([field, spec]) =>
  spec.refused.map((value) => ({ field, value, spec })),
);

const namespace = 'fields';
const base = { image: 'registry.test/agent:1' };
const settledMs = 60_000;

let world: World;
let made = 0;

beforeAll(async () => {
  world = await startWorld();
  await world.startOperator();
  await world.tenant(namespace);
  const priorityClass = { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'fields' } };
  const priorityClasses = {
    group: 'scheduling.k8s.io',
    version: 'v1',
    kind: 'PriorityClass',
    plural: 'priorityclasses',
    namespaced: false,
  };
  await world.cluster.client.create(priorityClasses, { ...priorityClass, value: 1 } as KubernetesObject);
});
afterAll(() => world?.stop());

const specWith = ({ field, value, spec }: Pick<Variant, 'field' | 'value' | 'spec'>): AgentSpec =>
  ({ ...base, ...spec.beside, [field]: value }) as AgentSpec;

async function create(spec: AgentSpec): Promise<string> {
  made += 1;
  const name = `agent-${made}`;
  await world.createAgent(namespace, name, spec);
  return name;
}

/** Fields that are undefined are taken away. */
async function patch(name: string, spec: Readonly<Record<string, unknown>>): Promise<void> {
  const body = JSON.stringify({ spec }, (_key, value: unknown) => (value === undefined ? null : value));
  await world.cluster.kubectl('patch', 'agent', '-n', namespace, name, '--type=merge', '-p', body);
}

/** What of a status does not depend on the way to it: no names, times and counts. */
function outcomeOf({ conditions = [], phase, reason, tenant, runtimeClassName }: AgentStatus, isGood: boolean) {
  // Reconciling names the phase, and Stalled follows a minute later: both tell of the way.
  const passing = new Set(['Reconciling', 'Stalled', 'EventsAcknowledged']);
  const shown = conditions
    .filter(({ type }) => !passing.has(type))
    .map((condition) => `${condition.type}=${condition.status} ${condition.reason}`)
    .sort();
  // An Agent that is held up keeps the pod it has, and shows what that one was made with.
  return { conditions: shown, reason, tenant, ...(isGood ? { phase, runtimeClassName } : {}) };
}

const restful = new Set(['Ready', 'Suspended', 'Completed']);
const underWay = new Set(['Created', 'Scheduled', 'Starting', 'Replacing', 'Suspending', 'AwaitingEventPublish']);

/** Waits until the Agent shows its own spec and is at rest with it, or says why it cannot be. */
function settled(name: string, isGood: boolean): Promise<AgentStatus> {
  return eventually(
    `${name} is ${isGood ? 'at rest' : 'told to be held up'}`,
    async () => {
      const { metadata, status } = (await world.agent(namespace, name)) as StoredAgent & {
        readonly metadata: { readonly generation?: number };
      };
      const ready = status?.conditions?.find(({ type }) => type === 'Ready');
      const told = status?.conditions?.find(({ type }) => type === 'EventsPublished');
      const isCurrent = status?.observedGeneration === metadata.generation;
      const isThere = isGood
        ? restful.has(status?.phase ?? '')
        : ready?.status === 'False' && !underWay.has(ready.reason) && ready.reason !== 'PodNotReady';
      if (status !== undefined && isCurrent && isThere && told?.status === 'True') return status;
      throw new Error(JSON.stringify(status));
    },
    settledMs,
    100,
  );
}

test('every field of the spec is tried', () => {
  expect(Object.keys(fields).sort()).toEqual(Object.keys(agentSpecSchema.shape).sort());
});

describe.concurrent('with what an Agent can live with', () => {
  test.for(variantsOf(true))('$field: $value ends alike from the beginning and by an edit', async (variant) => {
    const { field, spec } = variant;
    const fromTheBeginning = await create(specWith(variant));
    const status = outcomeOf(await settled(fromTheBeginning, true), true);
    const edited = await create(base as AgentSpec);
    const before = outcomeOf(await settled(edited, true), true);
    const edit = { ...spec.beside, [field]: variant.value };
    if (spec.immutable) {
      await expect(patch(edited, edit)).rejects.toThrow();
      expect(outcomeOf(await settled(edited, true), true)).toEqual(before);
      return;
    }
    await patch(edited, edit);
    expect(outcomeOf(await settled(edited, true), true)).toEqual(status);
    if (status.phase === 'Completed') return;
    await patch(edited, { ...Object.fromEntries(Object.keys(edit).map((key) => [key, undefined])), ...base });
    expect(outcomeOf(await settled(edited, true), true)).toEqual(before);
  });
});

describe.concurrent('with what an Agent cannot live with', () => {
  test.for(variantsOf(false))('$field: $value says so, alike by both ways, and heals', async (variant) => {
    const { field, spec } = variant;
    const fromTheBeginning = await create(specWith(variant));
    const status = outcomeOf(await settled(fromTheBeginning, false), false);
    if (spec.immutable) return;
    const edited = await create(base as AgentSpec);
    await settled(edited, true);
    const edit = { ...spec.beside, [field]: variant.value };
    await patch(edited, edit);
    expect(outcomeOf(await settled(edited, false), false)).toEqual(status);
    const good = { ...Object.fromEntries(Object.keys(edit).map((key) => [key, undefined])), ...base };
    for (const name of [fromTheBeginning, edited]) {
      await patch(name, good);
      expect((await settled(name, true)).phase).toBe('Ready');
    }
  });
});

describe.concurrent('with what the API server refuses', () => {
  test.for(refusals)('$field: $value changes nothing', async ({ field, value, spec }) => {
    const refused = await create(specWith({ field, value, spec })).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(hasCode(refused, 'Invalid') || hasCode(refused, 'BadRequest')).toBe(true);
  });
});

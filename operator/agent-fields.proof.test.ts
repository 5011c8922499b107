import { afterAll, beforeAll } from 'vitest';
import { type AgentStatus, agentSpecSchema } from './api/v1alpha1/agent.ts';
import type { KubernetesObject } from './kernel/object.ts';
import { agentResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import { type Fields, type Outcome, proveFields, verdictsOf } from './testkit/fields.ts';
import { type StoredAgent, startWorld, type World } from './testkit/world.ts';

const probe = { good: [{ tcpSocket: { port: 8080 } }], bad: [{ tcpSocket: { port: 0 } }], refused: [5] };
const nodeAffinity = (key: string) => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key, operator: 'Exists' }] }],
    },
  },
});
const spread = (maxSkew: number) => [{ maxSkew, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }];

const fields: Fields = {
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
    good: [
      {
        metadata: { labels: { team: 'a' }, annotations: { note: 'b' } },
        spec: { containers: [{ name: 'agent', image: 'registry.test/agent:2' }] },
      },
    ],
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
          metadata: { name: 'data', labels: { team: 'a' }, annotations: { note: 'b' } },
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
    good: [{ whenDeleted: 'Delete', whenScaled: 'Delete' }],
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
    good: [
      { backoffLimit: 0, retryAfterFailedSeconds: 0 },
      { backoffLimit: 1_000 },
      { backoffSeconds: { base: 3_600, max: 3_600 } },
    ],
    refused: [{ backoffLimit: -1 }, { backoffLimit: 1_001 }, { backoffSeconds: { base: 61 } }],
  },
  startupDeadlineSeconds: { good: [60, 86_400], refused: [0, 86_401] },
  lifecycle: {
    good: [
      { ttlSecondsAfterFinished: 0 },
      { maxSessionDurationSeconds: 86_400, shutdownPolicy: 'Delete' },
      { shutdownTime: '2020-01-01T00:00:00Z' },
    ],
    refused: [{ shutdownTime: 'soon' }, { maxSessionDurationSeconds: 0 }],
  },
  events: { good: [{ readinessGate: 'BestEffort' }], refused: [{ readinessGate: 'Never' }] },
};

const namespace = 'fields';
const settledMs = 60_000;

let world: World;

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

const restful = new Set(['Ready', 'Suspended', 'Completed']);
const underWay = new Set(['Created', 'Scheduled', 'Starting', 'Replacing', 'Suspending', 'AwaitingEventPublish']);

function outcomeOf({ conditions, phase, reason, tenant, runtimeClassName }: AgentStatus, isGood: boolean): Outcome {
  // An Agent that is held up keeps the pod it has, and shows what that one was made with.
  const rest = isGood ? { phase, runtimeClassName } : {};
  return { shown: { conditions: verdictsOf(conditions), reason, tenant, ...rest }, isOver: phase === 'Completed' };
}

/** Waits until the Agent shows its own spec and is at rest with it, or says why it cannot be. */
async function settled(name: string, isGood: boolean): Promise<Outcome> {
  const status = await eventually(
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
  return outcomeOf(status, isGood);
}

proveFields({
  resource: agentResource,
  namespace,
  schema: agentSpecSchema,
  fields,
  base: { image: 'registry.test/agent:1' },
  world: () => world,
  settled,
});

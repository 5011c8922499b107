import { shortFormContainerFields, shortFormPodFields } from './v1alpha1/agent-rules.ts';

/**
 * What the API server must accept and refuse, kind by kind. `refused` names the field that the answer
 * must point to; a case without it must be accepted. AgentSpec cases are run as an Agent and again as the
 * template of an AgentPool.
 */
export type SpecCase = {
  readonly name: string;
  readonly spec: Readonly<Record<string, unknown>>;
  readonly refused?: string;
};

const container = { name: 'agent', image: 'busybox' };
const template = { spec: { containers: [container] } };
const image = 'busybox';

/** One valid value for every field of the short form but the image. */
const shortForm: Readonly<Record<string, unknown>> = {
  command: ['run'],
  args: ['--fast'],
  env: [{ name: 'A', value: 'b' }],
  envFrom: [{ configMapRef: { name: 'settings' } }],
  ports: [{ containerPort: 8080 }],
  resources: { requests: { cpu: '500m', memory: '64Mi' }, limits: { cpu: 1 } },
  livenessProbe: { httpGet: { path: '/live', port: 8080 } },
  readinessProbe: { httpGet: { path: '/ready', port: 'http' } },
  startupProbe: { tcpSocket: { port: 8080 } },
  volumeMounts: [{ name: 'data', mountPath: '/data' }],
  workingDir: '/data',
  volumes: [{ name: 'data', emptyDir: {} }],
  serviceAccountName: 'robot',
  automountServiceAccountToken: true,
  imagePullSecrets: [{ name: 'registry' }],
  priorityClassName: 'high',
  nodeSelector: { 'kubernetes.io/os': 'linux' },
  tolerations: [{ key: 'gpu', operator: 'Exists' }],
  affinity: { nodeAffinity: {} },
  topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }],
  schedulerName: 'default-scheduler',
  terminationGracePeriodSeconds: 0,
  securityContext: { runAsUser: 1000 },
};

const formCases: readonly SpecCase[] = [
  { name: 'an image alone', spec: { image } },
  { name: 'every field of the short form', spec: { image, ...shortForm } },
  { name: 'a template alone', spec: { template } },
  { name: 'neither image nor template', spec: {}, refused: 'spec' },
  { name: 'both image and template', spec: { image, template }, refused: 'spec' },
  ...[...shortFormContainerFields, ...shortFormPodFields].map((field) => ({
    name: `${field} beside a template`,
    spec: { template, [field]: shortForm[field] },
    refused: `spec.${field}`,
  })),
  {
    name: 'a template that chooses the runtime class',
    spec: { template: { spec: { ...template.spec, runtimeClassName: 'runc' } } },
    refused: 'spec.template.spec.runtimeClassName',
  },
  {
    name: 'a template that sets the restart policy',
    spec: { template: { spec: { ...template.spec, restartPolicy: 'Never' } } },
    refused: 'spec.template.spec.restartPolicy',
  },
];

const podCases: readonly SpecCase[] = [
  {
    name: 'one port for two protocols, and one without a protocol',
    spec: {
      image,
      ports: [{ containerPort: 53, protocol: 'UDP' }, { containerPort: 53, protocol: 'TCP' }, { containerPort: 53 }],
    },
  },
  {
    name: 'a template with labels and annotations',
    spec: { template: { ...template, metadata: { labels: { app: 'a' }, annotations: { note: 'b' } } } },
  },
  {
    name: 'a reserved label in a template',
    spec: { template: { ...template, metadata: { labels: { 'openos.dev/agent': 'other' } } } },
    refused: 'spec.template.metadata.labels',
  },
  {
    name: 'a reserved annotation in a template',
    spec: { template: { ...template, metadata: { annotations: { 'openos.dev/traceparent': 'x' } } } },
    refused: 'spec.template.metadata.annotations',
  },
  {
    name: 'a label value that is none',
    spec: { template: { ...template, metadata: { labels: { app: 'not a label' } } } },
    refused: 'spec.template.metadata.labels.app',
  },
  { name: 'no container', spec: { template: { spec: { containers: [] } } }, refused: 'spec.template.spec.containers' },
  {
    name: 'a container without an image',
    spec: { template: { spec: { containers: [{ name: 'agent' }] } } },
    refused: 'spec.template.spec.containers[0].image',
  },
  {
    name: 'two containers of one name',
    spec: { template: { spec: { containers: [container, container] } } },
    refused: 'spec.template.spec.containers[1]',
  },
  { name: 'an empty image', spec: { image: '' }, refused: 'spec.image' },
  {
    name: 'a pull secret without a name',
    spec: { image, imagePullSecrets: [{}] },
    refused: 'spec.imagePullSecrets[0].name',
  },
  {
    name: 'a fraction without a unit',
    spec: { image, resources: { limits: { cpu: 0.5 } } },
    refused: 'spec.resources.limits.cpu',
  },
  {
    name: 'an amount that is none',
    spec: { image, resources: { limits: { cpu: 'much' } } },
    refused: 'spec.resources.limits.cpu',
  },
  {
    name: 'a negative grace period',
    spec: { image, terminationGracePeriodSeconds: -1 },
    refused: 'spec.terminationGracePeriodSeconds',
  },
];

const claim = (name: string) => ({
  metadata: { name },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
});

const behaviourCases: readonly SpecCase[] = [
  {
    name: 'every setting of its behaviour',
    spec: {
      image,
      runtimeClassName: 'gvisor',
      operatingMode: 'Suspended',
      volumeClaimTemplates: [claim('data'), claim('cache')],
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Retain' },
      networkPolicy: { management: 'Managed', ingress: [{ from: [{ podSelector: {} }] }], egress: [{}] },
      restartPolicy: 'Always',
      recovery: { backoffLimit: 0, backoffSeconds: { base: 1, max: 1 }, retryAfterFailedSeconds: 0 },
      startupDeadlineSeconds: 1,
      lifecycle: {
        shutdownTime: '2030-01-01T00:00:00+02:00',
        maxSessionDurationSeconds: 1,
        ttlSecondsAfterFinished: 0,
        shutdownPolicy: 'Delete',
      },
      events: { readinessGate: 'BestEffort' },
    },
  },
  { name: 'an unmanaged network policy', spec: { image, networkPolicy: { management: 'Unmanaged' } } },
  {
    name: 'rules in an unmanaged network policy',
    spec: { image, networkPolicy: { management: 'Unmanaged', egress: [{}] } },
    refused: 'spec.networkPolicy',
  },
  {
    name: 'two claims of one name',
    spec: { image, volumeClaimTemplates: [claim('data'), claim('data')] },
    refused: 'spec.volumeClaimTemplates',
  },
  {
    name: 'a reserved label on a claim',
    spec: {
      image,
      volumeClaimTemplates: [{ ...claim('data'), metadata: { name: 'data', labels: { 'openos.dev/agent': 'x' } } }],
    },
    refused: 'spec.volumeClaimTemplates[0].metadata.labels',
  },
  { name: 'a run to completion', spec: { image, restartPolicy: 'Never', recovery: { backoffLimit: 1 } } },
  {
    name: 'a retry after failure of a run to completion',
    spec: { image, restartPolicy: 'OnFailure', recovery: { retryAfterFailedSeconds: 5 } },
    refused: 'spec',
  },
  {
    name: 'a pause longer than the longest',
    spec: { image, recovery: { backoffSeconds: { base: 10, max: 9 } } },
    refused: 'spec.recovery.backoffSeconds',
  },
  {
    name: 'a pause longer than the default of the longest',
    spec: { image, recovery: { backoffSeconds: { base: 61 } } },
    refused: 'spec.recovery.backoffSeconds',
  },
  {
    name: 'no start deadline at all',
    spec: { image, startupDeadlineSeconds: 0 },
    refused: 'spec.startupDeadlineSeconds',
  },
  { name: 'a negative deadline', spec: { image, startupDeadlineSeconds: -5 }, refused: 'spec.startupDeadlineSeconds' },
  {
    name: 'a start deadline beyond a day',
    spec: { image, startupDeadlineSeconds: 86401 },
    refused: 'spec.startupDeadlineSeconds',
  },
  {
    name: 'a negative session',
    spec: { image, lifecycle: { maxSessionDurationSeconds: -1 } },
    refused: 'spec.lifecycle.maxSessionDurationSeconds',
  },
  {
    name: 'a negative time to live',
    spec: { image, lifecycle: { ttlSecondsAfterFinished: -1 } },
    refused: 'spec.lifecycle.ttlSecondsAfterFinished',
  },
  {
    name: 'a moment that is none',
    spec: { image, lifecycle: { shutdownTime: 'tomorrow' } },
    refused: 'spec.lifecycle.shutdownTime',
  },
  { name: 'negative attempts', spec: { image, recovery: { backoffLimit: -1 } }, refused: 'spec.recovery.backoffLimit' },
  {
    name: 'a negative retry',
    spec: { image, recovery: { retryAfterFailedSeconds: -1 } },
    refused: 'spec.recovery.retryAfterFailedSeconds',
  },
  { name: 'an unknown mode', spec: { image, operatingMode: 'Paused' }, refused: 'spec.operatingMode' },
  {
    name: 'an unknown gate',
    spec: { image, events: { readinessGate: 'Never' } },
    refused: 'spec.events.readinessGate',
  },
  {
    name: 'a runtime class that is no name',
    spec: { image, runtimeClassName: 'Not A Name' },
    refused: 'spec.runtimeClassName',
  },
];

export const agentCases: readonly SpecCase[] = [...formCases, ...podCases, ...behaviourCases];

const agents = { template: { spec: { image } } };

export const agentPoolCases: readonly SpecCase[] = [
  { name: 'a template alone, replicas left to an autoscaler', spec: agents },
  {
    name: 'every field',
    spec: {
      replicas: 0,
      template: { metadata: { labels: { app: 'a' } }, spec: { image } },
      minReadySeconds: 5,
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: '10%' } },
      progressDeadlineSeconds: 6,
      paused: true,
      scheduling: 'Packed',
      maxConsecutiveFailures: 1,
    },
  },
  { name: 'replacement by hand', spec: { ...agents, updateStrategy: { type: 'OnDelete' } } },
  { name: 'no template', spec: { replicas: 1 }, refused: 'spec.template' },
  { name: 'negative replicas', spec: { ...agents, replicas: -1 }, refused: 'spec.replicas' },
  {
    name: 'a step of nothing, as counts',
    spec: { ...agents, updateStrategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 0 } } },
    refused: 'spec.updateStrategy.rollingUpdate',
  },
  {
    name: 'a step of nothing, as shares',
    spec: { ...agents, updateStrategy: { rollingUpdate: { maxUnavailable: '0%', maxSurge: 0 } } },
    refused: 'spec.updateStrategy.rollingUpdate',
  },
  {
    name: 'more than the whole',
    spec: { ...agents, updateStrategy: { rollingUpdate: { maxSurge: '101%' } } },
    refused: 'spec.updateStrategy.rollingUpdate.maxSurge',
  },
  {
    name: 'a negative step',
    spec: { ...agents, updateStrategy: { rollingUpdate: { maxSurge: -1 } } },
    refused: 'spec.updateStrategy.rollingUpdate.maxSurge',
  },
  {
    name: 'the size of a step that is never made',
    spec: { ...agents, updateStrategy: { type: 'OnDelete', rollingUpdate: { maxSurge: 1 } } },
    refused: 'spec.updateStrategy',
  },
  {
    name: 'a deadline before anything can be available',
    spec: { ...agents, minReadySeconds: 60, progressDeadlineSeconds: 60 },
    refused: 'spec',
  },
  {
    name: 'no deadline at all',
    spec: { ...agents, progressDeadlineSeconds: 0 },
    refused: 'spec.progressDeadlineSeconds',
  },
  {
    name: 'no failure allowed',
    spec: { ...agents, maxConsecutiveFailures: 0 },
    refused: 'spec.maxConsecutiveFailures',
  },
  {
    name: 'a reserved label on its Agents',
    spec: { template: { metadata: { labels: { 'openos.dev/pool': 'other' } }, spec: { image } } },
    refused: 'spec.template.metadata.labels',
  },
  {
    name: 'a reserved annotation on its Agents',
    spec: { template: { metadata: { annotations: { 'openos.dev/spec-hash': 'x' } }, spec: { image } } },
    refused: 'spec.template.metadata.annotations',
  },
];

export const tenantCases: readonly SpecCase[] = [
  { name: 'nothing', spec: {} },
  {
    name: 'every field',
    spec: {
      displayName: 'Acme Robotics',
      namespaces: [{ name: 'acme-agents' }, { name: 'acme-tests' }],
      owners: [
        { kind: 'User', name: 'ada', role: 'Owner' },
        { kind: 'Group', name: 'ada', role: 'Viewer' },
        { kind: 'ServiceAccount', name: 'system:serviceaccount:ci:deployer', role: 'Member' },
      ],
      quota: { agents: 10, pools: 0, hard: { 'requests.cpu': 8, 'requests.memory': '16Gi' } },
      limitRange: { limits: [{ type: 'Container', default: { cpu: '100m' }, max: { memory: '1Gi' } }] },
      runtimeClasses: { default: 'gvisor', allowed: ['gvisor', 'kata'] },
      priorityClasses: { allowed: ['low'] },
      allowedRegistries: ['ghcr.io/acme', 'localhost:5000'],
      nodeSelector: { pool: 'acme' },
      tolerations: [{ key: 'acme', operator: 'Exists' }],
      network: {
        isolation: 'DefaultDeny',
        allowDNS: false,
        allowIngress: [{}],
        allowEgress: [{ to: [{ podSelector: {} }] }],
      },
      podSecurity: { enforce: 'restricted' },
      suspend: 'HoldAndDrain',
      suspendReason: 'unpaid',
      deletionPolicy: 'Delete',
    },
  },
  {
    name: 'a namespace of the cluster',
    spec: { namespaces: [{ name: 'kube-system' }] },
    refused: 'spec.namespaces[0].name',
  },
  { name: 'the default namespace', spec: { namespaces: [{ name: 'default' }] }, refused: 'spec.namespaces[0].name' },
  { name: 'a namespace twice', spec: { namespaces: [{ name: 'a' }, { name: 'a' }] }, refused: 'spec.namespaces[1]' },
  { name: 'a namespace that is no name', spec: { namespaces: [{ name: 'A.b' }] }, refused: 'spec.namespaces[0].name' },
  {
    name: 'a ServiceAccount without its namespace',
    spec: { owners: [{ kind: 'ServiceAccount', name: 'deployer', role: 'Member' }] },
    refused: 'spec.owners[0].name',
  },
  {
    name: 'an owner twice',
    spec: {
      owners: [
        { kind: 'User', name: 'ada', role: 'Owner' },
        { kind: 'User', name: 'ada', role: 'Viewer' },
      ],
    },
    refused: 'spec.owners[1]',
  },
  {
    name: 'an unknown role',
    spec: { owners: [{ kind: 'User', name: 'ada', role: 'King' }] },
    refused: 'spec.owners[0].role',
  },
  { name: 'a negative quota', spec: { quota: { agents: -1 } }, refused: 'spec.quota.agents' },
  {
    name: 'agents counted in two places',
    spec: { quota: { hard: { 'count/agents.openos.dev': 5 } } },
    refused: 'spec.quota.hard',
  },
  {
    name: 'a default runtime class that is not allowed',
    spec: { runtimeClasses: { default: 'runc', allowed: ['gvisor'] } },
    refused: 'spec.runtimeClasses',
  },
  {
    name: 'rules where no policy is made',
    spec: { network: { isolation: 'Unmanaged', allowEgress: [{}] } },
    refused: 'spec.network',
  },
  {
    name: 'a registry with a scheme',
    spec: { allowedRegistries: ['https://ghcr.io'] },
    refused: 'spec.allowedRegistries[0]',
  },
  { name: 'a registry with a wildcard', spec: { allowedRegistries: ['*.io'] }, refused: 'spec.allowedRegistries[0]' },
  { name: 'a weaker standard', spec: { podSecurity: { enforce: 'privileged' } }, refused: 'spec.podSecurity.enforce' },
];

const storage = (size: string) => [
  { metadata: { name: 'data' }, spec: { resources: { requests: { storage: size } } } },
];

/** Two values of each field of an Agent that cannot be changed. */
export const immutableSettings = {
  volumeClaimTemplates: [storage('1Gi'), storage('2Gi')],
  persistentVolumeClaimRetentionPolicy: [{ whenDeleted: 'Retain' }, { whenDeleted: 'Delete' }],
} as const;

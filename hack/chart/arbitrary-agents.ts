import fc from 'fast-check';
import type { AgentSpec } from '../../operator/api/v1alpha1/agent.ts';

type Json = Readonly<Record<string, unknown>>;

/** One thing a user can write that Pod Security "restricted" forbids, put into a pod template. */
export type Violating = { readonly what: string; readonly into: (pod: Json) => Json };

/** fast-check writes an optional field as undefined; JSON has no such thing. */
const record = (fields: Readonly<Record<string, fc.Arbitrary<unknown>>>, requiredKeys: readonly string[] = []) =>
  fc.record(fields, { requiredKeys: [...requiredKeys] }) as fc.Arbitrary<Json>;

const name = fc.stringMatching(/^[a-z][a-z0-9]{1,8}$/);
const id = fc.integer({ min: 1, max: 65_535 });
const path = name.map((text) => `/${text}`);
const image = fc.constantFrom('registry.test/agent:1', 'agent', `ghcr.io/a/b@sha256:${'a'.repeat(64)}`);
const probe = record(
  {
    httpGet: record({ path, port: fc.constantFrom(8080, 'http') }, ['path', 'port']),
    periodSeconds: fc.integer({ min: 1, max: 60 }),
    failureThreshold: fc.integer({ min: 1, max: 9 }),
  },
  ['httpGet'],
);
const seccomp = fc.constantFrom({ type: 'RuntimeDefault' }, { type: 'Localhost', localhostProfile: 'own.json' });

/** What a user may say of security and stay within the standard: all of it, some of it, nothing. */
const podContext = record({
  runAsNonRoot: fc.constant(true),
  runAsUser: id,
  runAsGroup: fc.nat(65_535),
  fsGroup: id,
  fsGroupChangePolicy: fc.constantFrom('Always', 'OnRootMismatch'),
  supplementalGroups: fc.array(id, { maxLength: 3 }),
  seccompProfile: seccomp,
});
const containerContext = record({
  allowPrivilegeEscalation: fc.constant(false),
  readOnlyRootFilesystem: fc.boolean(),
  privileged: fc.constant(false),
  runAsNonRoot: fc.constant(true),
  runAsUser: id,
  capabilities: fc.constantFrom({}, { drop: ['ALL'] }, { drop: ['ALL'], add: ['NET_BIND_SERVICE'] }, { add: [] }),
  seccompProfile: seccomp,
});

const containerParts = {
  command: fc.array(name, { minLength: 1, maxLength: 3 }),
  args: fc.array(name, { maxLength: 3 }),
  env: fc.uniqueArray(record({ name: name, value: fc.string() }, ['name']), { maxLength: 3, selector: (e) => e.name }),
  ports: fc.constantFrom([{ containerPort: 8080, name: 'http' }], [{ containerPort: 53, protocol: 'UDP' }]),
  resources: fc.constantFrom({}, { requests: { cpu: '10m' } }, { limits: { memory: '64Mi', cpu: 1 } }),
  livenessProbe: probe,
  readinessProbe: probe,
  workingDir: path,
  volumeMounts: fc.constantFrom([], [{ name: 'data', mountPath: '/data' }], [{ name: 'data', mountPath: '/tmp/' }]),
};
const podParts = {
  automountServiceAccountToken: fc.boolean(),
  nodeSelector: fc.constantFrom({}, { 'kubernetes.io/os': 'linux' }),
  tolerations: fc.constantFrom([], [{ operator: 'Exists' }]),
  terminationGracePeriodSeconds: fc.nat(600),
  securityContext: podContext,
};
const dataVolume = fc.constantFrom(
  { emptyDir: {} },
  { configMap: { name: 'settings' } },
  { secret: { secretName: 'key' } },
  { persistentVolumeClaim: { claimName: 'data' } },
  { downwardAPI: { items: [] } },
  { projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'vault' } }] } },
);
const volumes = dataVolume.map((source) => [{ name: 'data', ...source }]);

const agentContainer = record(
  { name: fc.constant('agent'), image, securityContext: containerContext, ...containerParts },
  ['name', 'image'],
);
const initContainers = fc.array(
  record({ name: name.map((text) => `i-${text}`), image, securityContext: containerContext }, ['name', 'image']),
  { maxLength: 2 },
);
const template = record(
  {
    volumes,
    containers: fc.tuple(agentContainer).map(([one]) => [one]),
    initContainers: initContainers.map((list) => list.map((one, index) => ({ ...one, name: `i-${index}` }))),
    hostAliases: fc.constantFrom([], [{ ip: '10.0.0.1', hostnames: ['db'] }]),
    enableServiceLinks: fc.boolean(),
    hostNetwork: fc.constant(false),
    shareProcessNamespace: fc.boolean(),
    ...podParts,
  },
  ['volumes', 'containers'],
);
const shortForm = record({ image, volumes, ...containerParts, ...podParts }, ['image', 'volumes']);
const asTemplate = (spec: Json) => ({ template: { spec } }) as unknown as AgentSpec;

/** Specs of users who ask for nothing that is forbidden, in both forms; the API server takes the pods as they are. */
export const benignAgents: fc.Arbitrary<AgentSpec> = fc.oneof(
  shortForm as unknown as fc.Arbitrary<AgentSpec>,
  template.map(asTemplate),
);

const containersOf = (pod: Json) => pod.containers as readonly Json[];
/** Changes the agent's container, or an init container that is added for it. */
const inContainer = (what: string, change: (container: Json) => Json): readonly Violating[] => [
  { what, into: (pod) => ({ ...pod, containers: containersOf(pod).map(change) }) },
  {
    what: `${what} in an init container`,
    into: (pod) => ({ ...pod, initContainers: [change({ name: 'extra', image: 'agent' })] }),
  },
];
const inContext = (what: string, fields: Json): readonly Violating[] =>
  inContainer(what, (container) => ({
    ...container,
    securityContext: { ...(container.securityContext as Json | undefined), ...fields },
  }));
const inPod = (what: string, fields: Json): Violating => ({ what, into: (pod) => ({ ...pod, ...fields }) });
const inPodContext = (what: string, fields: Json): Violating => ({
  what,
  into: (pod) => ({
    ...pod,
    // What the pod says must count: a container that says otherwise for itself would be right to win.
    containers: containersOf(pod).map(({ securityContext, ...container }) => container),
    securityContext: { ...(pod.securityContext as Json | undefined), ...fields },
  }),
});
const volume = (type: string, source: Json): Violating => ({
  what: `a volume of type ${type}`,
  into: (pod) => ({ ...pod, volumes: [...(pod.volumes as readonly Json[]), { name: 'extra', [type]: source }] }),
});
const elsewhere = { httpGet: { host: '169.254.169.254', path: '/', port: 80 } };

/** Every rule of the standard that a field of an Agent can break. */
export const violating: readonly Violating[] = [
  inPod('the host network', { hostNetwork: true }),
  inPod("the host's processes", { hostPID: true, shareProcessNamespace: false }),
  inPod("the host's IPC", { hostIPC: true }),
  volume('hostPath', { path: '/' }),
  volume('nfs', { server: 'nfs.test', path: '/' }),
  volume('iscsi', { targetPortal: '10.0.0.1:3260', iqn: 'iqn.2026-01.test:a', lun: 0 }),
  inPodContext('a pod that may be root', { runAsNonRoot: false }),
  inPodContext('root as the user of the pod', { runAsUser: 0 }),
  inPodContext('no seccomp for the pod', { seccompProfile: { type: 'Unconfined' } }),
  inPodContext('no AppArmor for the pod', { appArmorProfile: { type: 'Unconfined' } }),
  inPodContext('an SELinux user', { seLinuxOptions: { user: 'system_u' } }),
  inPodContext('an unsafe sysctl', { sysctls: [{ name: 'vm.swappiness', value: '1' }] }),
  ...inContext('privilege', { privileged: true, allowPrivilegeEscalation: true }),
  ...inContext('escalation', { allowPrivilegeEscalation: true }),
  ...inContext('a capability', { capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } }),
  ...inContext('capabilities kept', { capabilities: { drop: ['CHOWN'] } }),
  ...inContext('root as the user', { runAsUser: 0 }),
  ...inContext('perhaps root', { runAsNonRoot: false }),
  ...inContext('no seccomp', { seccompProfile: { type: 'Unconfined' } }),
  ...inContext('no AppArmor', { appArmorProfile: { type: 'Unconfined' } }),
  ...inContext('an SELinux type', { seLinuxOptions: { type: 'spc_t' } }),
  ...inContainer('a host port', (one) => ({ ...one, ports: [{ containerPort: 80, hostPort: 80 }] })),
  {
    what: 'a probe of another host',
    into: (pod) => ({ ...pod, containers: containersOf(pod).map((one) => ({ ...one, livenessProbe: elsewhere })) }),
  },
  {
    what: 'a hook on another host',
    into: (pod) => ({
      ...pod,
      containers: containersOf(pod).map((one) => ({ ...one, lifecycle: { preStop: elsewhere } })),
    }),
  },
];

/** Specs with one to three violations, and what they are. */
export const violatingAgents: fc.Arbitrary<{ readonly spec: AgentSpec; readonly what: readonly string[] }> = fc
  .tuple(
    template,
    fc.uniqueArray(fc.constantFrom(...violating), { minLength: 1, maxLength: 3, selector: ({ what }) => what }),
  )
  .map(([pod, some]) => ({
    spec: asTemplate(some.reduce((changed, { into }) => into(changed), pod)),
    what: some.map(({ what }) => what),
  }));

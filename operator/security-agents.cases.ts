/** An Agent that asks for more than it may have: refused when it is made, or shown with this reason and without a pod. */
export type AgentAttack = {
  readonly what: string;
  readonly wins: string;
  readonly spec: object;
  readonly by: 'schema' | 'NotAllowed' | 'Pod Security' | 'policy' | 'no such account';
};

const image = 'registry.test/agent:1';
const templated = (spec: object, metadata: object = {}) => ({
  template: { metadata, spec: { containers: [{ name: 'agent', image }], ...spec } },
});
const contained = (securityContext: object, rest: object = {}) =>
  templated({ containers: [{ name: 'agent', image, securityContext, ...rest }] });
const elsewhere = (kind: 'podAffinity' | 'podAntiAffinity', term: object) => ({
  image,
  affinity: {
    [kind]: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', ...term }] },
  },
});

export const agentAttacks: readonly AgentAttack[] = [
  { what: 'the runtime class runc', wins: 'no sandbox', spec: { image, runtimeClassName: 'runc' }, by: 'NotAllowed' },
  { what: 'an empty runtime class', wins: "the node's default", spec: { image, runtimeClassName: '' }, by: 'schema' },
  {
    what: 'a template with its own runtime class',
    wins: 'no sandbox',
    spec: templated({ runtimeClassName: 'runc' }),
    by: 'schema',
  },
  {
    what: 'a template with our labels',
    wins: 'to pass for a pod of another tenant',
    spec: templated({}, { labels: { 'openos.dev/tenant': 'victim' } }),
    by: 'schema',
  },
  {
    what: 'a template with our annotations',
    wins: "another Agent's trace",
    spec: templated({}, { annotations: { 'openos.dev/traceparent': '00-0-0-00' } }),
    by: 'schema',
  },
  {
    what: 'a host path',
    wins: "the node's disk",
    spec: templated({ volumes: [{ name: 'root', hostPath: { path: '/' } }] }),
    by: 'Pod Security',
  },
  {
    what: 'a host path, in the short form',
    wins: "the node's disk",
    spec: { image, volumes: [{ name: 'root', hostPath: { path: '/' } }] },
    by: 'Pod Security',
  },
  ...['hostNetwork', 'hostPID', 'hostIPC'].map(
    (field): AgentAttack => ({
      what: field,
      wins: 'a namespace of the node',
      spec: templated({ [field]: true }),
      by: 'Pod Security',
    }),
  ),
  {
    what: 'privileged',
    wins: 'the node',
    spec: contained({ privileged: true, allowPrivilegeEscalation: true }),
    by: 'Pod Security',
  },
  {
    what: 'CAP_SYS_ADMIN',
    wins: 'the node',
    spec: contained({ capabilities: { add: ['SYS_ADMIN'] } }),
    by: 'Pod Security',
  },
  {
    what: 'capabilities kept',
    wins: 'root inside',
    spec: contained({ capabilities: { drop: [] } }),
    by: 'Pod Security',
  },
  {
    what: 'privilege escalation',
    wins: 'root inside',
    spec: contained({ allowPrivilegeEscalation: true }),
    by: 'Pod Security',
  },
  { what: 'root', wins: 'root inside', spec: { image, securityContext: { runAsUser: 0 } }, by: 'Pod Security' },
  {
    what: 'perhaps root',
    wins: 'root inside',
    spec: { image, securityContext: { runAsNonRoot: false } },
    by: 'Pod Security',
  },
  {
    what: 'no seccomp',
    wins: 'more system calls',
    spec: { image, securityContext: { seccompProfile: { type: 'Unconfined' } } },
    by: 'Pod Security',
  },
  {
    what: 'an unmasked /proc',
    wins: "the node's /proc",
    spec: contained({ procMount: 'Unmasked' }),
    by: 'schema',
  },
  {
    what: 'a host port',
    wins: 'a port of the node',
    spec: { image, ports: [{ containerPort: 80, hostPort: 80 }] },
    by: 'Pod Security',
  },
  {
    what: 'an unsafe sysctl',
    wins: "the node's kernel",
    spec: { image, securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] } },
    by: 'Pod Security',
  },
  {
    what: 'a probe of another host',
    wins: 'requests sent by the node',
    spec: { image, livenessProbe: { httpGet: { host: '169.254.169.254', path: '/', port: 80 } } },
    by: 'Pod Security',
  },
  {
    what: 'an init container that is privileged',
    wins: 'the node',
    spec: templated({
      initContainers: [{ name: 'i', image, securityContext: { privileged: true, allowPrivilegeEscalation: true } }],
    }),
    by: 'Pod Security',
  },
  {
    what: 'settings of the sandbox by annotation',
    wins: 'a sandbox that shares the network of the node',
    spec: templated({}, { annotations: { 'dev.gvisor.flag.network': 'host' } }),
    by: 'policy',
  },
  {
    what: 'a device of the node by annotation',
    wins: 'hardware that nobody gave it',
    spec: templated({}, { annotations: { 'cdi.k8s.io/agent': 'vendor.test/gpu=all' } }),
    by: 'policy',
  },
  {
    what: "the cluster's own priority",
    wins: 'the places of others, the DNS among them',
    spec: { image, priorityClassName: 'system-node-critical' },
    by: 'NotAllowed',
  },
  {
    what: 'anti-affinity to the pods of all namespaces',
    wins: 'a node that is closed to other tenants',
    spec: elsewhere('podAntiAffinity', { namespaceSelector: {}, labelSelector: {} }),
    by: 'policy',
  },
  {
    what: "affinity to another tenant's pods",
    wins: 'the node they are on',
    spec: elsewhere('podAffinity', { namespaces: ['victim'], labelSelector: {} }),
    by: 'policy',
  },
  {
    what: 'an image from elsewhere',
    wins: 'a program nobody looked at',
    spec: { image: 'evil.test/agent' },
    by: 'NotAllowed',
  },
  {
    what: "another tenant's ServiceAccount",
    wins: 'its rights',
    spec: { image, serviceAccountName: 'robot-of-victim', automountServiceAccountToken: true },
    by: 'no such account',
  },
];

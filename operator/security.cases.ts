/**
 * What somebody with the most rights a tenant can have tries against the cluster, and what has to stop it. Two tenants,
 * `acme` (the attacker's) and `victim`, each with a namespace of its name.
 */

/** What refuses: RBAC, one of the chart's admission policies, the CRD's schema. */
export type Layer = 'rights' | 'policy' | 'schema';

/** One request that has to be refused. */
export type Attack = {
  readonly what: string;
  readonly wins: string;
  readonly by: Layer;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Nobody can try it dry: the administrator's dry run does not show that the request is well-formed. */
  readonly noDryRun?: true;
};

/** Objects that exist when the attacks begin. */
export type Targets = {
  /** A pod of an Agent of acme, and one of victim. */
  readonly ownPod: string;
  readonly victimPod: string;
  readonly ownPoolUid: string;
  readonly victimPoolUid: string;
  /** A member of acme's own pool. */
  readonly member: string;
};

const core = (namespace: string, rest: string) => `/api/v1/namespaces/${namespace}/${rest}`;
const named = (group: string, namespace: string, rest: string) => `/apis/${group}/namespaces/${namespace}/${rest}`;
const own = (namespace: string, rest: string) => named('openos.dev/v1alpha1', namespace, rest);
const rbac = (rest: string, namespace = 'acme') => named('rbac.authorization.k8s.io/v1', namespace, rest);
const networking = (rest: string) => named('networking.k8s.io/v1', 'acme', rest);
const cluster = (group: string, rest: string) => `/apis/${group}/${rest}`;
const rbacGroup = 'rbac.authorization.k8s.io';

type Wish = Omit<Attack, 'method' | 'path' | 'by' | 'body' | 'contentType'> & { readonly by?: Layer };

const get = (path: string, wish: Wish): Attack => ({ by: 'rights', ...wish, method: 'GET', path });
const remove = (path: string, wish: Wish): Attack => ({ by: 'rights', ...wish, method: 'DELETE', path });
const create = (path: string, body: object, wish: Wish): Attack => ({
  by: 'rights',
  ...wish,
  method: 'POST',
  path,
  body,
});
const merge = (path: string, body: object, wish: Wish): Attack => ({
  by: 'rights',
  ...wish,
  method: 'PATCH',
  path,
  body,
  contentType: 'application/merge-patch+json',
});
const jsonPatch = (path: string, body: readonly object[], wish: Wish): Attack => ({
  ...merge(path, body, wish),
  contentType: 'application/json-patch+json',
});

const restricted = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};
const container = { name: 'c', image: 'registry.test/agent:1', securityContext: restricted };

export function aPod(namespace: string, spec: object = {}, metadata: object = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'intruder', namespace, ...metadata },
    spec: { runtimeClassName: 'gvisor', containers: [container], ...spec },
  };
}

const podTemplate = { metadata: { labels: { app: 'x' } }, spec: { containers: [container] } };
const aService = (spec: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'gate' },
  spec: { selector: { app: 'x' }, ports: [{ port: 8443 }], ...spec },
});
const anAgent = (name: string, metadata: object = {}) => ({
  apiVersion: 'openos.dev/v1alpha1',
  kind: 'Agent',
  metadata: { name, ...metadata },
  spec: { image: 'registry.test/agent:1' },
});
const aClaim = (metadata: object) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'data-own', ...metadata },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
});
const poolOwner = (uid: string) => ({
  apiVersion: 'openos.dev/v1alpha1',
  kind: 'AgentPool',
  name: 'pool',
  uid,
  controller: true,
});
const aBinding = (role: string, kind = 'ClusterRole') => ({
  apiVersion: `${rbacGroup}/v1`,
  kind: 'RoleBinding',
  metadata: { name: 'ladder' },
  roleRef: { apiGroup: rbacGroup, kind, name: role },
  subjects: [{ kind: 'ServiceAccount', name: 'olga', namespace: 'acme' }],
});
const aRole = (resource: string, verbs: readonly string[], group = '') => ({
  apiVersion: `${rbacGroup}/v1`,
  kind: 'Role',
  metadata: { name: 'ladder' },
  rules: [{ apiGroups: [group], resources: [resource], verbs }],
});
const tokenRequest = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
const openPolicy = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'open' },
  spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'], ingress: [{}], egress: [{}] },
};

/** Whose a namespace is and what bounds it. */
const boundaries = (): readonly Attack[] => [
  merge(
    '/api/v1/namespaces/acme',
    { metadata: { labels: { 'openos.dev/tenant': 'victim' } } },
    {
      what: 'relabel the namespace to another tenant',
      wins: 'the rights and quota of another tenant',
    },
  ),
  merge(
    '/api/v1/namespaces/acme',
    { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } } },
    {
      what: 'lower Pod Security of the namespace',
      wins: 'privileged pods',
    },
  ),
  merge(
    '/api/v1/namespaces/acme',
    { metadata: { annotations: { 'openos.dev/allowed-runtime-classes': 'runc' } } },
    {
      what: 'widen the list of runtime classes',
      wins: 'pods without a sandbox',
    },
  ),
  remove('/api/v1/namespaces/acme', {
    what: 'delete the namespace',
    wins: 'a new one without bounds',
  }),
  create(
    '/api/v1/namespaces',
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'annex' } },
    {
      what: 'make a namespace',
      wins: 'room outside of every bound',
    },
  ),
  create(networking('networkpolicies'), openPolicy, {
    what: 'add a permissive NetworkPolicy',
    wins: 'every address: policies add up',
  }),
  remove(networking('networkpolicies/openos-default-deny'), {
    what: 'delete the default-deny NetworkPolicy',
    wins: 'every address',
  }),
  merge(
    core('acme', 'resourcequotas/openos-quota'),
    { spec: { hard: { pods: '10000' } } },
    {
      what: 'edit the quota',
      wins: 'resources of others',
    },
  ),
  remove(core('acme', 'resourcequotas/openos-quota'), { what: 'delete the quota', wins: 'resources of others' }),
  merge(
    core('acme', 'limitranges/openos-limits'),
    { spec: { limits: [] } },
    {
      what: 'edit the LimitRange',
      wins: 'containers without limits',
    },
  ),
  merge(
    cluster('openos.dev/v1alpha1', 'tenants/acme'),
    { spec: { quota: { agents: 9999 } } },
    {
      what: 'edit the own Tenant',
      wins: 'everything a Tenant can allow',
    },
  ),
  merge(
    cluster('openos.dev/v1alpha1', 'tenants/acme/status'),
    { status: { namespaces: [{ name: 'victim', ready: true }] } },
    { what: "forge the Tenant's status", wins: 'the namespace of another tenant' },
  ),
  create(
    cluster('openos.dev/v1alpha1', 'tenants'),
    {
      apiVersion: 'openos.dev/v1alpha1',
      kind: 'Tenant',
      metadata: { name: 'shadow' },
      spec: { namespaces: [{ name: 'victim' }] },
    },
    { what: 'make a Tenant', wins: 'namespaces at will' },
  ),
  get(cluster('openos.dev/v1alpha1', 'tenants'), { what: 'read the Tenants', wins: 'who else is there' }),
];

/** Pods that OpenOS did not make, and its own bent. */
const pods = ({ ownPod, victimPod }: Targets): readonly Attack[] => [
  create(core('acme', 'pods'), aPod('acme'), { what: 'make a pod by hand', wins: 'a program outside of the record' }),
  create(core('victim', 'pods'), aPod('victim'), {
    what: "make a pod in another tenant's namespace",
    wins: 'its network and accounts',
  }),
  create(
    named('apps/v1', 'acme', 'deployments'),
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'd' },
      spec: { selector: { matchLabels: { app: 'x' } }, template: podTemplate },
    },
    { what: 'make a Deployment', wins: 'pods that no Agent answers for' },
  ),
  create(
    named('batch/v1', 'acme', 'jobs'),
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'j' },
      spec: { template: { spec: { ...podTemplate.spec, restartPolicy: 'Never' } } },
    },
    { what: 'make a Job', wins: 'pods that no Agent answers for' },
  ),
  jsonPatch(core('acme', `pods/${ownPod}`), [{ op: 'remove', path: '/metadata/ownerReferences' }], {
    what: "take an Agent's pod from its owner",
    wins: 'a pod that outlives its Agent and its quota',
  }),
  merge(
    core('acme', `pods/${ownPod}`),
    { metadata: { labels: { 'openos.dev/agent-uid': 'other' } } },
    {
      what: "spoof the label that names a pod's Agent",
      wins: 'a pod the operator no longer sees',
    },
  ),
  merge(
    core('acme', `pods/${ownPod}`),
    { metadata: { finalizers: ['acme.test/never'] } },
    {
      what: "put a finalizer on an Agent's pod",
      wins: 'an Agent that can never end',
    },
  ),
  merge(
    core('acme', `pods/${ownPod}/ephemeralcontainers`),
    { spec: { ephemeralContainers: [{ ...container, name: 'debug' }] } },
    { what: 'add an ephemeral container', wins: 'another image in the pod', noDryRun: true },
  ),
  merge(
    core('acme', `pods/${ownPod}/resize`),
    { spec: { containers: [{ name: 'agent', resources: { requests: { cpu: '4' } } }] } },
    { what: 'resize a pod in place', wins: 'more than was admitted', noDryRun: true },
  ),
  merge(
    core('acme', `pods/${ownPod}/status`),
    { status: { phase: 'Succeeded' } },
    {
      what: "forge a pod's status",
      wins: 'an Agent that is told Completed',
    },
  ),
  create(
    core('acme', `pods/${ownPod}/binding`),
    {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: ownPod },
      target: { apiVersion: 'v1', kind: 'Node', name: 'fake-0' },
    },
    { what: 'bind a pod to a node', wins: 'a node that is not for tenants', noDryRun: true },
  ),
  get(core('acme', `pods/${ownPod}/attach`), {
    what: 'attach to a container',
    wins: 'more than exec gives',
    noDryRun: true,
  }),
  get(core('victim', `pods/${victimPod}/exec?command=id`), {
    what: "exec in another tenant's pod",
    wins: 'its secrets',
    noDryRun: true,
  }),
  create(
    core('victim', `pods/${victimPod}/portforward`),
    {},
    {
      what: "forward a port of another tenant's pod",
      wins: 'its services',
      noDryRun: true,
    },
  ),
  remove(core('victim', `pods/${victimPod}`), { what: "delete another tenant's pod", wins: 'its outage' }),
];

/** Names, owners and reports of Agents. */
const identities = ({ ownPoolUid, victimPoolUid, member }: Targets): readonly Attack[] => [
  create(core('acme', 'persistentvolumeclaims'), aClaim({ annotations: { 'openos.dev/retained-for': 'own' } }), {
    what: 'mark a volume claim as kept for an Agent',
    wins: 'a claim the operator takes for its own',
    by: 'policy',
  }),
  create(own('victim', 'agents'), anAgent('intruder'), {
    what: "make an Agent in another tenant's namespace",
    wins: 'its Secrets and ServiceAccounts',
  }),
  create(own('default', 'agents'), anAgent('intruder'), {
    what: 'make an Agent where no tenant is',
    wins: 'a program without a Tenant',
  }),
  remove(own('victim', 'agents/target'), { what: "delete another tenant's Agent", wins: 'its outage' }),
  create(own('acme', 'agents'), anAgent('changeling', { ownerReferences: [poolOwner(ownPoolUid)] }), {
    what: 'forge a member of the own pool',
    wins: 'a pool that deletes the real ones',
    by: 'policy',
  }),
  create(own('acme', 'agents'), anAgent('cuckoo', { ownerReferences: [poolOwner(victimPoolUid)] }), {
    what: "forge a member of another tenant's pool",
    wins: 'a pool of theirs that shrinks',
    by: 'policy',
  }),
  jsonPatch(own('acme', `agents/${member}`), [{ op: 'remove', path: '/metadata/ownerReferences' }], {
    what: 'take an Agent from its pool',
    wins: 'more Agents than replicas',
    by: 'policy',
  }),
  merge(
    own('acme', 'agents/own/status'),
    { status: { phase: 'Ready', tenant: 'victim' } },
    {
      what: "forge an Agent's status",
      wins: 'a Ready that was never told; a bill for another',
    },
  ),
  merge(
    own('acme', 'agentpools/pool/status'),
    { status: { readyReplicas: 100 } },
    {
      what: "forge a pool's status",
      wins: 'an autoscaler that is lied to',
    },
  ),
  create(own('acme', 'agents'), anAgent('a.b'), {
    what: 'name an Agent with a dot',
    wins: 'another token in a subject or host name',
    by: 'schema',
  }),
  create(
    own('acme', 'agentpools'),
    { ...anAgent('*'), kind: 'AgentPool', spec: { template: { spec: anAgent('').spec } } },
    {
      what: 'name a pool *',
      wins: 'a wildcard in a subject',
      by: 'schema',
    },
  ),
  remove(core('acme', 'events/any'), { what: "delete the operator's Events", wins: 'no trace', noDryRun: true }),
  create(
    named('events.k8s.io/v1', 'acme', 'events'),
    {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'forged', namespace: 'acme' },
      reportingController: 'openos.dev/controller',
      reportingInstance: 'openos',
      action: 'Forge',
      reason: 'AgentReady',
      type: 'Normal',
      eventTime: '2026-01-01T00:00:00.000000Z',
      regarding: { kind: 'Agent', name: 'own', namespace: 'acme' },
    },
    { what: "write Events in the operator's name", wins: 'a history that did not happen' },
  ),
];

/** What others keep to themselves, and more rights. */
const access = (): readonly Attack[] => [
  get(core('victim', 'secrets/pull'), { what: "read another tenant's pull secret", wins: 'its registry' }),
  get('/api/v1/secrets', { what: 'list the Secrets of the cluster', wins: 'every credential' }),
  get(core('openos-system', 'secrets'), { what: "list OpenOS's Secrets", wins: 'the database and the event stream' }),
  get(core('victim', 'configmaps'), { what: "list another tenant's ConfigMaps", wins: 'its settings' }),
  create(core('openos-system', 'serviceaccounts/openos-controller/token'), tokenRequest, {
    what: "ask for a token of the operator's account",
    wins: 'everything the operator may do',
  }),
  create(core('victim', 'serviceaccounts/default/token'), tokenRequest, {
    what: "ask for a token of another tenant's account",
    wins: 'its rights',
  }),
  {
    ...get('/api/v1/nodes', {
      what: 'impersonate the operator',
      wins: 'everything the operator may do',
      noDryRun: true,
    }),
    headers: { 'impersonate-user': 'system:serviceaccount:openos-system:openos-controller' },
  },
  {
    ...get('/api/v1/nodes', { what: 'impersonate system:masters', wins: 'the cluster', noDryRun: true }),
    headers: { 'impersonate-user': 'root', 'impersonate-group': 'system:masters' },
  },
  ...['cluster-admin', 'admin', 'edit', 'openos-controller'].map((role) =>
    create(rbac('rolebindings'), aBinding(role), { what: `bind oneself to ${role}`, wins: 'what no tenant role has' }),
  ),
  create(rbac('roles'), aRole('networkpolicies', ['create'], 'networking.k8s.io'), {
    what: 'make a Role with more than one has',
    wins: 'network policies of its own',
  }),
  create(rbac('roles'), aRole('*', ['*'], '*'), { what: 'make a Role with everything', wins: 'the namespace' }),
  create(rbac('rolebindings', 'victim'), aBinding('openos-tenant-viewer'), {
    what: "bind oneself in another tenant's namespace",
    wins: 'its Agents',
  }),
  merge(
    cluster(`${rbacGroup}/v1`, 'clusterroles/openos-tenant-owner'),
    { rules: [] },
    {
      what: 'edit a tenant role',
      wins: 'any right, in every tenant',
    },
  ),
  create(
    cluster(`${rbacGroup}/v1`, 'clusterrolebindings'),
    { ...aBinding('cluster-admin'), kind: 'ClusterRoleBinding' },
    { what: 'bind oneself in the whole cluster', wins: 'the cluster' },
  ),
  merge(
    named('coordination.k8s.io/v1', 'openos-system', 'leases/openos-controller'),
    { spec: { holderIdentity: 'me' } },
    {
      what: "take the operator's Lease",
      wins: 'no operator at all',
    },
  ),
];

/** The cluster around it, and traffic. */
const surroundings = (): readonly Attack[] => [
  merge(
    cluster('apiextensions.k8s.io/v1', 'customresourcedefinitions/agents.openos.dev'),
    { spec: { conversion: { strategy: 'None' } } },
    { what: 'edit a CRD', wins: 'a schema without rules' },
  ),
  remove(cluster('apiextensions.k8s.io/v1', 'customresourcedefinitions/agents.openos.dev'), {
    what: 'delete a CRD',
    wins: 'every Agent of the cluster gone',
  }),
  remove(cluster('admissionregistration.k8s.io/v1', 'validatingadmissionpolicybindings/openos-tenant-pods'), {
    what: 'unbind an admission policy',
    wins: 'pods without a sandbox',
  }),
  create(
    cluster('node.k8s.io/v1', 'runtimeclasses'),
    { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'gvisor-2' }, handler: 'runc' },
    { what: 'make a RuntimeClass', wins: 'runc under another name' },
  ),
  create(
    cluster('scheduling.k8s.io/v1', 'priorityclasses'),
    { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'first' }, value: 999_999_999 },
    { what: 'make a PriorityClass', wins: 'the places of others' },
  ),
  create(
    '/api/v1/persistentvolumes',
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'root' },
      spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/' } },
    },
    { what: "make a volume of the node's disk", wins: 'the node' },
  ),
  get('/api/v1/nodes/fake-0/proxy/pods', {
    what: 'reach the kubelet through the API server',
    wins: 'every pod of the node',
    noDryRun: true,
  }),
  get('/api/v1/nodes', { what: 'list the nodes', wins: 'where to aim' }),
  create(core('acme', 'services'), aService({ type: 'NodePort' }), {
    what: 'a Service of type NodePort',
    wins: 'a port on every node',
    by: 'policy',
  }),
  create(core('acme', 'services'), aService({ type: 'LoadBalancer' }), {
    what: 'a Service of type LoadBalancer',
    wins: 'an address of the platform, at its cost',
    by: 'policy',
  }),
  create(core('acme', 'services'), aService({ externalIPs: ['203.0.113.7'] }), {
    what: 'a Service with an external IP',
    wins: 'the traffic of other tenants to that address',
    by: 'policy',
  }),
  merge(
    core('acme', 'services/plain'),
    { spec: { type: 'NodePort' } },
    {
      what: 'make a Service a NodePort later',
      wins: 'a port on every node',
      by: 'policy',
    },
  ),
  create(
    named('discovery.k8s.io/v1', 'acme', 'endpointslices'),
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'detour', labels: { 'kubernetes.io/service-name': 'plain' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.1'] }],
      ports: [{ port: 80 }],
    },
    { what: 'point a Service at any address', wins: 'a way around the policies of others' },
  ),
];

/** Every request that has to be refused. */
export function attacks(targets: Targets): readonly Attack[] {
  return [...boundaries(), ...pods(targets), ...identities(targets), ...access(), ...surroundings()];
}

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Agent, AgentSpec } from '../../api/v1alpha1/agent.ts';
import { shortFormContainerFields, shortFormPodFields } from '../../api/v1alpha1/agent-rules.ts';
import { maxNameLength } from '../../api/v1alpha1/names.ts';
import { anAgent, traceparent } from '../../testkit/builders.ts';
import type { TenantRules } from '../tenancy.ts';
import { agentPod, podName, specHash } from './pod.ts';

const image = 'registry.test/scout:1';

const build = (agent: Agent) =>
  agentPod({ agent, tenant: 'acme', runtimeClassName: 'gvisor', startSeq: 1, traceparent });
const podOf = (spec: AgentSpec) => build(anAgent({ spec }));
const templated = (template: NonNullable<AgentSpec['template']>) => podOf({ template });
const main = (spec: AgentSpec) => podOf(spec).spec.containers[0];

describe('a spec that is silent makes a pod that', () => {
  const { spec } = podOf({ image });
  const [container] = spec.containers;

  test.each<[string, unknown, unknown]>([
    ['runs in the sandbox that was resolved', spec.runtimeClassName, 'gvisor'],
    ['runs always', spec.restartPolicy, 'Always'],
    ['gets no service-account token', spec.automountServiceAccountToken, false],
    ['learns no services by its environment', spec.enableServiceLinks, false],
    ['does not run as root', spec.securityContext?.runAsNonRoot, true],
    ['has the default seccomp profile', spec.securityContext?.seccompProfile, { type: 'RuntimeDefault' }],
    ['cannot gain privileges', container?.securityContext?.allowPrivilegeEscalation, false],
    ['has no capabilities', container?.securityContext?.capabilities, { drop: ['ALL'] }],
    ['cannot write to its image', container?.securityContext?.readOnlyRootFilesystem, true],
    ['can write to /tmp', container?.volumeMounts, [{ name: 'openos-tmp', mountPath: '/tmp' }]],
    ['keeps /tmp for itself', spec.volumes, [{ name: 'openos-tmp', emptyDir: {} }]],
    ['knows its trace', container?.env, [{ name: 'TRACEPARENT', value: traceparent }]],
    ['has one container named agent', [spec.containers.length, container?.name, container?.image], [1, 'agent', image]],
    ['has no init containers', spec.initContainers, undefined],
  ])('%s', (_name, actual, expected) => {
    expect(actual).toEqual(expected);
  });
});

describe("the user's word stands:", () => {
  test('the service-account token is given when it is asked for', () => {
    expect(podOf({ image, automountServiceAccountToken: true }).spec.automountServiceAccountToken).toBe(true);
  });

  test('a pod security context adds to what we fill in, field by field', () => {
    const { securityContext } = podOf({ image, securityContext: { runAsUser: 1000, fsGroup: 7 } }).spec;
    expect(securityContext).toEqual({
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
      runAsUser: 1000,
      fsGroup: 7,
    });
  });

  test('a pod security context overrides what we fill in; admission judges it', () => {
    const { securityContext } = podOf({ image, securityContext: { runAsNonRoot: false } }).spec;
    expect(securityContext?.runAsNonRoot).toBe(false);
  });

  test('a capability that is added does not give the others back', () => {
    const containers = [{ name: 'agent', image, securityContext: { capabilities: { add: ['NET_BIND_SERVICE'] } } }];
    const [container] = templated({ spec: { containers } }).spec.containers;
    expect(container?.securityContext?.capabilities).toEqual({ drop: ['ALL'], add: ['NET_BIND_SERVICE'] });
  });

  test('a writable root needs no /tmp of ours', () => {
    const containers = [{ name: 'agent', image, securityContext: { readOnlyRootFilesystem: false } }];
    const { spec } = templated({ spec: { containers } });
    expect(spec.containers[0]?.volumeMounts).toBeUndefined();
    expect(spec.volumes).toBeUndefined();
  });

  test.each(['/tmp', '/tmp/'])('a mount of their own at %s stays the only one', (mountPath) => {
    const spec = {
      image,
      volumes: [{ name: 'scratch', emptyDir: {} }],
      volumeMounts: [{ name: 'scratch', mountPath }],
    };
    expect(main(spec)?.volumeMounts).toEqual([{ name: 'scratch', mountPath }]);
    expect(podOf(spec).spec.volumes).toEqual([{ name: 'scratch', emptyDir: {} }]);
  });

  test('a mount elsewhere stays, with /tmp beside it', () => {
    const volumeMounts = [{ name: 'data', mountPath: '/tmp/data' }];
    const mounts = main({ image, volumes: [{ name: 'data', emptyDir: {} }], volumeMounts })?.volumeMounts;
    expect(mounts).toEqual([...volumeMounts, { name: 'openos-tmp', mountPath: '/tmp' }]);
  });

  test('a TRACEPARENT of their own stays', () => {
    expect(main({ image, env: [{ name: 'TRACEPARENT', value: 'mine' }] })?.env).toEqual([
      { name: 'TRACEPARENT', value: 'mine' },
    ]);
  });

  test('other variables come first, as an entry may refer to an earlier one', () => {
    const env = main({ image, env: [{ name: 'A', value: '1' }] })?.env;
    expect(env?.map((entry) => entry.name)).toEqual(['A', 'TRACEPARENT']);
  });
});

describe('the short form', () => {
  test('passes every field of the contract on', () => {
    const spec = {
      image,
      command: ['run'],
      args: ['--fast'],
      env: [{ name: 'A', value: '1' }],
      envFrom: [{ configMapRef: { name: 'settings' } }],
      ports: [{ containerPort: 8080 }],
      resources: { requests: { cpu: '100m' } },
      livenessProbe: { exec: { command: ['live'] } },
      readinessProbe: { exec: { command: ['ready'] } },
      startupProbe: { exec: { command: ['started'] } },
      volumeMounts: [{ name: 'data', mountPath: '/data' }],
      workingDir: '/work',
      volumes: [{ name: 'data', emptyDir: {} }],
      serviceAccountName: 'robot',
      automountServiceAccountToken: true,
      imagePullSecrets: [{ name: 'pull' }],
      priorityClassName: 'high',
      nodeSelector: { disk: 'fast' },
      tolerations: [{ key: 'gpu', operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      topologySpreadConstraints: [],
      schedulerName: 'other',
      terminationGracePeriodSeconds: 5,
      securityContext: { runAsUser: 7 },
    } as const satisfies AgentSpec;
    const pod = podOf(spec).spec;
    for (const field of shortFormContainerFields) expect(pod.containers[0]).toHaveProperty(field);
    for (const field of shortFormPodFields) expect(pod).toHaveProperty(field);
    expect(pod.containers[0]).toMatchObject({
      command: ['run'],
      args: ['--fast'],
      workingDir: '/work',
      resources: spec.resources,
    });
    expect(pod).toMatchObject({
      serviceAccountName: 'robot',
      schedulerName: 'other',
      terminationGracePeriodSeconds: 5,
    });
  });

  test('puts no field of steering into the pod', () => {
    const pod = podOf({ image, startupDeadlineSeconds: 9, events: { readinessGate: 'BestEffort' } });
    expect(pod).toEqual(podOf({ image }));
  });
});

describe('the template form', () => {
  const template = {
    metadata: {
      labels: { app: 'scout', 'openos.dev/tenant': 'forged', 'app.kubernetes.io/managed-by': 'me' },
      annotations: { note: 'kept', 'openos.dev/spec-hash': 'forged' },
    },
    spec: {
      containers: [
        { name: 'agent', image },
        { name: 'sidecar', image },
      ],
      initContainers: [{ name: 'prepare', image }],
      enableServiceLinks: true,
    },
  };
  const pod = templated(template);

  test('hardens every container, init containers included', () => {
    for (const container of [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]) {
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
      });
      expect(container.env).toEqual([{ name: 'TRACEPARENT', value: traceparent }]);
      expect(container.volumeMounts).toEqual([{ name: 'openos-tmp', mountPath: '/tmp' }]);
    }
    expect(pod.spec.volumes).toHaveLength(1);
    expect(pod.spec.containers.map((container) => container.name)).toEqual(['agent', 'sidecar']);
  });

  test('keeps what the user chose of the pod', () => {
    expect(pod.spec.enableServiceLinks).toBe(true);
  });

  test('carries the label of its pool when a pool controls its Agent, and no label a user made up', () => {
    const labelled = { labels: { 'openos.dev/pool': 'crew' } };
    const owner = {
      apiVersion: 'openos.dev/v1alpha1',
      kind: 'AgentPool',
      name: 'crew',
      uid: 'pool-uid',
      controller: true,
    };
    const poolOf = (agent: Agent) =>
      agentPod({ agent, tenant: 'acme', runtimeClassName: 'gvisor', startSeq: 1, traceparent }).metadata.labels?.[
        'openos.dev/pool'
      ];
    expect(poolOf(anAgent({ ...labelled, ownerReferences: [owner] }))).toBe('crew');
    expect(poolOf(anAgent(labelled))).toBeUndefined();
  });

  test("passes labels and annotations on, but none under the operator's prefix", () => {
    expect(pod.metadata.labels).toEqual({
      app: 'scout',
      'app.kubernetes.io/managed-by': 'openos',
      'openos.dev/agent': 'scout',
      'openos.dev/agent-uid': 'agent-uid',
      'openos.dev/tenant': 'acme',
    });
    expect(pod.metadata.annotations).toEqual({
      note: 'kept',
      'openos.dev/traceparent': traceparent,
      'openos.dev/spec-hash': specHash({ template }),
    });
  });
});

test('the pod stands in the namespace of its Agent and is controlled by its UID', () => {
  const { metadata } = build(anAgent({ namespace: 'lab', name: 'probe', uid: 'u-7' }));
  expect(metadata.namespace).toBe('lab');
  expect(metadata.ownerReferences).toEqual([
    {
      apiVersion: 'openos.dev/v1alpha1',
      kind: 'Agent',
      name: 'probe',
      uid: 'u-7',
      controller: true,
      blockOwnerDeletion: false,
    },
  ]);
});

describe('the name of a pod', () => {
  test('fits a label and a host name for the longest Agent name', () => {
    expect(podName('a'.repeat(maxNameLength.Agent), 'some-uid', 1_000_000)).toMatch(
      /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])$/,
    );
  });

  test('is the same for the same attempt and never again for another, nor for a namesake', () => {
    const attempts = fc.uniqueArray(fc.tuple(fc.uuid(), fc.integer({ min: 1 })), {
      selector: (pair) => pair.join('/'),
    });
    fc.assert(
      fc.property(attempts, (pairs) => {
        const names = pairs.map(([uid, seq]) => podName('scout', uid, seq));
        expect(new Set(names).size).toBe(pairs.length);
        expect(pairs.map(([uid, seq]) => podName('scout', uid, seq))).toEqual(names);
      }),
    );
  });
});

describe('the hash of a spec', () => {
  const spec: AgentSpec = { image, env: [{ name: 'A', value: '1' }], nodeSelector: { a: '1', b: '2' } };

  test('does not depend on the order of keys', () => {
    const reordered: AgentSpec = { nodeSelector: { b: '2', a: '1' }, env: [{ value: '1', name: 'A' }], image };
    expect(specHash(reordered)).toBe(specHash(spec));
  });

  test('does not depend on the order of keys, whatever the spec', () => {
    const tree = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }));
    fc.assert(
      fc.property(tree, (value) => {
        const some = { image, nodeSelector: value } as unknown as AgentSpec;
        expect(specHash(reversed(some))).toBe(specHash(some));
      }),
    );
  });

  test.each<[string, Partial<AgentSpec>]>([
    ['operatingMode', { operatingMode: 'Running' }],
    ['recovery', { recovery: { backoffLimit: 1 } }],
    ['startupDeadlineSeconds', { startupDeadlineSeconds: 5 }],
    ['lifecycle', { lifecycle: { ttlSecondsAfterFinished: 1 } }],
    ['events', { events: { readinessGate: 'BestEffort' } }],
    ['a network policy of somebody else', { networkPolicy: { management: 'Unmanaged' } }],
    ['persistentVolumeClaimRetentionPolicy', { persistentVolumeClaimRetentionPolicy: {} }],
  ])('does not depend on %s, which steers the operator and not the pod', (_field, steering) => {
    expect(specHash({ ...spec, ...steering })).toBe(specHash(spec));
  });

  test('does not depend on what its own network policy says: that changes without the pod', () => {
    const other = { ...spec, networkPolicy: { egress: [{ ports: [{ port: 53 }] }] } };
    expect(specHash(other)).toBe(specHash({ ...spec, networkPolicy: {} }));
  });

  test.each<[string, AgentSpec]>([
    ['the image', { ...spec, image: 'registry.test/scout:2' }],
    [
      'the order of a list',
      {
        ...spec,
        env: [
          { name: 'B', value: '2' },
          { name: 'A', value: '1' },
        ],
      },
    ],
    ['a network policy of its own', { ...spec, networkPolicy: {} }],
    ['the runtime class', { ...spec, runtimeClassName: 'kata' }],
    ['a field that was left out', { ...spec, workingDir: '/' }],
    ['the template', { template: { spec: { containers: [{ name: 'agent', image }] } } }],
  ])('depends on %s', (_field, other) => {
    expect(specHash(other)).not.toBe(specHash(spec));
  });
});

/** The same value with the keys of every object in reverse order. */
function reversed<T>(value: T): T {
  if (Array.isArray(value)) return value.map(reversed) as T;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, part]) => [key, reversed(part)]),
  ) as T;
}

describe('where the Tenant wants its pods', () => {
  const placedIn = (spec: AgentSpec, placement: TenantRules) =>
    agentPod({
      agent: anAgent({ spec }),
      tenant: 'acme',
      runtimeClassName: 'gvisor',
      placement,
      startSeq: 1,
      traceparent,
    }).spec;
  const dedicated = { key: 'dedicated', operator: 'Exists' } as const;

  test('is added to where the Agent wants its own; of one label the Tenant decides', () => {
    const spec = { image, nodeSelector: { pool: 'mine', disk: 'ssd' }, tolerations: [{ key: 'own' }] };
    expect(placedIn(spec, { nodeSelector: { pool: 'agents' }, tolerations: [dedicated] })).toMatchObject({
      nodeSelector: { pool: 'agents', disk: 'ssd' },
      tolerations: [{ key: 'own' }, dedicated],
    });
  });

  test('is left open when it says nothing', () => {
    expect(placedIn({ image }, {})).not.toHaveProperty('nodeSelector');
    expect(placedIn({ image }, {})).not.toHaveProperty('tolerations');
  });
});

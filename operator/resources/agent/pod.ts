import type { V1Container, V1Pod, V1PodSpec } from '@kubernetes/client-node';
import type { Agent, AgentSpec } from '../../api/v1alpha1/agent.ts';
import { shortFormContainerFields, shortFormPodFields } from '../../api/v1alpha1/agent-rules.ts';
import type { Plain } from '../../api/v1alpha1/common.ts';
import { agentContainerName, annotations, labels } from '../../api/v1alpha1/names.ts';
import type { KubernetesObject } from '../../kernel/object.ts';
import { canonical, shortHash, withoutReserved } from '../naming.ts';
import type { TenantRules } from '../tenancy.ts';
import { claimName } from './claims.ts';
import { hasOwnRules } from './networkpolicy.ts';

type PodSpec = Plain<V1PodSpec>;
type Container = Plain<V1Container>;
type EnvVar = NonNullable<Container['env']>[number];
type VolumeMount = NonNullable<Container['volumeMounts']>[number];

export type AgentPod = KubernetesObject & { readonly spec: PodSpec };

/** Fields of an Agent's spec that steer OpenOS and not the pod: changing one never replaces the pod. */
const steering = new Set<string>([
  'operatingMode',
  'recovery',
  'startupDeadlineSeconds',
  'lifecycle',
  'events',
  'networkPolicy',
  'persistentVolumeClaimRetentionPolicy',
]);

/**
 * Identifies what of the spec makes the pod. It is taken over what the user wrote, not over the pod we
 * build, so that a new version of OpenOS never replaces a running pod by itself. Of the network policy, that there is
 * one: the label that tells cannot be changed later by whoever may not patch pods.
 */
export function specHash(spec: AgentSpec): string {
  const own = Object.entries(spec).filter(([key]) => !steering.has(key));
  const ownRules = hasOwnRules(spec) ? [['networkPolicy', 'Managed']] : [];
  return shortHash(canonical(Object.fromEntries([...own, ...ownRules])), 16);
}

/** A name no other attempt ever had: `<agent>-<hash of the UID and the row that began the attempt>`. */
export function podName(agent: string, uid: string, startSeq: number): string {
  return `${agent}-${shortHash(`${uid}/${startSeq}`, 10)}`;
}

/**
 * Whether somebody took the owner or our label off a pod of the agent with this UID. It is not mended: who sees it no
 * longer (garbage collection, our watch, network policies) may have acted on that already. It goes, and another comes.
 */
export function isDisowned({ metadata }: V1Pod, uid: string): boolean {
  const owner = metadata?.ownerReferences?.find(({ controller }) => controller === true)?.uid;
  return owner !== uid || metadata?.labels?.[labels.agentUid] !== uid;
}

export type PodInputs = {
  readonly agent: Agent;
  readonly tenant: string;
  readonly runtimeClassName: string;
  /** Where the Tenant wants its pods. */
  readonly placement?: Pick<TenantRules, 'nodeSelector' | 'tolerations'>;
  readonly startSeq: number;
  readonly traceparent: string;
};

/** The pod of one attempt: what the user asked for, restricted wherever the user was silent. */
export function agentPod({ agent, tenant, runtimeClassName, placement, startSeq, traceparent }: PodInputs): AgentPod {
  const { metadata, spec } = agent;
  const template = spec.template;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: podName(metadata.name, metadata.uid, startSeq),
      namespace: metadata.namespace,
      labels: {
        ...withoutReserved(template?.metadata?.labels),
        'app.kubernetes.io/managed-by': 'openos',
        [labels.agent]: metadata.name,
        [labels.agentUid]: metadata.uid,
        [labels.tenant]: tenant,
        ...(hasOwnRules(spec) ? { [labels.network]: 'own' } : {}),
        ...poolLabel(agent),
      },
      annotations: {
        ...withoutReserved(template?.metadata?.annotations),
        [annotations.traceparent]: traceparent,
        [annotations.specHash]: specHash(spec),
      },
      ownerReferences: [
        {
          apiVersion: agent.apiVersion,
          kind: agent.kind,
          name: metadata.name,
          uid: metadata.uid,
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    spec: {
      ...placed(hardened(withClaims(template?.spec ?? shortForm(spec), agent), traceparent), placement),
      runtimeClassName,
      restartPolicy: spec.restartPolicy ?? 'Always',
    },
  };
}

/** The Agent narrows down where it runs, within what its Tenant says: of one label, the Tenant's value counts. */
function placed(spec: PodSpec, { nodeSelector, tolerations }: NonNullable<PodInputs['placement']> = {}): PodSpec {
  return {
    ...spec,
    ...(nodeSelector === undefined ? {} : { nodeSelector: { ...spec.nodeSelector, ...nodeSelector } }),
    ...(tolerations === undefined ? {} : { tolerations: [...(spec.tolerations ?? []), ...tolerations] }),
  };
}

/** Lets an autoscaler find the pods of a pool by the selector of its scale subresource. */
function poolLabel({ metadata }: Agent): Record<string, string> {
  const pool = metadata.labels?.[labels.pool];
  const isMember = metadata.ownerReferences?.some((owner) => owner.controller === true && owner.kind === 'AgentPool');
  return pool !== undefined && isMember === true ? { [labels.pool]: pool } : {};
}

/** Each claim under the name of its template, in place of a volume of that name: as a StatefulSet does it. */
function withClaims(spec: PodSpec, { metadata, spec: { volumeClaimTemplates = [] } }: Agent): PodSpec {
  if (volumeClaimTemplates.length === 0) return spec;
  const claims = volumeClaimTemplates.map((template) => ({
    name: template.metadata.name,
    persistentVolumeClaim: { claimName: claimName(template, metadata.name) },
  }));
  const others = (spec.volumes ?? []).filter((volume) => !claims.some(({ name }) => name === volume.name));
  return { ...spec, volumes: [...others, ...claims] };
}

/** The short form: one container named `agent`, and the pod-level fields beside it. */
function shortForm(spec: AgentSpec): PodSpec {
  const container = pick(spec, ['image', ...shortFormContainerFields]);
  const pod = pick(spec, shortFormPodFields);
  return { ...pod, containers: [{ name: agentContainerName, ...container }] };
}

function pick<T extends object, K extends keyof T>(from: T, keys: readonly K[]): { [P in K]?: NonNullable<T[P]> } {
  return Object.fromEntries(keys.filter((key) => from[key] !== undefined).map((key) => [key, from[key]])) as {
    [P in K]?: NonNullable<T[P]>;
  };
}

/** Safe by default, field by field: what the user set stands (admission judges it), what is silent is restricted. */
function hardened(spec: PodSpec, traceparent: string): PodSpec {
  const tmp = 'openos-tmp';
  const containers = spec.containers.map((container) => restricted(container, tmp, traceparent));
  const initContainers = spec.initContainers?.map((container) => restricted(container, tmp, traceparent));
  const usesTmp = [...containers, ...(initContainers ?? [])].some((c) => c.volumeMounts?.some((m) => m.name === tmp));
  const volumes: NonNullable<PodSpec['volumes']> = [
    ...(spec.volumes ?? []),
    ...(usesTmp ? [{ name: tmp, emptyDir: {} }] : []),
  ];
  return {
    ...spec,
    enableServiceLinks: spec.enableServiceLinks ?? false,
    automountServiceAccountToken: spec.automountServiceAccountToken ?? false,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' }, ...spec.securityContext },
    containers,
    ...(initContainers === undefined ? {} : { initContainers }),
    ...(volumes.length === 0 ? {} : { volumes }),
  };
}

function restricted(container: Container, tmp: string, traceparent: string): Container {
  const security = {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    ...container.securityContext,
    capabilities: { drop: ['ALL'], ...container.securityContext?.capabilities },
  };
  const mounts = container.volumeMounts ?? [];
  const needsTmp = security.readOnlyRootFilesystem && !mounts.some((mount) => isTmp(mount));
  return {
    ...container,
    securityContext: security,
    env: withTrace(container.env ?? [], traceparent),
    ...(needsTmp ? { volumeMounts: [...mounts, { name: tmp, mountPath: '/tmp' }] } : {}),
  };
}

function isTmp(mount: VolumeMount): boolean {
  return mount.mountPath.replace(/\/+$/, '') === '/tmp';
}

function withTrace(env: readonly EnvVar[], traceparent: string): readonly EnvVar[] {
  if (env.some((variable) => variable.name === 'TRACEPARENT')) return env;
  return [...env, { name: 'TRACEPARENT', value: traceparent }];
}

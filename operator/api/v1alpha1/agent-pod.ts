import type {
  V1Affinity,
  V1Container,
  V1LocalObjectReference,
  V1PodSecurityContext,
  V1PodSpec,
  V1Toleration,
  V1TopologySpreadConstraint,
  V1Volume,
} from '@kubernetes/client-node';
import { z } from 'zod';
import { templateRules } from './agent-rules.ts';
import { templateMetadata } from './common.ts';
import { count, kubernetes, objectName, rules } from './kubernetes.ts';

const container = <Field extends keyof V1Container & string>(field: Field) =>
  kubernetes<V1Container[Field]>(`core.v1.Container#${field}`).optional();
const pod = <T>(field: keyof V1PodSpec & string) => kubernetes<T>(`core.v1.PodSpec#${field}`).optional();

/** The short form: its one container. */
export const containerFields = {
  image: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe('Image of the agent: the short form, a pod with one container named agent. Else write a template.'),
  command: container('command').describe('Entry point, in place of the one of the image. Not run in a shell.'),
  args: container('args').describe('Arguments of the entry point, in place of those of the image.'),
  env: container('env').describe('Environment variables.'),
  envFrom: container('envFrom').describe('Sources whose keys all become environment variables.'),
  ports: container('ports').describe(
    'Ports the agent listens on. Informational: network policies decide who gets through.',
  ),
  resources: container('resources').describe('CPU and memory requested, and their limits.'),
  livenessProbe: container('livenessProbe').describe('When it fails, the container is restarted.'),
  readinessProbe: container('readinessProbe').describe(
    'While it fails, the Agent is not Ready. Without one the Agent counts as ready as soon as its container runs.',
  ),
  startupProbe: container('startupProbe').describe('The other probes wait until this one has succeeded once.'),
  volumeMounts: container('volumeMounts').describe('Where volumes and claims appear inside the container.'),
  workingDir: z.string().max(4096).optional().describe('Working directory, in place of the one of the image.'),
};

/** The short form: the pod around the container. */
export const podFields = {
  volumes: pod<V1Volume[]>('volumes').describe('Volumes that volumeMounts can name.'),
  serviceAccountName: objectName().optional().describe('ServiceAccount the pod runs as; default when left out.'),
  automountServiceAccountToken: z
    .boolean()
    .optional()
    .describe('Whether the pod gets a token for the Kubernetes API. It gets none unless this is true.'),
  imagePullSecrets: pod<V1LocalObjectReference[]>('imagePullSecrets').describe(
    'Secrets of this namespace that hold credentials for the registry.',
  ),
  priorityClassName: objectName().optional().describe('PriorityClass of the pod; the Tenant may restrict the choice.'),
  nodeSelector: z
    .record(z.string(), z.string().max(63))
    .meta({ maxProperties: 64, 'x-kubernetes-map-type': 'atomic' })
    .optional()
    .describe('Labels a node must have.'),
  tolerations: pod<V1Toleration[]>('tolerations').describe('Taints the pod puts up with.'),
  affinity: pod<V1Affinity>('affinity').describe('Rules of attraction to nodes and other pods.'),
  topologySpreadConstraints: pod<V1TopologySpreadConstraint[]>('topologySpreadConstraints').describe(
    'How pods are spread over zones and nodes.',
  ),
  schedulerName: objectName().optional().describe('Scheduler that places the pod; default-scheduler when left out.'),
  terminationGracePeriodSeconds: count()
    .optional()
    .describe('Time between the request to stop and the kill. Default 30.'),
  securityContext: pod<V1PodSecurityContext>('securityContext').describe(
    'Security settings of the pod. What is left out is filled in to meet the restricted Pod Security Standard.',
  ),
};

/** The full form. */
export const podTemplateSchema = z
  .object({
    metadata: templateMetadata('the pod').optional(),
    spec: kubernetes<V1PodSpec>('core.v1.PodSpec').describe('The pod. Its main container should be named agent.'),
  })
  .meta(rules(...templateRules))
  .optional()
  .describe('A whole pod template: the full form, for more than one container. Else set image.');

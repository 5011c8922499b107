import type {
  V1NetworkPolicyEgressRule,
  V1NetworkPolicyIngressRule,
  V1NetworkPolicyPeer,
  V1PersistentVolumeClaimSpec,
} from '@kubernetes/client-node';
import { z } from 'zod';
import { containerFields, podFields, podTemplateSchema } from './agent-pod.ts';
import { agentSpecRules } from './agent-rules.ts';
import {
  conditionsSchema,
  type NamespacedMetadata,
  objectParser,
  observedGenerationSchema,
  type Parsed,
  type Plain,
  templateMetadata,
} from './common.ts';
import { count, kubernetes, labelName, listMap, objectName, rules, seconds, timestamp } from './kubernetes.ts';
import { AgentPhase, ConsistencyState } from './phases.ts';

/** client-node renames `from`, a reserved word elsewhere; on the wire it is `from`. */
type IngressRule = Omit<V1NetworkPolicyIngressRule, '_from'> & { from?: V1NetworkPolicyPeer[] };

/** Allowed incoming and outgoing traffic, as in a NetworkPolicy. */
export const ingressRulesSchema = kubernetes<IngressRule[]>('networking.v1.NetworkPolicySpec#ingress');
export const egressRulesSchema = kubernetes<V1NetworkPolicyEgressRule[]>('networking.v1.NetworkPolicySpec#egress');

const volumeClaimTemplateSchema = z
  .object({
    metadata: z
      .object({ name: labelName().describe('Name by which volumeMounts refer to the claim.') })
      .extend(templateMetadata('the claim').shape)
      .describe('Name, labels and annotations of the claim.'),
    spec: kubernetes<V1PersistentVolumeClaimSpec>('core.v1.PersistentVolumeClaimSpec').describe(
      'What storage is claimed.',
    ),
  })
  .describe('One claim that lives as long as the Agent.');

const networkPolicySchema = z
  .object({
    management: z
      .enum(['Managed', 'Unmanaged'])
      .optional()
      .describe('Managed (default): a NetworkPolicy is made from the rules below. Unmanaged: none is made.'),
    ingress: ingressRulesSchema.optional().describe('Who may connect to the agent, within what the Tenant allows.'),
    egress: egressRulesSchema.optional().describe('Where the agent may connect to, within what the Tenant allows.'),
  })
  .meta(
    rules({
      rule: "!has(self.management) || self.management == 'Managed' || !(has(self.ingress) || has(self.egress))",
      message: 'ingress and egress need management Managed; remove the rules or the setting',
    }),
  )
  .describe(
    'The traffic of this Agent, in place of all that its Tenant allows: a part of that, and DNS where it is allowed. What the Tenant does not allow is refused in status.',
  );

const recoverySchema = z
  .object({
    backoffLimit: count(1000).optional().describe('Attempts after the first before the Agent is Failed. Default 5.'),
    backoffSeconds: z
      .object({
        base: seconds(1, 3600).optional().describe('Pause before the second attempt; doubled each time. Default 1.'),
        max: seconds(1, 3600).optional().describe('Longest pause between attempts. Default 60.'),
      })
      .meta(
        rules({
          rule: '(has(self.base) ? self.base : 1) <= (has(self.max) ? self.max : 60)',
          message: 'base must not be greater than max (which is 60 when left out)',
        }),
      )
      .optional()
      .describe('Pause between attempts, in seconds.'),
    retryAfterFailedSeconds: seconds(0)
      .optional()
      .describe(
        'A Failed Agent is tried again after this many seconds; 0: never. Default 300. restartPolicy Always only.',
      ),
  })
  .describe('How often and how fast a lost or failed pod is replaced. The count starts anew after ten minutes Ready.');

const lifecycleSchema = z
  .object({
    shutdownTime: timestamp().optional().describe('The Agent ends at this moment.'),
    maxSessionDurationSeconds: seconds()
      .optional()
      .describe('The Agent ends this many seconds after it was first Ready.'),
    ttlSecondsAfterFinished: seconds(0)
      .optional()
      .describe('A Completed or Failed Agent is deleted after this many seconds.'),
    shutdownPolicy: z
      .enum(['Delete', 'Retain'])
      .optional()
      .describe('What is left when a session ends: Retain (default) keeps the Agent as Completed, Delete removes it.'),
  })
  .describe('Deadlines after which the Agent ends by itself.');

/** Spec of an Agent. Nothing is filled in: a field that is not there was not written, and defaults apply to the pod. */
export const agentSpecSchema = z
  .object({
    ...containerFields,
    ...podFields,
    template: podTemplateSchema,
    runtimeClassName: objectName()
      .optional()
      .describe(
        "RuntimeClass that isolates the pod. Else the Tenant's default, else the operator's (gvisor). Never dropped.",
      ),
    operatingMode: z
      .enum(['Running', 'Suspended'])
      .optional()
      .describe('Running (default), or Suspended: the pod is removed and everything else is kept.'),
    volumeClaimTemplates: z
      .array(volumeClaimTemplateSchema)
      .max(16)
      .meta({
        'x-kubernetes-list-type': 'atomic',
        ...rules({
          rule: 'self.all(a, self.exists_one(b, a.metadata.name == b.metadata.name))',
          message: 'each of volumeClaimTemplates needs a metadata.name of its own',
        }),
      })
      .optional()
      .describe('Claims made for this Agent as <name>-<agent>, kept while its pods come and go. Cannot be changed.'),
    persistentVolumeClaimRetentionPolicy: z
      .object({
        whenDeleted: z
          .enum(['Retain', 'Delete'])
          .optional()
          .describe(
            'When the Agent is deleted. Retain (default): an Agent of the same name has them again. In a pool choose Delete: its Agents never have a name again.',
          ),
        whenScaled: z
          .enum(['Retain', 'Delete'])
          .optional()
          .describe('When operatingMode is Suspended. Default Retain.'),
      })
      .optional()
      .describe('What becomes of the claims; one that never got a volume goes with the Agent. Cannot be changed.'),
    networkPolicy: networkPolicySchema.optional(),
    restartPolicy: z
      .enum(['Always', 'OnFailure', 'Never'])
      .optional()
      .describe(
        'Always (default): runs around the clock. OnFailure, Never: Completed when the program ends with code 0.',
      ),
    recovery: recoverySchema.optional(),
    startupDeadlineSeconds: seconds(1, 86400)
      .optional()
      .describe(
        'Longest time an attempt may take to become ready; waiting for the event broker does not count. Default 300.',
      ),
    lifecycle: lifecycleSchema.optional(),
    events: z
      .object({
        readinessGate: z
          .enum(['Required', 'BestEffort'])
          .optional()
          .describe(
            'Required (default): Ready is shown once its event is on the stream. BestEffort: it does not wait.',
          ),
      })
      .optional()
      .describe('How the Agent depends on the event stream.'),
  })
  .meta(rules(...agentSpecRules))
  .describe('What the Agent should be.');
export type AgentSpec = Plain<z.infer<typeof agentSpecSchema>>;

/** Status of an Agent: a projection of what is recorded and observed. Written by the operator alone. */
export const agentStatusSchema = z
  .object({
    observedGeneration: observedGenerationSchema,
    phase: z.enum(AgentPhase).optional().describe('A summary for people; programs read the conditions.'),
    reason: z.string().optional().describe('Why it is in this phase: one documented word.'),
    message: z.string().optional().describe('Why it is in this phase, and what to do: a sentence.'),
    conditions: conditionsSchema.optional(),
    podRef: z
      .object({ name: z.string().describe('Name of the pod.'), uid: z.string().describe('UID of the pod.') })
      .optional()
      .describe('The pod of the current attempt, in the namespace of the Agent.'),
    podIPs: z
      .array(z.object({ ip: z.string().describe('An address of the pod.') }).describe('One address.'))
      .max(16)
      .meta(listMap('ip'))
      .optional()
      .describe('Addresses of the pod, one per IP family.'),
    nodeName: z.string().optional().describe('Node the pod runs on.'),
    runtimeClassName: z.string().optional().describe('RuntimeClass the pod was made with.'),
    tenant: z.string().optional().describe('Tenant the Agent belongs to.'),
    attempts: count().optional().describe('Attempts to start since the last success or change of the spec.'),
    nextRetryTime: timestamp().optional().describe('When the next attempt begins.'),
    lastFailureReason: z.string().optional().describe('Why the last attempt failed.'),
    createdAt: timestamp().optional().describe('When the Agent was accepted and recorded.'),
    scheduledAt: timestamp().optional().describe('When a node was found in the current attempt.'),
    startingAt: timestamp().optional().describe('When the container started in the current attempt.'),
    readyAt: timestamp().optional().describe('When the Agent became Ready in the current attempt.'),
    startLatencyMilliseconds: z
      .int()
      .min(0)
      .optional()
      .describe('From the start of the attempt to Ready, in milliseconds of the operator’s clock.'),
    restartCount: count().optional().describe('Restarts of containers in the current pod.'),
    consistency: z
      .object({
        state: z.enum(ConsistencyState).describe('How far the newest event has come.'),
        lastEventID: z.string().optional().describe('Id of the newest event.'),
        lastEventType: z.string().optional().describe('Type of the newest event, such as agent.ready.'),
        sequence: count(Number.MAX_SAFE_INTEGER)
          .optional()
          .describe('Its place in the history of this Agent, counted from 1.'),
        lastPublishedTime: timestamp().optional().describe('When the stream stored the newest published event.'),
      })
      .optional()
      .describe('What has been told to the event stream.'),
  })
  .describe('What the Agent is. Written by the operator.');
export type AgentStatus = Plain<z.infer<typeof agentStatusSchema>>;

export type Agent = {
  readonly apiVersion: string;
  readonly kind: 'Agent';
  readonly metadata: NamespacedMetadata;
  readonly spec: AgentSpec;
  readonly status?: AgentStatus;
};

/** An Agent from what the API server sent, or what is wrong with its spec. */
export const parseAgent: (raw: unknown) => Parsed<Agent> = objectParser<Agent>({
  kind: 'Agent',
  spec: agentSpecSchema,
  status: agentStatusSchema,
});

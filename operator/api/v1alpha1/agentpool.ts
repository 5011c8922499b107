import { z } from 'zod';
import { agentSpecSchema } from './agent.ts';
import {
  conditionsSchema,
  type NamespacedMetadata,
  objectParser,
  observedGenerationSchema,
  type Parsed,
  type Plain,
  templateMetadata,
} from './common.ts';
import { count, countOrPercent, rules, seconds } from './kubernetes.ts';

const isZero = (field: string) =>
  `(has(self.${field}) && (type(self.${field}) == int ? self.${field} == 0 : self.${field} == '0%'))`;

const updateStrategySchema = z
  .object({
    type: z
      .enum(['RollingUpdate', 'OnDelete'])
      .optional()
      .describe('RollingUpdate (default): Agents are replaced step by step. OnDelete: only those you delete.'),
    rollingUpdate: z
      .object({
        maxUnavailable: countOrPercent()
          .optional()
          .describe('How many may be missing meanwhile: a count or a share. Default 25%.'),
        maxSurge: countOrPercent()
          .optional()
          .describe('How many there may be beyond replicas: a count or a share. Default 25%.'),
      })
      .meta(
        rules({
          rule: `!(${isZero('maxUnavailable')} && ${isZero('maxSurge')})`,
          message: 'maxUnavailable and maxSurge cannot both be zero: nothing could ever be replaced',
        }),
      )
      .optional()
      .describe('The size of a step.'),
  })
  .meta(
    rules({
      rule: "!has(self.rollingUpdate) || !has(self.type) || self.type == 'RollingUpdate'",
      message: 'rollingUpdate needs type RollingUpdate; remove one of the two',
    }),
  )
  .describe('How a change of the template reaches the Agents.');

/** Spec of an AgentPool. `replicas` may be left out, and is left alone, under an autoscaler. */
export const agentPoolSpecSchema = z
  .object({
    replicas: count(100_000)
      .optional()
      .describe('How many Agents there should be. Leave it out when an autoscaler sets it. Default 1.'),
    template: z
      .object({ metadata: templateMetadata('the Agents').optional(), spec: agentSpecSchema })
      .describe('The Agents of the pool.'),
    minReadySeconds: count()
      .optional()
      .describe('An Agent counts as available after being Ready this long. Default 0.'),
    updateStrategy: updateStrategySchema.optional(),
    progressDeadlineSeconds: seconds()
      .optional()
      .describe('A roll-out without progress for this many seconds is reported as failed. Default 600.'),
    paused: z.boolean().optional().describe('Whether changes of the template wait.'),
    scheduling: z
      .enum(['Packed', 'Distributed'])
      .optional()
      .describe(
        'Packed: new Agents go where others of the pool are. Distributed: they are spread over nodes. A wish: none waits for it. The template’s own podAffinity (Packed) or topologySpreadConstraints (Distributed) stand instead.',
      ),
    maxConsecutiveFailures: z
      .int()
      .min(1)
      .max(10_000)
      .optional()
      .describe('After this many failed Agents in a row no more are made, until the template changes.'),
  })
  .meta(
    rules({
      rule: '(has(self.progressDeadlineSeconds) ? self.progressDeadlineSeconds : 600) > (has(self.minReadySeconds) ? self.minReadySeconds : 0)',
      message: 'progressDeadlineSeconds (600 when left out) must be greater than minReadySeconds',
    }),
  )
  .describe('What the pool should be.');
export type AgentPoolSpec = Plain<z.infer<typeof agentPoolSpecSchema>>;

export const agentPoolStatusSchema = z
  .object({
    observedGeneration: observedGenerationSchema,
    replicas: count().optional().describe('Agents that exist.'),
    readyReplicas: count().optional().describe('Agents that are Ready.'),
    availableReplicas: count().optional().describe('Agents that have been Ready for minReadySeconds.'),
    updatedReplicas: count().optional().describe('Agents made from the current template.'),
    unschedulableReplicas: count().optional().describe('Agents for which no node is found.'),
    failedReplicas: count().optional().describe('Agents that have failed.'),
    terminatingReplicas: count().optional().describe('Agents on their way out.'),
    selector: z.string().optional().describe('Label selector of the Agents, for autoscalers.'),
    currentRevision: z.string().optional().describe('Revision of the template before the roll-out in progress.'),
    updateRevision: z.string().optional().describe('Revision of the current template.'),
    collisionCount: count().optional().describe('Times a revision’s name was taken; part of the hash.'),
    consecutiveFailures: count().optional().describe('Agents that failed in a row.'),
    conditions: conditionsSchema.optional(),
  })
  .describe('What the pool is. Written by the operator.');
export type AgentPoolStatus = Plain<z.infer<typeof agentPoolStatusSchema>>;

export type AgentPool = {
  readonly apiVersion: string;
  readonly kind: 'AgentPool';
  readonly metadata: NamespacedMetadata;
  readonly spec: AgentPoolSpec;
  readonly status?: AgentPoolStatus;
};

/** An AgentPool from what the API server sent, or what is wrong with its spec. */
export const parseAgentPool: (raw: unknown) => Parsed<AgentPool> = objectParser<AgentPool>({
  kind: 'AgentPool',
  spec: agentPoolSpecSchema,
  status: agentPoolStatusSchema,
});

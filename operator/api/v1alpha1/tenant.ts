import type { V1LimitRangeItem, V1Toleration } from '@kubernetes/client-node';
import { z } from 'zod';
import { egressRulesSchema, ingressRulesSchema } from './agent.ts';
import {
  type ClusterMetadata,
  conditionsSchema,
  objectParser,
  observedGenerationSchema,
  type Parsed,
  type Plain,
} from './common.ts';
import { count, kubernetes, labelName, listMap, listSet, objectName, quantity, rules } from './kubernetes.ts';
import { TenantPhase } from './phases.ts';

/** client-node renames `default`, a reserved word; on the wire it is `default`. */
type LimitRangeSpec = { limits: (Omit<V1LimitRangeItem, '_default'> & { default?: Record<string, string> })[] };

const namespaceSchema = z
  .object({ name: labelName().describe('Name of the namespace.') })
  .meta(
    rules({
      rule: "!self.name.startsWith('kube-') && self.name != 'default'",
      message: 'kube-* and default belong to the cluster, not to a tenant; name another namespace',
      fieldPath: '.name',
      reason: 'FieldValueForbidden',
    }),
  )
  .describe('One namespace of the tenant.');

const ownerSchema = z
  .object({
    kind: z.enum(['User', 'Group', 'ServiceAccount']).describe('What the name stands for.'),
    name: z
      .string()
      .min(1)
      .max(512)
      .describe('User name or group; a ServiceAccount as system:serviceaccount:<namespace>:<name>.'),
    role: z
      .enum(['Owner', 'Admin', 'Member', 'Viewer'])
      .describe('Owner and Admin manage agents and access, Member manages agents, Viewer reads.'),
  })
  .meta(
    rules({
      rule: "self.kind != 'ServiceAccount' || self.name.matches('^system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+$')",
      message: 'write a ServiceAccount as system:serviceaccount:<namespace>:<name>',
      fieldPath: '.name',
    }),
  )
  .describe('Someone with rights in every namespace of the tenant.');

const quotaSchema = z
  .object({
    agents: count().optional().describe('How many Agents there may be.'),
    pools: count().optional().describe('How many AgentPools there may be.'),
    hard: z
      .record(z.string(), quantity())
      .meta({
        maxProperties: 64,
        ...rules({
          rule: "!('count/agents.openos.dev' in self) && !('count/agentpools.openos.dev' in self)",
          message:
            'set quota.agents and quota.pools in place of count/agents.openos.dev and count/agentpools.openos.dev',
          reason: 'FieldValueForbidden',
        }),
      })
      .optional()
      .describe('Upper bounds as in a ResourceQuota, for example requests.cpu: 8.'),
  })
  .describe('What the tenant may use over all its namespaces together.');

const runtimeClassesSchema = z
  .object({
    default: objectName().optional().describe("RuntimeClass of Agents that name none. Else the operator's (gvisor)."),
    allowed: z
      .array(objectName().describe('Name of a RuntimeClass.'))
      .max(32)
      .meta(listSet)
      .optional()
      .describe('RuntimeClasses Agents may name. Only the default when left out.'),
  })
  .meta(
    rules({
      rule: '!has(self.default) || !has(self.allowed) || self.default in self.allowed',
      message: 'default must be one of allowed; add it there',
    }),
  )
  .describe('How pods of the tenant are isolated.');

const networkSchema = z
  .object({
    isolation: z
      .enum(['DefaultDeny', 'Unmanaged'])
      .optional()
      .describe('DefaultDeny (default): only what is listed here gets through. Unmanaged: no NetworkPolicy is made.'),
    allowDNS: z.boolean().optional().describe('Whether names can be resolved. Default true.'),
    allowIngress: ingressRulesSchema.optional().describe('Who may connect to pods of the tenant.'),
    allowEgress: egressRulesSchema.optional().describe('Where pods of the tenant may connect to.'),
  })
  .meta(
    rules({
      rule: "!has(self.isolation) || self.isolation == 'DefaultDeny' || !(has(self.allowDNS) || has(self.allowIngress) || has(self.allowEgress))",
      message: 'allowDNS, allowIngress and allowEgress need isolation DefaultDeny; remove them or the setting',
    }),
  )
  .describe('Traffic to and from pods of the tenant.');

const registrySchema = z
  .string()
  .min(1)
  .max(255)
  .meta(
    rules({
      rule: "!self.contains('://') && !self.contains('*') && !self.endsWith('/')",
      message: 'write host and path alone, without scheme, wildcard or final slash: ghcr.io/acme',
    }),
  )
  .describe('Host, with a path where wanted.');

/** Spec of a Tenant. */
export const tenantSpecSchema = z
  .object({
    displayName: z.string().max(253).optional().describe('Name for people.'),
    namespaces: z
      .array(namespaceSchema)
      .max(64)
      .meta(listMap('name'))
      .optional()
      .describe(
        'Created when missing; one that exists must carry the annotation openos.dev/allow-tenant: <this tenant>.',
      ),
    owners: z.array(ownerSchema).max(64).meta(listMap('kind', 'name')).optional().describe('Who may do what.'),
    quota: quotaSchema.optional(),
    limitRange: kubernetes<LimitRangeSpec>('core.v1.LimitRangeSpec')
      .optional()
      .describe('Default and greatest sizes of pods and containers, as in a LimitRange.'),
    runtimeClasses: runtimeClassesSchema.optional(),
    priorityClasses: z
      .object({
        allowed: z
          .array(objectName().describe('Name of a PriorityClass.'))
          .max(32)
          .meta(listSet)
          .describe('PriorityClasses Agents may name.'),
      })
      .optional()
      .describe('Which priorities the tenant may use.'),
    allowedRegistries: z
      .array(registrySchema)
      .max(64)
      .meta(listSet)
      .optional()
      .describe('Where images may come from. Anywhere when left out.'),
    nodeSelector: z
      .record(z.string(), z.string().max(63))
      .meta({ maxProperties: 64, 'x-kubernetes-map-type': 'atomic' })
      .optional()
      .describe('Labels of the nodes that pods of the tenant run on.'),
    tolerations: kubernetes<V1Toleration[]>('core.v1.PodSpec#tolerations')
      .optional()
      .describe('Taints that pods of the tenant put up with.'),
    network: networkSchema.optional(),
    podSecurity: z
      .object({ enforce: z.enum(['restricted']).optional().describe('Pod Security Standard of the namespaces.') })
      .optional()
      .describe('Pod Security admission in the namespaces of the tenant.'),
    suspend: z
      .enum(['None', 'Hold', 'HoldAndDrain'])
      .optional()
      .describe('None (default). Hold: no new pods. HoldAndDrain: no new pods, and those there stop.'),
    suspendReason: z.string().max(1024).optional().describe('Why, for the people who see their Agents held.'),
    deletionPolicy: z
      .enum(['Orphan', 'Delete'])
      .optional()
      .describe(
        'What becomes of namespaces we created: Orphan (default) leaves them, Delete removes them and all they hold.',
      ),
  })
  .describe('What the tenant may have and do.');
export type TenantSpec = Plain<z.infer<typeof tenantSpecSchema>>;

const quantitiesSchema = z.record(z.string(), quantity());

export const tenantStatusSchema = z
  .object({
    observedGeneration: observedGenerationSchema,
    phase: z.enum(TenantPhase).optional().describe('A summary for people; programs read the conditions.'),
    namespaces: z
      .array(
        z
          .object({
            name: z.string().describe('Name of the namespace.'),
            uid: z
              .string()
              .optional()
              .describe('UID of the namespace that was verified; one re-created under the name is another.'),
            ready: z
              .boolean()
              .describe('Whether it belongs to this tenant and is set up: only then Agents start in it.'),
          })
          .describe('One namespace.'),
      )
      .max(64)
      .meta(listMap('name'))
      .optional()
      .describe('Namespaces that belong to the tenant. This list decides, never a label.'),
    quota: z
      .object({
        hard: quantitiesSchema.optional().describe('The bounds in force.'),
        used: quantitiesSchema.optional().describe('What is in use or reserved.'),
      })
      .optional()
      .describe('Use of the quota over all namespaces.'),
    agents: z
      .object({
        total: count().optional().describe('All Agents.'),
        ready: count().optional().describe('Agents that are Ready.'),
        failed: count().optional().describe('Agents that have failed.'),
        suspended: count().optional().describe('Agents held without a pod.'),
      })
      .optional()
      .describe('Agents of the tenant, counted.'),
    pools: count().optional().describe('AgentPools of the tenant.'),
    conditions: conditionsSchema.optional(),
  })
  .describe('What the tenant has. Written by the operator.');
export type TenantStatus = Plain<z.infer<typeof tenantStatusSchema>>;

export type Tenant = {
  readonly apiVersion: string;
  readonly kind: 'Tenant';
  readonly metadata: ClusterMetadata;
  readonly spec: TenantSpec;
  readonly status?: TenantStatus;
};

/** A Tenant from what the API server sent, or what is wrong with its spec. */
export const parseTenant: (raw: unknown) => Parsed<Tenant> = objectParser<Tenant>({
  kind: 'Tenant',
  spec: tenantSpecSchema,
  status: tenantStatusSchema,
});

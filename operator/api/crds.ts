import type { z } from 'zod';
import { agentSpecSchema, agentStatusSchema } from './v1alpha1/agent.ts';
import { agentTransitionRules, nameRule } from './v1alpha1/agent-rules.ts';
import { agentPoolSpecSchema, agentPoolStatusSchema } from './v1alpha1/agentpool.ts';
import type { Rule } from './v1alpha1/kubernetes.ts';
import { group, version } from './v1alpha1/names.ts';
import { tenantSpecSchema, tenantStatusSchema } from './v1alpha1/tenant.ts';

/** Where a kind of ours lives in the REST API. */
type Resource = {
  readonly group: typeof group;
  readonly version: typeof version;
  readonly kind: 'Agent' | 'AgentPool' | 'Tenant';
  readonly plural: string;
  readonly namespaced: boolean;
};

/** A column of `kubectl get`; `wide` ones are shown with `-o wide`. */
export type Column = {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  readonly wide?: true;
};

/** All that makes a CustomResourceDefinition of one kind. */
export type CustomResource = {
  readonly resource: Resource;
  readonly singular: string;
  readonly shortName: string;
  readonly description: string;
  readonly spec: z.ZodType;
  readonly status: z.ZodType;
  /** Rules that see the whole object, and rules that see the spec before and after a change. */
  readonly objectRules: readonly Rule[];
  readonly specRules: readonly Rule[];
  readonly scale?: {
    readonly specReplicasPath: string;
    readonly statusReplicasPath: string;
    readonly labelSelectorPath: string;
  };
  readonly columns: readonly Column[];
};

export const agentResource = {
  group,
  version,
  kind: 'Agent',
  plural: 'agents',
  namespaced: true,
} as const satisfies Resource;

export const agentPoolResource = {
  group,
  version,
  kind: 'AgentPool',
  plural: 'agentpools',
  namespaced: true,
} as const satisfies Resource;

export const tenantResource = {
  group,
  version,
  kind: 'Tenant',
  plural: 'tenants',
  namespaced: false,
} as const satisfies Resource;

const conditionPath = (type: string, field: string) => `.status.conditions[?(@.type=="${type}")].${field}`;

const age = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'Time since it was created.',
} as const;
const ready = {
  name: 'Ready',
  type: 'string',
  jsonPath: conditionPath('Ready', 'status'),
  description: 'Status of the condition Ready.',
} as const;

const agent: CustomResource = {
  resource: agentResource,
  singular: 'agent',
  shortName: 'ag',
  description: 'One long-running program of a tenant: at most one live pod, isolated by a runtime class.',
  spec: agentSpecSchema,
  status: agentStatusSchema,
  objectRules: [nameRule('Agent')],
  specRules: agentTransitionRules,
  columns: [
    { name: 'Phase', type: 'string', jsonPath: '.status.phase', description: 'Summary of where it is in its life.' },
    ready,
    { name: 'Reason', type: 'string', jsonPath: '.status.reason', description: 'Why it is in this phase.' },
    age,
    { name: 'Tenant', type: 'string', jsonPath: '.status.tenant', description: 'Tenant it belongs to.', wide: true },
    { name: 'Node', type: 'string', jsonPath: '.status.nodeName', description: 'Node its pod runs on.', wide: true },
    {
      name: 'Runtime',
      type: 'string',
      jsonPath: '.status.runtimeClassName',
      description: 'RuntimeClass of its pod.',
      wide: true,
    },
    {
      name: 'Start-ms',
      type: 'integer',
      jsonPath: '.status.startLatencyMilliseconds',
      description: 'From the start of the attempt to Ready.',
      wide: true,
    },
    {
      name: 'Restarts',
      type: 'integer',
      jsonPath: '.status.restartCount',
      description: 'Restarts of its containers.',
      wide: true,
    },
  ],
};

const agentPool: CustomResource = {
  resource: agentPoolResource,
  singular: 'agentpool',
  shortName: 'agp',
  description: 'Keeps a number of Agents made from one template.',
  spec: agentPoolSpecSchema,
  status: agentPoolStatusSchema,
  objectRules: [nameRule('AgentPool')],
  specRules: [],
  scale: {
    specReplicasPath: '.spec.replicas',
    statusReplicasPath: '.status.replicas',
    labelSelectorPath: '.status.selector',
  },
  columns: [
    { name: 'Desired', type: 'integer', jsonPath: '.spec.replicas', description: 'Agents wanted.' },
    { name: 'Current', type: 'integer', jsonPath: '.status.replicas', description: 'Agents that exist.' },
    { name: 'Ready', type: 'integer', jsonPath: '.status.readyReplicas', description: 'Agents that are Ready.' },
    {
      name: 'Updated',
      type: 'integer',
      jsonPath: '.status.updatedReplicas',
      description: 'Agents made from the current template.',
    },
    age,
  ],
};

const tenant: CustomResource = {
  resource: tenantResource,
  singular: 'tenant',
  shortName: 'tn',
  description: 'Who owns namespaces, quota, isolation and event subjects.',
  spec: tenantSpecSchema,
  status: tenantStatusSchema,
  objectRules: [nameRule('Tenant')],
  specRules: [],
  columns: [
    { name: 'Phase', type: 'string', jsonPath: '.status.phase', description: 'Summary of its state.' },
    ready,
    {
      name: 'Reason',
      type: 'string',
      jsonPath: conditionPath('Ready', 'reason'),
      description: 'Reason of the condition Ready.',
    },
    { name: 'Agents', type: 'integer', jsonPath: '.status.agents.total', description: 'Agents it has.' },
    age,
    {
      name: 'Display-Name',
      type: 'string',
      jsonPath: '.spec.displayName',
      description: 'Name for people.',
      wide: true,
    },
    { name: 'Suspend', type: 'string', jsonPath: '.spec.suspend', description: 'Whether it is held.', wide: true },
  ],
};

/** Every kind of ours; the generator makes one CustomResourceDefinition of each. */
export const customResources: readonly CustomResource[] = [agent, agentPool, tenant];

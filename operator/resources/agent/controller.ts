import type { AgentStatus } from '../../api/v1alpha1/agent.ts';
import type { Action } from '../../kernel/action.ts';
import { sameStatus } from '../../kernel/conditions.ts';
import { ApiError, type OperatorError } from '../../kernel/errors.ts';
import type { KubernetesObject, ResourceType } from '../../kernel/object.ts';
import { type Outcome, requeue, settled } from '../../kernel/outcome.ts';
import type { PolicyRule } from '../../kernel/rbac.ts';
import type { Explanation, PassPorts } from '../../kernel/reconcile.ts';
import { claimResource, networkPolicyResource, podResource } from '../builtin.ts';
import { agentResource } from '../own.ts';
import { explainUntold } from '../untold.ts';
import { decide } from './decide.ts';
import type { AgentTransition } from './events.ts';
import type { AgentObserved } from './facts.ts';
import { type AgentSources, observeAgent } from './observe.ts';
import { type Refusal, refusedStatus } from './status.ts';
import { statusEvents } from './status-write.ts';

/** What this controller may do on the API server; the chart's role is generated from it. */
export const agentPermissions: readonly PolicyRule[] = [
  { apiGroups: ['openos.dev'], resources: ['agents'], verbs: ['get', 'list', 'watch', 'delete'] },
  { apiGroups: ['openos.dev'], resources: ['agents/status'], verbs: ['update'] },
  { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch', 'create', 'delete'] },
  { apiGroups: [''], resources: ['persistentvolumeclaims'], verbs: ['get', 'list', 'watch', 'create', 'delete'] },
  { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
  {
    apiGroups: ['networking.k8s.io'],
    resources: ['networkpolicies'],
    verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'],
  },
  { apiGroups: ['node.k8s.io'], resources: ['runtimeclasses'], verbs: ['list', 'watch'] },
  { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create'] },
];

/** What the agent controller does its work through; wired in the composition root. */
export type AgentPorts = AgentSources & {
  readonly record: (observed: AgentObserved, transitions: readonly AgentTransition[]) => Promise<void>;
  readonly execute: (action: Action) => Promise<void>;
  /** Server-side apply; remembers what the server made of it. */
  readonly apply: (resource: ResourceType, object: KubernetesObject) => Promise<void>;
  readonly writeStatus: (target: {
    readonly resource: typeof agentResource;
    readonly object: NonNullable<AgentObserved['agent']>;
    readonly status: AgentStatus;
  }) => Promise<void>;
  /** Remembers that a pod was asked for, until the cache shows it or the request failed. */
  readonly expectPod: (uid: string, name: string) => void;
  readonly podRefused: (uid: string, name: string) => void;
};

const minRetryMs = 1_000;
const maxRetryMs = 60_000;

/** The ports of one agent pass. Keys are UIDs: a re-created name is another agent. */
export function agentPass(ports: AgentPorts): PassPorts<AgentObserved, AgentTransition, AgentStatus> {
  return {
    observe: (uid) => observeAgent(uid, ports),
    decide,
    record: ports.record,
    execute: (action, observed) => executeFor(observed.uid, action, ports),
    writeStatus: async ({ agent }, status) => {
      if (agent !== undefined) await ports.writeStatus({ resource: agentResource, object: agent, status });
    },
    explain: (observed, _decision, error, now, failed) => explain(observed, error, now, failed),
    explainUnrecorded: ({ agent }, error, now) => explainUntold(agent, error, now),
  };
}

async function executeFor(uid: string, action: Action, ports: AgentPorts): Promise<void> {
  if (action.kind === 'apply') return ports.apply(action.resource, action.object);
  if (action.kind !== 'create' || action.resource !== podResource) return ports.execute(action);
  const { name } = action.object.metadata;
  ports.expectPod(uid, name);
  try {
    await ports.execute(action);
  } catch (error) {
    ports.podRefused(uid, name);
    throw error;
  }
}

/** What the API server will not have is shown with its own words, and tried again ever more rarely. */
function explain(
  observed: AgentObserved,
  error: OperatorError,
  now: number,
  failed: Action,
): Explanation<AgentStatus> | undefined {
  const { agent } = observed;
  if (agent === undefined || (failed.kind !== 'create' && failed.kind !== 'apply')) return undefined;
  const refusal = refusalOf(error, failed);
  if (refusal === undefined) return undefined;
  const status = refusedStatus(observed, agent, refusal, now);
  // What the server cannot accept as written only another spec can cure.
  const outcome = error.kind === 'terminal' ? settled : retryOf(status, now);
  if (sameStatus(agent.status, status)) return { outcome };
  return { events: statusEvents(agent, status), status, outcome };
}

function refusalOf(
  error: OperatorError,
  { resource, object }: Extract<Action, { kind: 'create' | 'apply' }>,
): Refusal | undefined {
  const { name } = object.metadata;
  const what = resource === claimResource ? 'claim' : 'pod';
  if (error.code === 'NameConflict') {
    return {
      reason: 'NameConflict',
      message: `A ${what} named ${name} that is not this Agent's stands in its way; delete it or rename the Agent.`,
    };
  }
  if (!(error instanceof ApiError) || (error.status !== 403 && error.status !== 422)) return undefined;
  const words = error.serverMessage;
  if (resource === claimResource) {
    return { reason: 'ClaimRejected', message: `The API server refuses the claim ${name}: ${words}` };
  }
  if (resource === networkPolicyResource) {
    if (error.kind !== 'terminal') return undefined;
    return { reason: 'InvalidSpec', message: `The API server refuses the spec's networkPolicy: ${words}` };
  }
  return { reason: 'PodRejected', message: `The API server refuses the pod: ${words}` };
}

/** As long again as it has been refused: 1 s doubling to a minute. */
function retryOf(status: AgentStatus, now: number): Outcome {
  const since = status.conditions?.find((condition) => condition.type === 'PodScheduled')?.lastTransitionTime;
  const elapsed = since === undefined ? 0 : now - new Date(since).getTime();
  return requeue(Math.min(maxRetryMs, Math.max(minRetryMs, elapsed)));
}

import type { V1Pod } from '@kubernetes/client-node';
import type { Agent } from './api/v1alpha1/agent.ts';
import { agentKey, type CachedAgent, tenancySources, type WrittenObjects } from './caches.ts';
import type { Publisher } from './events/publisher.ts';
import type { AgentHistories } from './histories.ts';
import type { Expectations } from './kernel/expectations.ts';
import type { StoredObject } from './kernel/object.ts';
import type { LeaderParts } from './lead.ts';
import type { LeaderEpoch } from './leader-epoch.ts';
import type { Quotas } from './quota.ts';
import { recordAgent } from './recorder.ts';
import type { AgentPorts } from './resources/agent/controller.ts';
import { lastRow } from './resources/agent/history.ts';
import { networkPolicyResource, nodeResource, podResource } from './resources/builtin.ts';
import type { AppliedChildren } from './resources/children.ts';
import { agentResource } from './resources/own.ts';
import { missingHandler, troubleOf } from './resources/runtime.ts';
import { activeTraceparent, formatTraceparent, newTraceContext } from './telemetry/tracing.ts';
import { executeWith, writeStatus } from './writes.ts';

type AgentWork = {
  readonly expectations: Expectations;
  readonly written: WrittenObjects<CachedAgent>;
  readonly applied: AppliedChildren;
  /** The last pod of an agent that the cluster took away, by the agent's UID, until the next is there. */
  readonly evicted: Map<string, string>;
  /** UIDs of Agents whose end the watch has told of, until it is recorded. */
  readonly gone: Set<string>;
  readonly epoch: LeaderEpoch;
  readonly histories: AgentHistories;
  readonly publisher: Publisher;
  readonly ackObstacle: AgentPorts['ackObstacle'];
  readonly quotas: Quotas;
  /** The trace of each agent met so far, by UID: its passes are spans of that one trace. */
  readonly traces: Map<string, string>;
};

export function agentPortsOf(parts: LeaderParts, work: AgentWork): AgentPorts {
  const { applied, evicted, gone, expectations, written, epoch, histories, publisher, quotas, traces } = work;
  const { broker, caches, client, config, database, log, metrics } = parts;
  /** Its story is over: also what came after its DELETE event, such as the answer to a write, is kept no longer. */
  const forget = (uid: string): void => {
    traces.delete(uid);
    expectations.forget(uid);
    written.forget(uid);
    evicted.delete(uid);
    gone.delete(uid);
  };
  return {
    ...tenancySources(caches),
    synced: caches.synced,
    agent: (uid) => written.newest(caches.agents.get(uid)),
    // A UID never comes back: only of one that the watch did not tell of may the cache be behind.
    isStanding: async (uid, namespace, name) =>
      !gone.has(uid) && (await client.get({ resource: agentResource, namespace, name }))?.metadata.uid === uid,
    podsOf: (uid) => caches.pods.byIndex('controller', uid) as unknown as readonly V1Pod[],
    podNamed: async (namespace, name) =>
      (await client.get({ resource: podResource, namespace, name })) as V1Pod | undefined,
    nodeTrouble: (name) => {
      const node = caches.nodes.getByName(undefined, name);
      return node === undefined ? 'unknown' : troubleOf(node);
    },
    evictedPod: (uid) => evicted.get(uid),
    isNodeGone: async (name) => (await client.get({ resource: nodeResource, name })) === undefined,
    claimsOf: ({ uid, namespace, name }) => {
      const holder = caches.agents.getByName(namespace, name);
      return holder === undefined || holder.metadata.uid === uid
        ? caches.claims.byIndex('agent', agentKey(namespace, name))
        : [];
    },
    policyOf: (uid) => {
      const policy = caches.networkPolicies.byIndex('agent', uid).at(0);
      return policy === undefined ? undefined : applied.look(networkPolicyResource, policy);
    },
    runtimeClassExists: (name) => caches.runtimeClasses.getByName(undefined, name) !== undefined,
    missingHandler: (name) => {
      const runtimeClass = caches.runtimeClasses.getByName(undefined, name);
      return runtimeClass === undefined ? undefined : missingHandler(runtimeClass, caches.nodes.list());
    },
    quota: (uid, tenancy, asksForPlace) => quotas.roomOf(uid, tenancy, asksForPlace),
    podOnItsWay: (uid) => !expectations.satisfied(uid),
    expectPod: (uid, name) => expectations.expectCreate(uid, name),
    podRefused: (uid, name) => expectations.cancelCreate(uid, name),
    history: async (uid) => {
      const history = await histories.of(uid);
      const last = lastRow(history);
      const wasNever = history.kind === 'known' && last === undefined && caches.agents.get(uid) === undefined;
      if (last?.to === 'Deleted' || wasNever) forget(uid);
      else if (last?.traceparent !== undefined) traces.set(uid, last.traceparent);
      return history;
    },
    brokerAvailable: () => broker.state.available,
    ackObstacle: work.ackObstacle,
    unshown: () => caches.agents.count('unshown', ''),
    // The first pass is the root of the trace that the pod and every event of this agent go on with.
    newTraceparent: () => activeTraceparent() ?? formatTraceparent(newTraceContext()),
    defaultRuntimeClass: config.defaultRuntimeClass,
    apply: async (resource, object) => applied.remember(resource, object, await client.apply(resource, object)),
    record: async (observed, transitions) => {
      const { uid } = observed;
      const recorder = {
        database,
        epoch,
        metrics,
        log,
        recorded: () => publisher.nudge(uid),
        freed: (tenant: string) => quotas.freed(tenant),
      };
      await histories.recording(uid, () => recordAgent(recorder, observed, transitions));
      if (transitions.at(-1)?.to === 'Deleted') forget(uid);
    },
    execute: (action) => executeWith(client, log, action),
    writeStatus: async ({ resource, object, status }) => {
      const stored = await writeStatus<CachedAgent>(client, resource, object as Agent & StoredObject, status);
      if (stored !== undefined) written.set(stored);
    },
  };
}

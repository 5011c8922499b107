/**
 * Condition types and reasons. A reason is the same word in a condition, a transition row, a Kubernetes
 * Event and a metric label. Each says when it is given and what the reader should do.
 */

export const ConditionType = {
  /** The one to wait for: `kubectl wait --for=condition=Ready`. Always shown. */
  Ready: 'Ready',
  /** Whether what happened has been told to the event stream. Always shown. */
  EventsPublished: 'EventsPublished',
  /** Whether the required consumers take events. Shown when abnormal. */
  EventsAcknowledged: 'EventsAcknowledged',
  /** Moving towards what the spec asks for. Shown only while True, with the phase as its reason. */
  Reconciling: 'Reconciling',
  /** A person must act. Shown only while True, never together with Reconciling. */
  Stalled: 'Stalled',
  /** Whether a node was found for the pod. Shown when abnormal. */
  PodScheduled: 'PodScheduled',
  /** Whether the runtime class and a node that handles it exist. Shown when abnormal. */
  IsolationReady: 'IsolationReady',
  /** Whether the tenant's quota holds a place for this Agent or pool. Shown when abnormal. */
  QuotaReserved: 'QuotaReserved',
  /** Whether the Agent's Tenant exists and lets it run. Shown when abnormal. */
  TenantReady: 'TenantReady',
  /** Whether the object is held without pods by wish. Shown when True. */
  Suspended: 'Suspended',
  /** Whether the Agent has ended for good. Shown when True. */
  Finished: 'Finished',
  /** AgentPool: a roll-out is under way or done. */
  Progressing: 'Progressing',
  /** AgentPool: some of its Agents cannot be made or keep failing. */
  ReplicaFailure: 'ReplicaFailure',
  /** Tenant: no more fits into its quota. */
  QuotaExceeded: 'QuotaExceeded',
  /** Tenant: traffic is denied by default in all its namespaces. */
  NetworkIsolated: 'NetworkIsolated',
} as const;
export type ConditionType = (typeof ConditionType)[keyof typeof ConditionType];

/** Reasons of the conditions Ready and Stalled, and of transitions of an Agent. */
export const AgentReason = {
  /** The pod is ready and, where required, the event is out. Nothing to do. */
  AgentReady: 'AgentReady',
  /** The Agent was accepted and recorded; its pod comes next. Nothing to do. */
  AgentCreated: 'AgentCreated',
  /** A node was found for the pod. Nothing to do. */
  PodScheduled: 'PodScheduled',
  /** The container has started; its probes decide when it is ready. Nothing to do. */
  ContainerStarted: 'ContainerStarted',
  /** The pod runs but is not ready: look at the readiness probe and at `kubectl logs`. */
  PodNotReady: 'PodNotReady',
  /** The pod is ready; agent.ready is not on the stream yet. Comes by itself; if it stays, look at the broker. */
  AwaitingEventPublish: 'AwaitingEventPublish',
  /** Held without a pod. Set operatingMode back to Running, or ask who suspended the Tenant. */
  Suspended: 'Suspended',
  /** Back from Suspended. Nothing to do. */
  Resumed: 'Resumed',
  /** Not ready within startupDeadlineSeconds: look at the pod's events and logs, or allow more time. */
  StartDeadlineExceeded: 'StartDeadlineExceeded',
  /** The image cannot be pulled: check its name, the registry and imagePullSecrets. */
  ImagePullFailed: 'ImagePullFailed',
  /** The container keeps ending: `kubectl logs --previous` tells why. */
  CrashLoop: 'CrashLoop',
  /** The pod ended with an error: look at lastFailureReason and the logs. */
  PodFailed: 'PodFailed',
  /** A container was killed for using more memory than its limit: raise resources.limits.memory, or use less. */
  OutOfMemory: 'OutOfMemory',
  /** A container cannot be made: a Secret or ConfigMap it names may be missing; the message holds the node's words. */
  ContainerNotCreated: 'ContainerNotCreated',
  /** The cluster took the pod away: a drained node, preemption, pressure (no attempt is used up), or its own use of disk. */
  Evicted: 'Evicted',
  /** The pod disappeared without our doing: deleted by hand. */
  PodLost: 'PodLost',
  /** No node fits: compare requests, nodeSelector, tolerations and affinity with the nodes. */
  Unschedulable: 'Unschedulable',
  /** The RuntimeClass does not exist: create it, or name another. Agents are never run without it. */
  RuntimeClassNotFound: 'RuntimeClassNotFound',
  /** The RuntimeClass exists, but no node offers its handler: install the runtime on a node. */
  RuntimeHandlerMissing: 'RuntimeHandlerMissing',
  /** The tenant's quota is used up and the Agent waits for a place: remove an Agent or raise the quota. */
  WaitingForQuota: 'WaitingForQuota',
  /** The Agent alone asks for more than the quota holds: ask for less or raise the quota. */
  QuotaExceeded: 'QuotaExceeded',
  /** The namespace belongs to no Tenant: add it to a Tenant's spec.namespaces, or use a namespace that is. */
  TenantNotFound: 'TenantNotFound',
  /** The Tenant is on hold: see its spec.suspendReason. */
  TenantSuspended: 'TenantSuspended',
  /** The Tenant does not allow a runtime class, priority class, registry or traffic the Agent names: name another, or ask for it. */
  NotAllowed: 'NotAllowed',
  /** The node is gone or does not answer: the pod is replaced once it is certain to have ended. No attempt is used up. */
  NodeLost: 'NodeLost',
  /** The program ended with code 0. Nothing to do. */
  Completed: 'Completed',
  /** A deadline of spec.lifecycle has passed. Create the Agent again for another session. */
  SessionExpired: 'SessionExpired',
  /** The operator cannot reach its database: running pods stay, nothing new starts. Comes by itself. */
  DatabaseUnavailable: 'DatabaseUnavailable',
  /** The API server refuses the pod: the message holds its words; correct the spec or the namespace. */
  PodRejected: 'PodRejected',
  /** The API server refuses a claim of volumeClaimTemplates: the message holds its words. */
  ClaimRejected: 'ClaimRejected',
  /** A claim of volumeClaimTemplates is being deleted; the pod is made when it has gone and was made anew. */
  ClaimTerminating: 'ClaimTerminating',
  /** A pod or claim that is not ours stands under the name ours would take: remove it or rename the Agent. */
  NameConflict: 'NameConflict',
  /** The spec cannot be carried out as written: the message says what to correct. */
  InvalidSpec: 'InvalidSpec',
  /** recovery.backoffLimit attempts have failed: see lastFailureReason; any change of the spec starts anew. */
  RetriesExhausted: 'RetriesExhausted',
  /** The failed Agent is tried again, as recovery.retryAfterFailedSeconds says. Nothing to do. */
  Retrying: 'Retrying',
  /** The spec changed, so the pod is replaced. Nothing to do. */
  SpecChanged: 'SpecChanged',
  /** The Agent was deleted; its pod is stopping. Nothing to do. */
  Deleting: 'Deleting',
  /** The Agent and its pod are gone. */
  Deleted: 'Deleted',
} as const;
export type AgentReason = (typeof AgentReason)[keyof typeof AgentReason];

/** Reasons of the condition EventsPublished, of every kind. */
export const EventsReason = {
  /** True: everything that happened is on the stream. */
  UpToDate: 'UpToDate',
  /** Unknown: the event is recorded and on its way. Lasts milliseconds when all is well. */
  Publishing: 'Publishing',
  /** False: the broker cannot be reached. Nothing is lost; what is recorded is sent when it is back. */
  BrokerUnavailable: 'BrokerUnavailable',
  /** False: the database cannot be reached, so nothing can be recorded. Comes by itself. */
  DatabaseUnavailable: 'DatabaseUnavailable',
  /** False: the broker refused an event of this object for good; its later ones wait. Requeue or skip it. */
  DeadLettered: 'DeadLettered',
  /** False: a fault of the operator; an event fits no schema, so nothing is recorded or done. Run a corrected version. */
  EventInvalid: 'EventInvalid',
} as const;
export type EventsReason = (typeof EventsReason)[keyof typeof EventsReason];

/** Reasons of the condition EventsAcknowledged. */
export const AcknowledgedReason = {
  /** False: a required consumer does not exist. Create it, or take it off the operator's list. */
  ConsumerMissing: 'ConsumerMissing',
  /** False: a required consumer filters events out or acknowledges none. Correct it, or take it off the list. */
  ConsumerUnfit: 'ConsumerUnfit',
  /** False: the stream lost events or was put back. What it lost is published again; then this goes. Find the cause. */
  StreamDiscontinuity: 'StreamDiscontinuity',
} as const;
export type AcknowledgedReason = (typeof AcknowledgedReason)[keyof typeof AcknowledgedReason];

/** Reasons of Kubernetes Events of the operator's Lease: what concerns no one resource. */
export const OperatorReason = {
  /** The stream lost events or was put back; they are published again. Find out who or what did it. */
  StreamDiscontinuity: 'StreamDiscontinuity',
  /** The database had lost events that are on the stream; they are recorded again. It was restored, or failed over. */
  EventsAdopted: 'EventsAdopted',
  /** The stream has other events than the database under the same ids: those of the database are parked. */
  HistoryForked: 'HistoryForked',
  /** A required consumer does not exist: nothing more is acknowledged. Create it, or take it off the operator's list. */
  ConsumerMissing: 'ConsumerMissing',
  /** A required consumer filters events out or acknowledges none. Correct it, or take it off the list. */
  ConsumerUnfit: 'ConsumerUnfit',
  /** The stream will soon remove what a required consumer has not had. Let it take its events, or give the stream more. */
  ConsumerLagging: 'ConsumerLagging',
  /** A required consumer missed events: they left the stream, or it was made anew behind them. The note has the command. */
  ConsumerOvertaken: 'ConsumerOvertaken',
  /** The stream uses 70 % of its room. Give it more, or a shorter time. */
  StreamFilling: 'StreamFilling',
  /** The stream is full: the oldest events go, whatever their age. Give it more room, or a shorter time. */
  StreamFull: 'StreamFull',
} as const;
export type OperatorReason = (typeof OperatorReason)[keyof typeof OperatorReason];

/** Reasons of the conditions of a Tenant. */
export const TenantReason = {
  /** The Tenant was accepted and recorded. Nothing to do. */
  TenantCreated: 'TenantCreated',
  /** spec.suspend is None again. Nothing to do. */
  Resumed: 'Resumed',
  /** The Tenant is gone. */
  Deleted: 'Deleted',
  /** Every namespace is verified and set up. Nothing to do. */
  TenantReady: 'TenantReady',
  /** Some namespaces are not ready yet. Comes by itself. */
  NamespacesNotReady: 'NamespacesNotReady',
  /** A namespace exists and does not allow this Tenant: annotate it with `openos.dev/allow-tenant: <tenant>`. */
  NamespaceNotAllowed: 'NamespaceNotAllowed',
  /** Another Tenant owns a namespace that this one names: remove it from one of the two. */
  NamespaceTaken: 'NamespaceTaken',
  /** A namespace is being deleted: wait until it is gone, or remove it from the list. */
  NamespaceTerminating: 'NamespaceTerminating',
  /** spec.suspend holds the Tenant: set it to None to go on. */
  Suspended: 'Suspended',
  /** The tenant's quota is used up: remove something or raise it. */
  QuotaExceeded: 'QuotaExceeded',
  /** The operator cannot reach its database. Comes by itself. */
  DatabaseUnavailable: 'DatabaseUnavailable',
  /** The spec cannot be carried out as written: the message says what to correct. */
  InvalidSpec: 'InvalidSpec',
  /** The Tenant is being deleted and its agents are not gone yet. */
  Terminating: 'Terminating',
  /** Only what spec.network allows gets through, in every namespace. Nothing to do. */
  DefaultDeny: 'DefaultDeny',
  /** spec.network.isolation is Unmanaged: traffic is whatever your own NetworkPolicies make of it. */
  Unmanaged: 'Unmanaged',
} as const;
export type TenantReason = (typeof TenantReason)[keyof typeof TenantReason];

/** Reasons of the conditions of an AgentPool, and of what is recorded of it. */
export const AgentPoolReason = {
  /** As many pools as the tenant's quota allows are there, and the pool waits for a place: remove one or raise the quota. */
  WaitingForQuota: 'WaitingForQuota',
  /** The tenant's quota allows no pools at all: raise it. */
  QuotaExceeded: 'QuotaExceeded',
  /** The pool was accepted and recorded; its Agents come next. Nothing to do. */
  PoolCreated: 'PoolCreated',
  /** Another number of Agents is asked for. Nothing to do. */
  ReplicasChanged: 'ReplicasChanged',
  /** The template changed and takes effect. Nothing to do. */
  TemplateChanged: 'TemplateChanged',
  /** The pool and all its Agents are gone. */
  Deleted: 'Deleted',
  /** Progressing: Agents are being made or replaced. Nothing to do. */
  RollingOut: 'RollingOut',
  /** Progressing: every Agent is there, available and of the current template. Nothing to do. */
  RolloutComplete: 'RolloutComplete',
  /** As many Agents are available as wanted. Nothing to do. */
  PoolReady: 'PoolReady',
  /** Fewer Agents are available than wanted. Comes by itself. */
  ReplicasNotReady: 'ReplicasNotReady',
  /** No progress for progressDeadlineSeconds: look at the Agents that are not Ready. */
  ProgressDeadlineExceeded: 'ProgressDeadlineExceeded',
  /** spec.paused holds the roll-out. Nothing to do. */
  Paused: 'Paused',
  /** maxConsecutiveFailures Agents failed in a row, so no more are made: mend the template. */
  TooManyFailures: 'TooManyFailures',
  /** Agents cannot be scheduled, so no more are made: add nodes or ask for less. */
  Unschedulable: 'Unschedulable',
  /** The API server refuses the Agents: the message holds its words. */
  AgentRejected: 'AgentRejected',
  /** The namespace belongs to no Tenant: add it to a Tenant's spec.namespaces, or use a namespace that is. */
  TenantNotFound: 'TenantNotFound',
  /** The operator cannot reach its database: Agents stay as they are. Comes by itself. */
  DatabaseUnavailable: 'DatabaseUnavailable',
  /** The spec cannot be carried out as written: the message says what to correct. */
  InvalidSpec: 'InvalidSpec',
} as const;
export type AgentPoolReason = (typeof AgentPoolReason)[keyof typeof AgentPoolReason];

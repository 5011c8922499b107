/**
 * Phases are a summary for people; conditions are the contract. Except for `Pending` each is a transition
 * recorded in the database, and the last recorded row is the truth that `status.phase` projects.
 */
export const AgentPhase = {
  /** Shown, never recorded: no tenant, no quota left, on hold, or the database is away. */
  Pending: 'Pending',
  /** Belongs to a tenant, its quota is reserved, and that is committed. Only now is a pod created. */
  Created: 'Created',
  /** A node was found for the pod. */
  Scheduled: 'Scheduled',
  /** A container has started and is not ready yet. */
  Starting: 'Starting',
  /** The pod is ready; shown once agent.ready is on the stream, unless events.readinessGate is BestEffort. */
  Ready: 'Ready',
  /** Was Ready; the pod still runs, but its readiness probe fails. */
  NotReady: 'NotReady',
  /** The pod was lost or failed and attempts are left: cleaned up, then started again after a pause. */
  Recovering: 'Recovering',
  /** Attempts are used up, or another would not help. Tried again after recovery.retryAfterFailedSeconds. */
  Failed: 'Failed',
  /** The spec changed in a way that needs a new pod. */
  Replacing: 'Replacing',
  /** On the way to Suspended: the pod is stopping. */
  Suspending: 'Suspending',
  /** No pod by wish of operatingMode or the Tenant; everything else is kept. */
  Suspended: 'Suspended',
  /** Finished for good: the program ended with code 0, or its session is over. */
  Completed: 'Completed',
  /** The Agent is deleted or being deleted; its pod is on the way out. */
  Terminating: 'Terminating',
  /** Recorded last, when the last pod is gone. Nobody sees it in a status: the object is no longer there. */
  Deleted: 'Deleted',
} as const;
export type AgentPhase = (typeof AgentPhase)[keyof typeof AgentPhase];

export const TenantPhase = {
  /** Its namespaces are not all verified yet. */
  Pending: 'Pending',
  /** Every namespace is verified; agents may start. */
  Active: 'Active',
  /** spec.suspend holds it: no new pods, and none at all with HoldAndDrain. */
  Suspended: 'Suspended',
  /** Being deleted; kept until its agents are gone, for a bounded time. */
  Terminating: 'Terminating',
} as const;
export type TenantPhase = (typeof TenantPhase)[keyof typeof TenantPhase];

/** How far the newest event of an object has come on its way to those who wait for it. */
export const ConsistencyState = {
  /** The change is committed. Always together with OutboxWritten: it is the same transaction. */
  Persisted: 'Persisted',
  /** The change and its event are committed. */
  OutboxWritten: 'OutboxWritten',
  /** The stream has stored the event. */
  Published: 'Published',
  /** Every required consumer is past it. */
  Acknowledged: 'Acknowledged',
  /** The broker refused this very message too often. It is parked and can be queued again. */
  DeadLettered: 'DeadLettered',
  /** Given up by decision of an operator; a tombstone was published in its place. */
  Skipped: 'Skipped',
  /** Aged out of the stream as its retention says. */
  Expired: 'Expired',
} as const;
export type ConsistencyState = (typeof ConsistencyState)[keyof typeof ConsistencyState];

import type { AgentPhase } from '../../api/v1alpha1/phases.ts';
import type { AgentReason } from '../../api/v1alpha1/reasons.ts';
import type { AgentFacts } from './facts.ts';

/** The event each transition tells; schemas are in `events/schemas`. */
export type AgentEventType =
  | 'agent.created'
  | 'agent.scheduled'
  | 'agent.starting'
  | 'agent.ready'
  | 'agent.unready'
  | 'agent.recovering'
  | 'agent.failed'
  | 'agent.updated'
  | 'agent.stopping'
  | 'agent.stopped'
  | 'agent.resumed'
  | 'agent.completed'
  | 'agent.deleted';

/** Every phase but Pending is recorded. `New` stands for "nothing recorded yet" and is never shown; Pending is shown in its place. */
export type RecordedPhase = Exclude<AgentPhase, 'Pending'>;
export type MachineState = RecordedPhase | 'New';

export type TransitionRule = {
  readonly from: readonly MachineState[];
  readonly to: RecordedPhase;
  /** Fixed, or taken from what was observed (why the pod failed). */
  readonly reason: AgentReason | ((facts: AgentFacts) => AgentReason);
  readonly event: AgentEventType;
  readonly when: (facts: AgentFacts) => boolean;
  /** For the diagram in the README: the guard in a few words. */
  readonly guard: string;
};

const trying: readonly MachineState[] = [
  'Created',
  'Scheduled',
  'Starting',
  'Ready',
  'NotReady',
  'Recovering',
  'Replacing',
];
const suspending: readonly MachineState[] = ['Suspending', 'Suspended'];
const alive: readonly MachineState[] = [...trying, 'Failed', ...suspending, 'Completed'];
const starting: readonly MachineState[] = ['Created', 'Scheduled', 'Starting', 'Recovering', 'Replacing'];
const running: readonly MachineState[] = ['Scheduled', 'Starting', 'Ready', 'NotReady'];

/**
 * The control-plane machine of an Agent (O1). The first row whose `from` holds the recorded phase and
 * whose `when` is true wins; nothing else moves a phase. A pass walks it until no row matches, so every
 * phase in between is recorded even when one look at the pod proves several of them at once.
 */
export const transitions: readonly TransitionRule[] = [
  {
    from: alive,
    to: 'Terminating',
    reason: 'Deleting',
    event: 'agent.stopping',
    when: (f) => f.absent,
    guard: 'the Agent is deleted',
  },
  {
    from: ['Terminating'],
    to: 'Deleted',
    reason: 'Deleted',
    event: 'agent.deleted',
    when: (f) => f.absent && f.podsGone && f.claimsGone,
    guard: 'its last pod is gone, and so is every claim without a volume',
  },
  {
    from: ['New'],
    to: 'Created',
    reason: 'AgentCreated',
    event: 'agent.created',
    when: (f) => f.admitted,
    guard: 'it belongs to a tenant and can run',
  },
  {
    from: [...trying, 'Failed', ...suspending],
    to: 'Completed',
    reason: 'SessionExpired',
    event: 'agent.completed',
    when: (f) => f.sessionExpired,
    guard: 'its session is over',
  },
  {
    from: ['Suspended'],
    to: 'Created',
    reason: 'Resumed',
    event: 'agent.resumed',
    when: (f) => f.admitted && !f.suspendWanted,
    guard: 'nothing holds it any more',
  },
  {
    from: [...trying, 'Suspending'],
    to: 'Suspended',
    reason: 'Suspended',
    event: 'agent.stopped',
    when: (f) => f.podsGone && (f.suspendWanted || f.suspendBegun),
    guard: 'it is to be suspended and no pod is left',
  },
  {
    from: trying,
    to: 'Suspending',
    reason: 'Suspended',
    event: 'agent.stopping',
    when: (f) => f.suspendWanted,
    guard: 'operatingMode is Suspended, or the Tenant drains',
  },
  {
    from: [...trying, 'Failed', 'Completed'],
    to: 'Replacing',
    reason: 'SpecChanged',
    event: 'agent.updated',
    when: (f) => f.specChanged,
    guard: 'the spec asks for another pod',
  },
  {
    from: ['Failed'],
    to: 'Recovering',
    reason: 'Retrying',
    event: 'agent.recovering',
    when: (f) => f.retryDue,
    guard: 'the retry pause is over',
  },
  {
    from: running,
    to: 'Completed',
    reason: 'Completed',
    event: 'agent.completed',
    when: (f) => f.podSucceeded,
    guard: 'the program ended with code 0 and is not to be restarted',
  },
  {
    from: running,
    to: 'Recovering',
    reason: (f) => f.podTrouble ?? 'PodLost',
    event: 'agent.recovering',
    when: (f) => f.podTrouble !== undefined && f.attemptsLeft,
    guard: 'the pod is lost, failed or crash-looping; attempts left',
  },
  {
    from: running,
    to: 'Failed',
    reason: (f) => f.podTrouble ?? 'PodLost',
    event: 'agent.failed',
    when: (f) => f.podTrouble !== undefined,
    guard: 'the pod is lost, failed or crash-looping; no attempts left',
  },
  {
    from: starting,
    to: 'Recovering',
    reason: (f) => f.waitingFor ?? 'StartDeadlineExceeded',
    event: 'agent.recovering',
    when: (f) => f.startDeadlinePassed && !f.podReady && f.attemptsLeft,
    guard: 'not Ready by the start deadline; attempts left',
  },
  {
    from: starting,
    to: 'Failed',
    reason: (f) => f.waitingFor ?? 'StartDeadlineExceeded',
    event: 'agent.failed',
    when: (f) => f.startDeadlinePassed && !f.podReady,
    guard: 'not Ready by the start deadline; no attempts left',
  },
  {
    from: ['Created', 'Recovering', 'Replacing'],
    to: 'Scheduled',
    reason: 'PodScheduled',
    event: 'agent.scheduled',
    when: (f) => f.podScheduled,
    guard: 'the pod has a node',
  },
  {
    from: ['Scheduled'],
    to: 'Starting',
    reason: 'ContainerStarted',
    event: 'agent.starting',
    when: (f) => f.containerStarted,
    guard: 'its containers have started',
  },
  {
    from: ['Starting'],
    to: 'Ready',
    reason: 'AgentReady',
    event: 'agent.ready',
    when: (f) => f.podReady && f.readyLongEnough,
    guard: 'the pod is Ready',
  },
  {
    from: ['NotReady'],
    to: 'Ready',
    reason: 'AgentReady',
    event: 'agent.ready',
    when: (f) => f.podReady,
    guard: 'the pod is Ready again',
  },
  {
    from: ['Ready'],
    to: 'NotReady',
    reason: (f) => (f.waitingFor === 'NodeLost' ? 'NodeLost' : 'PodNotReady'),
    event: 'agent.unready',
    when: (f) => !f.podReady,
    guard: 'the pod runs but is not Ready',
  },
];

/** One step: the first rule that matches, or undefined when the phase is where the facts say it belongs. */
export function step(phase: MachineState, facts: AgentFacts): TransitionRule | undefined {
  return transitions.find((rule) => rule.from.includes(phase) && rule.when(facts));
}

/** Entering one of these begins a new attempt: its pod does not exist yet, so nothing more can be read off the facts. */
export const attemptStarts = ['Created', 'Recovering', 'Replacing'] as const satisfies readonly RecordedPhase[];

export function startsAttempt(phase: string): boolean {
  return (attemptStarts as readonly string[]).includes(phase);
}

/** Every rule the facts prove in one look, in order. Bounded: a cycle in the table would be a programming error. */
export function walk(from: MachineState, facts: AgentFacts): readonly TransitionRule[] {
  const taken: TransitionRule[] = [];
  let phase = from;
  while (taken.length < transitions.length) {
    const rule = step(phase, facts);
    if (rule === undefined) return taken;
    taken.push(rule);
    phase = rule.to;
    if (startsAttempt(phase) || phase === 'Failed' || phase === 'Completed') return taken;
  }
  throw new Error(`the agent machine does not come to rest: ${taken.map((rule) => rule.to).join(' → ')}`);
}

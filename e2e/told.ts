import type { Cluster } from '../hack/lib/cluster.ts';
import { eventsOf } from '../hack/lib/stream.ts';
import type { ReceivedEvent } from '../operator/events/read-events.ts';
import type { AgentEventType } from '../operator/resources/agent/machine.ts';
import { eventually } from '../operator/testkit/eventually.ts';

export type AnyEvent = ReceivedEvent['event'];

/** What a consumer of the stream is told. */
export type Told = {
  /** The events of one agent in the order of the stream; of one that was sent again, the first. */
  told(uid: string): Promise<readonly AnyEvent[]>;
  /** Waits until the newest event of the agent is of this type, and answers all of them. */
  toldUntil(uid: string, last: AgentEventType): Promise<readonly AnyEvent[]>;
};

const deadlineMs = 120_000;
/** Each look goes through a port-forward of its own. */
const pollMs = 500;

export function toldIn(cluster: Cluster): Told {
  const told = async (uid: string) => {
    const ids = new Set<string>();
    const events = (await eventsOf(cluster, uid)).map(({ event }) => event);
    return events.filter(({ event_id }) => !ids.has(event_id) && ids.add(event_id));
  };
  return {
    told,
    toldUntil: (uid, last) =>
      eventually(
        `${last} is the newest event of ${uid}`,
        async () => {
          const events = await told(uid);
          if (events.at(-1)?.event_type === last) return events;
          throw new Error(JSON.stringify(types(events)));
        },
        deadlineMs,
        pollMs,
      ),
  };
}

/** The start of an Agent that nothing disturbs. */
export const coldStart = ['agent.created', 'agent.scheduled', 'agent.starting', 'agent.ready'] as const;
/** Every later start, after what made it necessary. */
export const anotherStart = ['agent.scheduled', 'agent.starting', 'agent.ready'] as const;

export function types(events: readonly AnyEvent[]): readonly string[] {
  return events.map(({ event_type }) => event_type);
}

/** 1, 2, 3 … as far as there are events: what `sequence` has to be. */
export function gapFree(events: readonly AnyEvent[]): readonly number[] {
  return events.map((_, index) => index + 1);
}

export function sequences(events: readonly AnyEvent[]): readonly number[] {
  return events.map(({ sequence }) => sequence);
}

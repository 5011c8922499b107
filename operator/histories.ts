import type { Clock } from './kernel/clock.ts';
import type { AgentHistory, AgentRow } from './resources/agent/history.ts';
import type { AcknowledgedEvent } from './store/repositories/acknowledgement.ts';

/** Others have a say in what became of an event (consumers acknowledge, people skip): for so long it is not asked. */
const believedMs = 10_000;

export type HistoriesPorts = {
  readonly read: (uid: string) => Promise<AgentHistory>;
  /** False while the database is away: then nothing is answered from memory. */
  readonly isAvailable: () => boolean;
  readonly clock: Clock;
};

type Known = Extract<AgentHistory, { readonly kind: 'known' }>;
type Entry = { readonly history: Known; readonly until: number };

/**
 * What is recorded of agents, for the leader: nobody else records, so what it read or recorded a moment ago still
 * holds. Should it not, (aggregate_id, seq) refuses what follows from it, and it is read again. Work on one agent is
 * never done twice at a time.
 */
export class AgentHistories {
  readonly #ports: HistoriesPorts;
  /** The oldest first. */
  readonly #entries = new Map<string, Entry>();
  /** Agents that are being read or recorded, as long as no event of theirs was settled meanwhile. */
  readonly #inHand = new Set<string>();

  constructor(ports: HistoriesPorts) {
    this.#ports = ports;
  }

  /** @throws what `read` throws */
  async of(uid: string): Promise<AgentHistory> {
    this.#dropOutdated();
    return this.#entries.get(uid)?.history ?? this.#keep(uid, () => this.#ports.read(uid));
  }

  /** Runs `record`, which answers what is recorded now. Whatever it throws, the agent is read anew. */
  async recording(uid: string, record: () => Promise<AgentHistory>): Promise<void> {
    this.#entries.delete(uid);
    await this.#keep(uid, record);
  }

  /** Something about events of these agents was committed; of those published, by id, when. */
  settled(uids: ReadonlySet<string>, publishedAt: ReadonlyMap<string, Date>): void {
    for (const uid of uids) {
      this.#inHand.delete(uid);
      const entry = this.#entries.get(uid);
      if (entry === undefined) continue;
      const history = withPublished(entry.history, publishedAt);
      if (history === undefined) this.#entries.delete(uid);
      else this.#entries.set(uid, { ...entry, history });
    }
  }

  /** It was committed that consumers have had these events. */
  acknowledged(events: readonly AcknowledgedEvent[]): void {
    for (const { aggregateId: uid, eventId } of events) {
      this.#inHand.delete(uid);
      const entry = this.#entries.get(uid);
      if (entry === undefined) continue;
      const history = withEvents(entry.history, (event) =>
        event.id === eventId ? { ...event, state: 'Acknowledged' } : event,
      );
      this.#entries.set(uid, { ...entry, history });
    }
  }

  async #keep(uid: string, work: () => Promise<AgentHistory>): Promise<AgentHistory> {
    this.#inHand.add(uid);
    try {
      const history = await work();
      const isOver = history.kind !== 'known' || history.last?.to === 'Deleted';
      // What was settled meanwhile may be in it or not.
      if (!isOver && this.#inHand.has(uid)) {
        this.#entries.set(uid, { history, until: this.#ports.clock.monotonic() + believedMs });
      }
      return history;
    } finally {
      this.#inHand.delete(uid);
    }
  }

  #dropOutdated(): void {
    if (!this.#ports.isAvailable()) this.#entries.clear();
    const now = this.#ports.clock.monotonic();
    for (const [uid, { until }] of this.#entries) {
      if (until > now) return;
      this.#entries.delete(uid);
    }
  }
}

/** Undefined when none of the rows tells of what was published. */
function withPublished(history: Known, publishedAt: ReadonlyMap<string, Date>): Known | undefined {
  const isTold = (row: AgentRow | undefined) => row !== undefined && publishedAt.has(row.event.id);
  if (!Object.values(history.latestByPhase).some(isTold)) return undefined;
  return withEvents(history, (event) => {
    const at = publishedAt.get(event.id)?.getTime();
    if (at === undefined) return event;
    const { lastError: _, ...told } = event;
    return { ...told, state: 'Published', publishedAt: at };
  });
}

/** The same rows with what became of their events. */
function withEvents(history: Known, became: (event: AgentRow['event']) => AgentRow['event']): Known {
  const { last, latestByPhase } = history;
  const told = (row: AgentRow): AgentRow => ({ ...row, event: became(row.event) });
  const rows = Object.entries(latestByPhase).map(([phase, row]) => [phase, told(row)] as const);
  return { ...history, last: last && told(last), latestByPhase: Object.fromEntries(rows) };
}

import type { AcknowledgementStore, KnownConsumer } from '../store/repositories/acknowledgement.ts';
import { type ConsumerView, type GivenUp, type RequiredConsumer, startOf } from './acknowledged.ts';
import type { Missed } from './stream-alarms.ts';
import type { Capture, ConsumerState, StreamObserver, StreamState } from './stream-observer.ts';

/** The consumer that comes with the operator. */
export const projectorName = 'openos-projector';

type Report = Capture['givenUp'][number];

/** What a stream removes it removes for hours on end: people are told of it so often. */
const toldEveryMs = 60_000;
/** A publisher notes within this time what the stream took; in a stream that is full it may have gone by then. */
const recordedMs = 2_000;

/** `dueAt`: when all of it is recorded. `until`: when it grows no more. Both on the clock of `look`. */
type Gap = { readonly lastSeq: number; readonly dueAt: number; readonly until: number };

export type RequiredConsumersOptions = {
  readonly store: AcknowledgementStore;
  readonly observer: StreamObserver;
  readonly names: readonly string[];
  /** Called before it is remembered that people know of it. */
  readonly onMissed: (missed: Missed) => void;
};

/** The required consumers as they are, with what only memory can tell: where each began and what was given up for it. */
export class RequiredConsumers {
  readonly #options: RequiredConsumersOptions;
  #known: ReadonlyMap<string, KnownConsumer> | undefined;
  #states: readonly ConsumerState[] = [];
  #capture = { created: '', lastSeq: 0 };
  #reports: Report[] = [];
  readonly #gaps = new Map<string, Gap>();
  /** When people were last told of what a consumer has missed, on the clock of `look`. */
  readonly #toldAt = new Map<string, number>();

  constructor(options: RequiredConsumersOptions) {
    this.#options = options;
  }

  /** Everything the server has reported by now about the consumers as they were at the last look. */
  async givenUp(): Promise<readonly GivenUp[]> {
    const { names, observer } = this.#options;
    const { created, lastSeq, givenUp } = await observer.capture(this.#capture.lastSeq);
    if (created !== this.#capture.created && this.#capture.created !== '') {
      // Numbered anew: from the beginning.
      this.#capture = { created, lastSeq: 0 };
      this.#reports = [];
      return this.givenUp();
    }
    this.#capture = { created, lastSeq };
    this.#reports.push(...givenUp.filter(({ consumer }) => names.includes(consumer)));
    const since = new Map(this.#states.map((state) => [state.name, Date.parse(state.created)]));
    return this.#reports.filter(({ consumer, at }) => at >= (since.get(consumer) ?? 0));
  }

  /**
   * Looks at every required consumer, after `givenUp`. `stream` was looked at before; `now` is on a clock of
   * milliseconds that never goes back.
   */
  async look(stream: StreamState, now: number): Promise<readonly RequiredConsumer[]> {
    const { names, observer, store } = this.#options;
    this.#reports = this.#reports.filter(({ streamSeq }) => streamSeq >= stream.firstSeq);
    this.#known ??= new Map((await store.readKnownConsumers()).map((known) => [known.name, known]));
    const found = await Promise.all(names.map((name) => observer.consumer(name)));
    this.#states = found.filter((state) => state !== undefined);
    const known = new Map(this.#known);
    for (const [index, name] of names.entries()) {
      const before = known.get(name);
      const state = found[index];
      const after = state === undefined ? before : this.#recognise(state, stream, before);
      if (after !== undefined) known.set(name, await this.#noteMissed(before, after, stream, now));
    }
    const news = [...known.values()].filter((each) => !isSame(each, this.#known?.get(each.name)));
    await store.keepKnownConsumers(news);
    this.#known = known;
    return names.map((name, index) => {
      const state = found[index];
      return state === undefined ? { name } : { name, view: viewOf(state, known.get(name)?.startSeq ?? 1) };
    });
  }

  /** Says what the consumer is not given any more, and how far people know about it from now on. */
  async #noteMissed(
    before: KnownConsumer | undefined,
    after: KnownConsumer,
    { created: streamCreated, firstSeq }: StreamState,
    now: number,
  ): Promise<KnownConsumer> {
    const { onMissed, store } = this.#options;
    // What another life of the stream has lost is the auditor's to find.
    if (!before?.incarnation.startsWith(`${streamCreated} `)) return after;
    const { name: consumer, floorSeq } = before;
    if (after.incarnation !== before.incarnation) {
      const skipped = { streamCreated, firstSeq: Math.max(floorSeq + 1, firstSeq), lastSeq: after.startSeq - 1 };
      const missed = await store.countMissed('Published', skipped);
      if (missed) onMissed({ ...missed, consumer, haveLeft: false });
    }
    if (floorSeq + 1 >= firstSeq) return after;
    const gap = this.#gapOf(consumer, firstSeq - 1, now);
    const left = { streamCreated, firstSeq: floorSeq + 1, lastSeq: gap.lastSeq };
    // The auditor says what became of them: those that went before their time are published again without anybody.
    if (now < gap.dueAt || (await store.hasPublished(left))) return { ...after, floorSeq };
    this.#gaps.delete(consumer);
    const missed = await store.countMissed('Expired', left);
    if (missed) {
      this.#toldAt.set(consumer, now);
      onMissed({ ...missed, consumer, haveLeft: true });
    }
    return { ...after, floorSeq: gap.lastSeq };
  }

  /** What left the stream ahead of a consumer; while more follows it is waited for, but not for ever. */
  #gapOf(consumer: string, lastSeq: number, now: number): Gap {
    const standing = this.#gaps.get(consumer);
    const recordedAt = now + recordedMs;
    if (standing && (lastSeq === standing.lastSeq || recordedAt > standing.until)) return standing;
    const dueAt = Math.max(recordedAt, (this.#toldAt.get(consumer) ?? Number.NEGATIVE_INFINITY) + toldEveryMs);
    const gap = { lastSeq, dueAt, until: standing?.until ?? dueAt + toldEveryMs };
    this.#gaps.set(consumer, gap);
    return gap;
  }

  #recognise(state: ConsumerState, stream: StreamState, known: KnownConsumer | undefined): KnownConsumer {
    const isBuiltIn = state.name === projectorName;
    const birth = `${stream.created} ${state.created}`;
    const incarnation = [birth, isBuiltIn ? '' : this.#capture.created, ...state.filters].join(' ');
    const { name, ackFloor } = state;
    if (known?.incarnation === incarnation) return { ...known, floorSeq: Math.max(known.floorSeq, ackFloor) };
    const end = Math.max(stream.lastSeq, state.ackFloor);
    // The same consumer with another filter: what it went past with the one before says nothing.
    const isChanged = known?.incarnation.startsWith(`${birth} `) === true;
    const origin = { ...state, createdAt: Date.parse(state.created), isBuiltIn };
    const startSeq = isChanged ? end + 1 : startOf(origin, end, Date.parse(this.#capture.created));
    // What went before it was known it has not missed; what its namesake had, or people know of, is no news.
    const hadSeq = known?.incarnation.startsWith(`${stream.created} `) ? known.floorSeq : stream.firstSeq - 1;
    return { name, incarnation, startSeq, floorSeq: Math.max(ackFloor, startSeq - 1, hadSeq) };
  }
}

function isSame(a: KnownConsumer, b: KnownConsumer | undefined): boolean {
  return a.incarnation === b?.incarnation && a.floorSeq === b.floorSeq;
}

function viewOf(state: ConsumerState, startSeq: number): ConsumerView {
  const { name, filters, acksExplicitly, ackFloor, pending, unacknowledged } = state;
  return { name, filters, startSeq, acksExplicitly, ackFloor, pending, unacknowledged };
}

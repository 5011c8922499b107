import type { AcknowledgementStore, KnownConsumer } from '../store/repositories/acknowledgement.ts';
import { type ConsumerView, type GivenUp, type RequiredConsumer, startOf } from './acknowledged.ts';
import type { Capture, ConsumerState, StreamObserver, StreamState } from './stream-observer.ts';

/** The consumer that comes with the operator. */
export const projectorName = 'openos-projector';

type Report = Capture['givenUp'][number];

/** The required consumers as they are, with what only memory can tell: where each began and what was given up for it. */
export class RequiredConsumers {
  readonly #store: AcknowledgementStore;
  readonly #observer: StreamObserver;
  readonly #names: readonly string[];
  #known: ReadonlyMap<string, KnownConsumer> | undefined;
  #states: readonly ConsumerState[] = [];
  #capture = { created: '', lastSeq: 0 };
  #reports: Report[] = [];

  constructor(store: AcknowledgementStore, observer: StreamObserver, names: readonly string[]) {
    this.#store = store;
    this.#observer = observer;
    this.#names = names;
  }

  /** Everything the server has reported by now about the consumers as they were at the last look. */
  async givenUp(): Promise<readonly GivenUp[]> {
    const { created, lastSeq, givenUp } = await this.#observer.capture(this.#capture.lastSeq);
    if (created !== this.#capture.created && this.#capture.created !== '') {
      // Numbered anew: from the beginning.
      this.#capture = { created, lastSeq: 0 };
      this.#reports = [];
      return this.givenUp();
    }
    this.#capture = { created, lastSeq };
    this.#reports.push(...givenUp.filter(({ consumer }) => this.#names.includes(consumer)));
    const since = new Map(this.#states.map((state) => [state.name, Date.parse(state.created)]));
    return this.#reports.filter(({ consumer, at }) => at >= (since.get(consumer) ?? 0));
  }

  /** Looks at every required consumer. `stream` was looked at before. */
  async look(stream: StreamState): Promise<readonly RequiredConsumer[]> {
    this.#reports = this.#reports.filter(({ streamSeq }) => streamSeq >= stream.firstSeq);
    this.#known ??= new Map((await this.#store.readKnownConsumers()).map((known) => [known.name, known]));
    const found = await Promise.all(this.#names.map((name) => this.#observer.consumer(name)));
    this.#states = found.filter((state) => state !== undefined);
    const known = new Map(this.#known);
    const now = this.#states.map((state) => this.#recognise(state, stream, known.get(state.name)));
    const news = now.filter((each) => !isSame(each, known.get(each.name)));
    await this.#store.keepKnownConsumers(news);
    for (const each of news) known.set(each.name, each);
    this.#known = known;
    return this.#names.map((name, index) => {
      const state = found[index];
      return state === undefined ? { name } : { name, view: viewOf(state, known.get(name)?.startSeq ?? 1) };
    });
  }

  #recognise(state: ConsumerState, stream: StreamState, known: KnownConsumer | undefined): KnownConsumer {
    const isBuiltIn = state.name === projectorName;
    const birth = `${stream.created} ${state.created}`;
    const incarnation = [birth, isBuiltIn ? '' : this.#capture.created, ...state.filters].join(' ');
    const { name, ackFloor: floorSeq } = state;
    if (known?.incarnation === incarnation) return { ...known, floorSeq };
    const end = Math.max(stream.lastSeq, state.ackFloor);
    // The same consumer with another filter: what it went past with the one before says nothing.
    const isChanged = known?.incarnation.startsWith(`${birth} `) === true;
    const origin = { ...state, createdAt: Date.parse(state.created), isBuiltIn };
    const startSeq = isChanged ? end + 1 : startOf(origin, end, Date.parse(this.#capture.created));
    return { name, incarnation, startSeq, floorSeq };
  }
}

function isSame(a: KnownConsumer, b: KnownConsumer | undefined): boolean {
  return a.incarnation === b?.incarnation && a.floorSeq === b.floorSeq;
}

function viewOf(state: ConsumerState, startSeq: number): ConsumerView {
  const { name, filters, acksExplicitly, ackFloor, pending, unacknowledged } = state;
  return { name, filters, startSeq, acksExplicitly, ackFloor, pending, unacknowledged };
}

/** One message of one incarnation of the stream, as the outbox remembers it. */
export type PublishedEvent = {
  readonly subject: string;
  /** `created` of the stream that took it. */
  readonly streamCreated: string;
  readonly streamSeq: number;
};

/** The stream, looked at before and after its consumers. */
export type StreamView = {
  readonly created: string;
  /** Its last sequence before the consumers were looked at. */
  readonly lastSeq: number;
  /** Its first sequence after they were. */
  readonly firstSeq: number;
  /** Sequences above `firstSeq` that are gone, after they were. */
  readonly deleted: ReadonlySet<number>;
};

/** A required durable consumer that exists. */
export type ConsumerView = {
  readonly name: string;
  /** Subjects it is given; none = all. */
  readonly filters: readonly string[];
  /** The first sequence it can have been given. */
  readonly startSeq: number;
  /** False for one whose messages count as taken when they are sent. */
  readonly acksExplicitly: boolean;
  readonly ackFloor: number;
  /** Messages it has yet to be given. */
  readonly pending: number;
  /** Messages it was given and has not acknowledged. */
  readonly unacknowledged: number;
};

/** The server gave a message up for a consumer: its last delivery failed, or the consumer ended it. */
export type GivenUp = { readonly consumer: string; readonly streamSeq: number };

/** A required consumer by its name; without a view it is missing. */
export type RequiredConsumer = { readonly name: string; readonly view?: ConsumerView };

/**
 * Whether every required consumer has had the event. An ack floor alone does not say so: it also passes what was
 * given up, purged, filtered out, sent before the consumer began, or numbered in another life of the stream.
 */
export function acknowledged(
  event: PublishedEvent,
  required: readonly RequiredConsumer[],
  stream: StreamView,
  givenUp: readonly GivenUp[],
): boolean {
  // Nobody required is nobody who could have had it.
  if (required.length === 0 || !stands(event, stream)) return false;
  return required.every(
    ({ view }) =>
      view !== undefined &&
      isPast(event, view, stream) &&
      !givenUp.some(({ consumer, streamSeq }) => consumer === view.name && streamSeq === event.streamSeq),
  );
}

/** A purge moves ack floors over what it takes: only of a message that is still there does a floor tell anything. */
function stands({ streamCreated, streamSeq }: PublishedEvent, stream: StreamView): boolean {
  return streamCreated === stream.created && streamSeq >= stream.firstSeq && !stream.deleted.has(streamSeq);
}

function isPast({ subject, streamSeq }: PublishedEvent, consumer: ConsumerView, stream: StreamView): boolean {
  if (!consumer.acksExplicitly || streamSeq < consumer.startSeq) return false;
  return streamSeq <= passed(consumer, stream) && matches(subject, consumer.filters);
}

/** How far a consumer is. With nothing pending and nothing unacknowledged it has had all that was there before. */
export function passed(consumer: ConsumerView, stream: Pick<StreamView, 'lastSeq'>): number {
  const isDone = consumer.pending === 0 && consumer.unacknowledged === 0;
  return isDone ? Math.max(consumer.ackFloor, stream.lastSeq) : consumer.ackFloor;
}

/** Whether a subject is among those of NATS subject filters; no filters let everything through. */
export function matches(subject: string, filters: readonly string[]): boolean {
  return filters.length === 0 || filters.some((filter) => matchesOne(subject.split('.'), filter.split('.')));
}

function matchesOne(subject: readonly string[], filter: readonly string[]): boolean {
  const open = filter.at(-1) === '>';
  const fixed = open ? filter.slice(0, -1) : filter;
  if (open ? subject.length <= fixed.length : subject.length !== fixed.length) return false;
  return fixed.every((token, index) => token === '*' || token === subject[index]);
}

/** What decides where a consumer begins, as the server tells it. */
export type ConsumerOrigin = {
  /** When it was made; ms since the epoch. */
  readonly createdAt: number;
  readonly deliverPolicy: string;
  /** Set when the policy is by_start_sequence. */
  readonly optStartSeq?: number;
  /** Our own: no message is ever given up for it. */
  readonly isBuiltIn: boolean;
};

/**
 * The first sequence that a consumer seen for the first time can have been given, so far as that is certain.
 * `streamLastSeq` is the stream's end now; `capturedSince` says since when the server's advisories are kept (ms
 * since the epoch): what it gave up for an older consumer we would not know.
 */
export function startOf(origin: ConsumerOrigin, streamLastSeq: number, capturedSince: number): number {
  const afterAll = streamLastSeq + 1;
  if (!origin.isBuiltIn && origin.createdAt < capturedSince) return afterAll;
  if (origin.deliverPolicy === 'all') return 1;
  if (origin.deliverPolicy === 'by_start_sequence') return origin.optStartSeq ?? afterAll;
  return afterAll;
}

import { pause } from '../../kernel/clock.ts';
import { forgetProjection, projectionPosition } from '../../store/repositories/projection.ts';
import { natsConsumer } from '../nats-consumer.ts';
import { natsObserver } from '../nats-observer.ts';
import { rebuildProjection } from '../rebuild.ts';
import { projectorName } from '../required-consumers.ts';
import { connected, type EventsPorts } from './ports.ts';
import type { EventsRequest } from './request.ts';

const followMs = 500;
/** Without a step for so long, nobody leads or the leader is busy: it goes on without us. */
const patienceMs = 15_000;

/** `rebuild`: the read model is built anew from what the stream has; the leader's projector does the work. */
export async function rebuild(ports: EventsPorts, { dryRun, output }: EventsRequest): Promise<void> {
  await connected(ports);
  const { created, firstSeq, lastSeq } = await natsObserver(ports.broker).stream();
  if (dryRun) {
    answer(ports, output, { dryRun, streamCreated: created, firstSeq, lastSeq });
    return;
  }
  const { forgotten } = await rebuildProjection({
    consumer: natsConsumer(ports.broker, projectorName),
    forget: (from) => forgetProjection(ports.db, from),
  });
  const reached = await follow(ports, lastSeq);
  answer(ports, output, { dryRun, streamCreated: created, firstSeq, lastSeq, forgotten, reached });
}

/** Tells how far the projector is, until it is at `lastSeq` or stands still. */
async function follow(ports: EventsPorts, lastSeq: number): Promise<number> {
  const { clock, db, progress } = ports;
  let reached = 0;
  let movedAt = clock.monotonic();
  while (reached < lastSeq && clock.monotonic() - movedAt < patienceMs) {
    await pause(clock, followMs, new AbortController().signal);
    const now = (await projectionPosition(db))?.streamSeq ?? 0;
    if (now === reached) continue;
    reached = now;
    movedAt = clock.monotonic();
    progress(`${reached} of ${lastSeq}`);
  }
  return reached;
}

type Answer = {
  readonly dryRun: boolean;
  readonly streamCreated: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly forgotten?: number;
  readonly reached?: number;
};

function answer({ print }: EventsPorts, output: EventsRequest['output'], result: Answer): void {
  print(output === 'json' ? JSON.stringify(result) : sentence(result));
}

function sentence({ dryRun, firstSeq, lastSeq, forgotten = 0, reached = 0 }: Answer): string {
  const range = `the messages ${firstSeq} to ${lastSeq} of the stream`;
  if (dryRun) return `The read model would be built anew from ${range}.`;
  if (reached >= lastSeq) return `${forgotten} events were forgotten and built anew from ${range}.`;
  return `${forgotten} events were forgotten; the leader builds them anew and is at ${reached} of ${lastSeq}.`;
}

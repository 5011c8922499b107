import type { StreamPosition } from '../store/repositories/projection.ts';
import type { DurableConsumer } from './durable-consumer.ts';

export type RebuildPorts = {
  readonly consumer: Pick<DurableConsumer, 'restart'>;
  /** Forgets what the stream can tell again; answers how many events that were. */
  readonly forget: (from: StreamPosition) => Promise<number>;
};

export type Rebuild = StreamPosition & { readonly forgotten: number };

/**
 * Builds the read model anew from the stream. What the stream no longer has is kept. The projector of the leader does
 * the work as soon as it meets the new consumer; run twice, it begins twice.
 * @throws OperatorError when the broker or the database is away; then nothing is lost, and it can be run again
 */
export async function rebuildProjection({ consumer, forget }: RebuildPorts): Promise<Rebuild> {
  // The consumer first: if the database is away after it, what is told again changes nothing.
  const from = await consumer.restart();
  const forgotten = await forget(from);
  // Again: what was projected between the two is forgotten as well, and must be told once more.
  await consumer.restart();
  return { ...from, forgotten };
}

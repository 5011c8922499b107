import { AckPolicy, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { projectorName } from './events/required-consumers.ts';
import { streamName } from './events/streams.ts';
import { events } from './kernel/event.ts';
import type { StoredObject } from './kernel/object.ts';
import { openTestBroker, untilAvailable } from './testkit/events.ts';
import { eventually } from './testkit/eventually.ts';
import { startWorld, type World } from './testkit/world.ts';

/** As promised: noticed within a minute. */
const noticeDeadlineMs = 60_000;

let world: World;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

test('a required consumer that is deleted in a quiet cluster is told of within a minute, and one that is there is not', async () => {
  // The stream before the operator, so that the consumer is there from the beginning.
  const broker = openTestBroker(world.nats);
  await untilAvailable(broker);
  await broker.close();
  await manage((manager) =>
    manager.consumers.add(streamName, { durable_name: 'billing', ack_policy: AckPolicy.Explicit }),
  );
  const operator = await world.startOperator({ OPENOS_REQUIRED_CONSUMERS: 'billing' });
  for (const consumer of ['billing', projectorName])
    await eventually(`${consumer} is seen`, () => isUp(consumer), noticeDeadlineMs);
  expect(await tellings()).toEqual([]);

  await manage((manager) => manager.consumers.delete(streamName, 'billing'));
  await eventually('it is told', async () => (await tellings()).length > 0, noticeDeadlineMs);
  expect(await isUp('billing')).toBe(false);
  expect(await tellings()).toMatchObject([{ type: 'Warning', note: expect.stringContaining('billing') }]);

  async function isUp(consumer: string): Promise<boolean> {
    return (await operator.metric('openos_required_consumer_up', { consumer })) === 1;
  }
}, 180_000);

type Telling = StoredObject & { readonly reason?: string; readonly type?: string; readonly note?: string };

/** Kubernetes Events of the operator's Lease about a consumer that is missing. */
async function tellings(): Promise<readonly Telling[]> {
  const { items } = await world.cluster.client.list<Telling>(events, { namespace: 'default' });
  return items.filter(({ reason }) => reason === 'ConsumerMissing');
}

async function manage(work: (manager: JetStreamManager) => Promise<unknown>): Promise<void> {
  const connection = await connect({ servers: `127.0.0.1:${world.nats.port}`, user: 'openos', pass: 'secret' });
  try {
    await work(await jetstreamManager(connection));
  } finally {
    await connection.close();
  }
}

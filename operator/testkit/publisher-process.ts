import { NatsBroker } from '../events/nats-broker.ts';
import { Publisher } from '../events/publisher.ts';
import { silentLogger } from '../kernel/logger.ts';
import { openDatabase } from '../store/db.ts';
import { outboxOf } from '../store/repositories/outbox.ts';

/** A publisher as a process of its own, for tests that kill it: node publisher-process.ts <database> <nats> <lease ms> */
const [databaseUrl = '', natsUrl = '', leaseMs = ''] = process.argv.slice(2);
const log = silentLogger;
const database = openDatabase({
  url: databaseUrl,
  poolSize: 4,
  applicationName: 'publisher-process',
  allowUnsafe: true,
  log,
});
const broker = new NatsBroker({ url: natsUrl, name: 'publisher-process', log });
broker.connect();
const publisher = new Publisher({ outbox: outboxOf(database.db), broker, log, leaseMs: Number(leaseMs) });
publisher.start();
process.once('SIGTERM', async () => {
  await publisher.stop();
  await broker.close();
  await database.close();
});
process.stdout.write('publishing\n');

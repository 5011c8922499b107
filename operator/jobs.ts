import { finalizers } from './api/v1alpha1/names.ts';
import { createClient } from './client.ts';
import type { Config, MigrateConfig, UninstallConfig } from './config.ts';
import { eventsInvocation, eventsUsage } from './events/commands/index.ts';
import type { EventsPorts } from './events/commands/ports.ts';
import { NatsBroker } from './events/nats-broker.ts';
import { type KubeClient, microTime } from './kernel/client.ts';
import { pause, systemClock } from './kernel/clock.ts';
import { classify, hasCode } from './kernel/errors.ts';
import { execute } from './kernel/execute.ts';
import { removeFinalizer } from './kernel/finalizer.ts';
import { leases } from './kernel/leader.ts';
import { type Logger, silentLogger } from './kernel/logger.ts';
import type { StoredObject } from './kernel/object.ts';
import { tenantResource } from './resources/own.ts';
import { migrate, openDatabase } from './store/db.ts';

/** `openos migrate`: waits for the database, then brings it to this version's schema. */
export async function runMigrate(config: MigrateConfig, log: Logger): Promise<void> {
  const giveUpAt = systemClock.monotonic() + config.migrationWaitMs;
  for (let tries = 0; ; tries += 1) {
    try {
      return await migrate(config.databaseUrl, log);
    } catch (error) {
      const { code, message } = classify(error);
      if (code !== 'DatabaseUnavailable' || systemClock.monotonic() > giveUpAt) throw error;
      if (tries % migrateTriesPerLine === 0) log.info({ code }, `waiting for Postgres: ${message}`);
      await pause(systemClock, migrateRetryMs, new AbortController().signal);
    }
  }
}

const migrateRetryMs = 1_000;
const migrateTriesPerLine = 10;
/** How long nobody leads after an uninstall was prepared; a new installation waits at most this long. */
const uninstallLeaseMs = 30_000;
/** A leader whose Lease was taken notices at its next renewal. */
const handOverMs = 4_000;

/**
 * `openos prepare-uninstall`: takes the Lease from the controller, so that it puts nothing back, and removes the
 * finalizer of every Tenant. Without an operator nobody else would, and they would hang in Terminating.
 */
export async function runPrepareUninstall(config: UninstallConfig, log: Logger): Promise<void> {
  const client = createClient(config, () => {});
  await seizeLease(client, config);
  await pause(systemClock, handOverMs, new AbortController().signal);
  const { items } = await client.list<StoredObject>(tenantResource);
  for (const tenant of items) {
    const ref = { resource: tenantResource, name: tenant.metadata.name };
    for (const action of removeFinalizer(ref, tenant, finalizers.tenantProtection))
      await execute(action, { client, log });
  }
  log.info({ tenants: items.length }, 'Tenants carry no finalizer any more; OpenOS can be removed');
  await client.close();
}

/** The holder renews every few seconds: a write that met a renewal is done again on the newer version. */
async function seizeLease(client: KubeClient, config: UninstallConfig, triesLeft = 10): Promise<void> {
  const { namespace, lease } = config;
  const standing = await client.get<StoredObject & { readonly spec?: object }>({
    resource: leases,
    namespace,
    name: lease.name,
  });
  if (standing === undefined) return;
  const spec = {
    ...standing.spec,
    holderIdentity: `uninstall-${config.podName}`,
    leaseDurationSeconds: uninstallLeaseMs / 1000,
    renewTime: microTime(systemClock.now()),
  };
  const taken: StoredObject & { readonly spec: object } = { ...standing, spec };
  try {
    await client.replace(leases, taken);
  } catch (error) {
    if (triesLeft === 0 || !hasCode(error, 'Conflict')) throw error;
    await seizeLease(client, config, triesLeft - 1);
  }
}

/**
 * `openos events …`: reads and repairs the outbox. The configuration is asked for when the command line is understood.
 * `user` is who does so unless the command line says.
 * @throws OperatorError UsageInvalid, ConfigInvalid; what the command throws
 */
export async function runEvents(
  args: readonly string[],
  configure: () => Config,
  { user, ...output }: Pick<EventsPorts, 'print' | 'progress'> & { readonly user: string | undefined },
): Promise<void> {
  const invocation = eventsInvocation(args, systemClock.now());
  if (invocation.kind === 'help') return output.print(eventsUsage());
  const { allowUnsafeDatabase: allowUnsafe, databaseUrl, natsUrl, podName } = configure();
  const log = silentLogger;
  const database = openDatabase({ url: databaseUrl, poolSize: 2, applicationName: 'openos events', allowUnsafe, log });
  const broker = new NatsBroker({ url: natsUrl, name: `${podName}-events`, log });
  const by = { actor: user || 'openos events', detail: { host: podName } };
  try {
    await invocation.run({ db: database.db, broker, clock: systemClock, by, ...output });
  } finally {
    await broker.close();
    await database.close();
  }
}

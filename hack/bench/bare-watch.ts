import { parentPort, Worker, workerData } from 'node:worker_threads';
import { KubeClient } from '../../operator/kernel/client.ts';
import { systemClock } from '../../operator/kernel/clock.ts';
import { loadKubeConfig } from '../../operator/kernel/credentials.ts';
import { silentLogger } from '../../operator/kernel/logger.ts';
import type { ResourceType } from '../../operator/kernel/object.ts';
import { Reflector } from '../../operator/kernel/reflector.ts';
import { Transport } from '../../operator/kernel/transport.ts';

/** What is watched: one kind in one namespace. Each event is told by the value of `annotation` its object has. */
export type BareWatchOptions = {
  readonly kubeconfig: string;
  readonly resource: ResourceType;
  readonly namespace: string;
  readonly annotation: string;
};

/** An object as the watch brought it; `at` is the moment, ms since the epoch with fractions. */
export type Sight = { readonly uid: string; readonly mark: string; readonly at: number };

/** ms since the epoch with fractions: the processes of one machine share that clock. */
export function epochNow(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * A watch on a thread and a connection of its own that does nothing but note when events come: what a watch costs at
 * least beside the same load. Resolves when its list is complete.
 */
export async function bareWatch(options: BareWatchOptions, onSight: (sight: Sight) => void): Promise<Worker> {
  const worker = new Worker(new URL(import.meta.url), { workerData: options });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  worker.on('error', reject);
  worker.on('message', (message: Sight | 'synced') => {
    if (message === 'synced') resolve();
    else onSight(message);
  });
  await promise;
  return worker;
}

async function watch({ kubeconfig, resource, namespace, annotation }: BareWatchOptions): Promise<void> {
  const transport = new Transport({ credentials: loadKubeConfig(kubeconfig), version: 'bench' });
  const client = new KubeClient(transport);
  const reflector = new Reflector({
    client,
    resource,
    selection: { namespace },
    clock: systemClock,
    log: silentLogger,
  });
  reflector.onChange((_type, { metadata }) => {
    const sight: Sight = { uid: metadata.uid, mark: metadata.annotations?.[annotation] ?? '', at: epochNow() };
    parentPort?.postMessage(sight);
  });
  void reflector.run(new AbortController().signal);
  await reflector.whenSynced;
  parentPort?.postMessage('synced');
}

if (parentPort !== null) await watch(workerData as BareWatchOptions);

import { spawn } from 'node:child_process';
import { NatsBroker } from '../../operator/events/nats-broker.ts';
import { type ReceivedEvent, readEvents } from '../../operator/events/read-events.ts';
import { silentLogger } from '../../operator/kernel/logger.ts';
import { type Cluster, kubectl } from './cluster.ts';
import { root } from './process.ts';

const connectDeadlineMs = 20_000;

/** The events of one agent as a consumer of its own reads them from JetStream, oldest first. */
export async function eventsOf(cluster: Cluster, agentUid: string): Promise<readonly ReceivedEvent[]> {
  const secret = await kubectl(cluster, [
    'get',
    'secret',
    'openos-nats',
    '-n',
    'openos-system',
    '-o',
    'jsonpath={.data.url}',
  ]);
  const url = new URL(Buffer.from(secret, 'base64').toString());
  const forward = await portForward(cluster, 'service/openos-nats', 4222);
  const broker = new NatsBroker({
    url: `nats://${url.username}:${url.password}@127.0.0.1:${forward.port}`,
    name: 'openos-reader',
    log: silentLogger,
  });
  try {
    broker.connect();
    await connected(broker);
    const events: ReceivedEvent[] = [];
    for await (const event of readEvents(broker, { aggregateId: agentUid })) events.push(event);
    return events;
  } finally {
    await broker.close();
    forward.stop();
  }
}

async function connected(broker: NatsBroker): Promise<void> {
  if (broker.state.available) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error('NATS did not answer through the port-forward')), connectDeadlineMs);
  const stop = broker.onState((state) => {
    if (state.available) resolve();
  });
  await promise.finally(() => {
    clearTimeout(timer);
    stop();
  });
}

type Forward = { readonly port: number; stop(): void };

/** kubectl port-forward to a free local port; it works on every cluster, whatever its network. */
function portForward(cluster: Cluster, target: string, port: number): Promise<Forward> {
  const child = spawn(cluster.kubectl, ['port-forward', '-n', 'openos-system', target, `:${port}`], {
    cwd: root,
    env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`kubectl port-forward ended with ${code}: ${said}`)));
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const local = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (local !== undefined) resolve({ port: Number(local), stop: () => child.kill() });
    });
  });
}

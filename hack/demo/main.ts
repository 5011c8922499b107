import { type Cluster, clusterUp, kubectl } from '../lib/cluster.ts';
import { diagnose } from '../lib/diagnose.ts';
import { CommandFailed, run } from '../lib/process.ts';
import { eventsOf } from '../lib/stream.ts';
import { followUntilReady } from './follow.ts';
import { latencyLines } from './timeline.ts';

const namespace = 'acme-agents';
const name = 'hello';
const readyDeadlineMs = 120_000;

/** Runs one step and says how long it took. */
async function step<T>(title: string, work: () => Promise<T>): Promise<T> {
  process.stdout.write(`\n▸ ${title}\n`);
  const started = performance.now();
  const result = await work();
  process.stdout.write(`  done in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  return result;
}

async function applyTenant(cluster: Cluster): Promise<void> {
  await kubectl(cluster, ['delete', 'agent', name, '-n', namespace, '--ignore-not-found']).catch(
    ignoreMissingNamespace,
  );
  process.stdout.write(await kubectl(cluster, ['apply', '-f', 'config/samples/tenant.yaml']));
  await kubectl(cluster, ['wait', '--for=condition=Ready', 'tenant/acme', '--timeout=60s']);
  process.stdout.write(await kubectl(cluster, ['get', 'tenants']));
}

// The very first run: there is no such namespace yet.
function ignoreMissingNamespace(error: unknown): void {
  if (!(error instanceof CommandFailed)) throw error;
}

async function startAgent(cluster: Cluster): Promise<string> {
  const following = followUntilReady(cluster.kubeconfig, namespace, name, readyDeadlineMs);
  // Looked at later; without this a failing apply would leave it unhandled.
  following.catch(() => {});
  await kubectl(cluster, ['apply', '-f', 'config/samples/agent.yaml']);
  const { uid, status } = await following;
  process.stdout.write(`  from Created to Ready: ${status.startLatencyMilliseconds} ms\n`);
  process.stdout.write(`${latencyLines(status).join('\n')}\n`);
  process.stdout.write(await kubectl(cluster, ['get', 'agents', '-n', namespace, '-o', 'wide']));
  return uid;
}

async function showSandbox(cluster: Cluster, uid: string): Promise<void> {
  const args = ['logs', '-n', namespace, '-l', `openos.dev/agent-uid=${uid}`, '--tail=-1'];
  const log = await kubectl(cluster, args);
  const line = log.split('\n').find((text) => text.includes('"sandbox"'));
  if (line === undefined) throw new Error(`the agent's log does not say what kernel it sees:\n${log}`);
  process.stdout.write(`  ${line}\n`);
  if (!line.includes('"sandbox":"gVisor"')) throw new Error('the agent does not run on gVisor');
}

async function showEvents(cluster: Cluster, uid: string): Promise<void> {
  const events = await eventsOf(cluster, uid);
  for (const { streamSeq, subject, event } of events) {
    process.stdout.write(`  stream #${streamSeq}  agent #${event.sequence}  ${subject}  ${event.event_id}\n`);
  }
  if (!events.some(({ event }) => event.event_type === 'agent.ready'))
    throw new Error('agent.ready is not on the stream');
  process.stdout.write(`  ${JSON.stringify(events.at(-1)?.event)}\n`);
}

function whatNext(cluster: Cluster): string {
  return `
Everything stays up. To go on:

  export KUBECONFIG=${cluster.kubeconfig} PATH=${cluster.kubectl.replace(/\/kubectl$/, '')}:$PATH

  kubectl get agents -A -o wide                            what runs, where, and how fast it started
  kubectl describe agent ${name} -n ${namespace}              conditions, and why
  kubectl apply -f config/samples/agent-template.yaml      another Agent, with two containers
  kubectl delete pod -n ${namespace} -l openos.dev/agent=${name}   break it: it comes back
  kubectl exec -n openos-system deploy/openos-controller -- openos events list   what was told of all this
  kubectl delete agent ${name} -n ${namespace}                and its pod is gone with it
  kubectl get agents -n ${namespace} --watch                  watch while you do so

  make run            the operator from source on this machine, against this cluster
  make cluster-down   take everything away again
`;
}

async function demo(): Promise<void> {
  const started = performance.now();
  const cluster = await step('A Kubernetes cluster with gVisor', clusterUp);
  try {
    await step('The images, built and loaded', () => run('hack/load-images.sh', [], { output: 'show' }));
    await step('OpenOS, installed with Helm', () => run('hack/deploy.sh', [], { output: 'show' }));
    await step('A Tenant and its namespace', () => applyTenant(cluster));
    const uid = await step('An Agent, on its way to Ready', () => startAgent(cluster));
    await step('What kernel the Agent sees (its own log)', () => showSandbox(cluster, uid));
    await step('Its events, as a consumer reads them from JetStream', () => showEvents(cluster, uid));
  } catch (error) {
    await diagnose(cluster, namespace, name);
    throw error;
  }
  process.stdout.write(`\nThe demo took ${((performance.now() - started) / 1000).toFixed(0)} s.\n${whatNext(cluster)}`);
}

await demo().catch((error: unknown) => {
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attempt } from '../hack/lib/process.ts';
import type { AgentSpec, AgentStatus } from '../operator/api/v1alpha1/agent.ts';
import type { KubernetesObject } from '../operator/kernel/object.ts';
import { runtimeClassResource } from '../operator/resources/builtin.ts';
import { agentResource } from '../operator/resources/own.ts';
import { watchChanges } from '../operator/testkit/changes.ts';
import { eventually } from '../operator/testkit/eventually.ts';
import type { StoredAgent } from '../operator/testkit/world.ts';
import { readyOf, sampleImage } from './agents.ts';
import { anotherStart, coldStart, gapFree, sequences, types } from './told.ts';
import { diagnosed, diagnoseFailures, startWorld, type World } from './world.ts';

const namespace = 'acme-agents';

let world: World;

diagnoseFailures(namespace);
beforeAll(() =>
  diagnosed(namespace, async () => {
    world = await startWorld();
    await world.removeAgents(namespace);
    await world.kubectl('apply', '-f', 'config/samples/tenant.yaml');
    await world.kubectl('wait', '--for=condition=Ready', 'tenant/acme', '--timeout=120s');
  }),
);
afterAll(async () => {
  await world?.removeAgents(namespace);
  await world?.stop();
});

/** `kubectl wait` as a user would type it, for the whole way from creation to Ready. */
async function waitForReady(name: string): Promise<StoredAgent> {
  await world.kubectl('wait', '--for=condition=Ready', `agent/${name}`, '-n', namespace, '--timeout=120s');
  return world.agent(namespace, name);
}

async function expectStory(uid: string, expected: readonly string[]): Promise<void> {
  const events = await world.told(uid);
  expect(types(events)).toEqual(expected);
  expect(sequences(events)).toEqual(gapFree(events));
}

/** What the agent's own log says of the kernel it runs on. */
async function sandboxOf(uid: string): Promise<string | undefined> {
  const log = await world.kubectl('logs', '-n', namespace, '-l', `openos.dev/agent-uid=${uid}`, '--tail=-1');
  const line = log.split('\n').find((text) => text.includes('"sandbox"'));
  return line === undefined ? undefined : (JSON.parse(line) as { readonly sandbox: string }).sandbox;
}

describe('the samples', () => {
  it('agent.yaml becomes Ready under gVisor, and kubectl wait sees it through from its creation', async () => {
    await world.kubectl('apply', '-f', 'config/samples/agent.yaml');
    const { metadata, status } = await waitForReady('hello');
    // Ready and told: no waiting between the two.
    await expectStory(metadata.uid, coldStart);
    expect(status).toMatchObject({ phase: 'Ready', tenant: 'acme', runtimeClassName: 'gvisor', attempts: 1 });
    expect(status?.observedGeneration).toBe(metadata.generation);
    expect(status?.nodeName).toBeTruthy();
    const pod = await world.podOf(metadata.uid);
    expect(pod.spec?.runtimeClassName).toBe('gvisor');
    expect(status?.podIPs).toEqual(pod.status?.podIPs);
    expect(await sandboxOf(metadata.uid)).toBe('gVisor');
  });

  it('agent.yaml has told its story, as the command in the shipped image says', async () => {
    const command = ['openos', 'events', 'list', '--agent', `${namespace}/hello`, '-o', 'json'];
    const lines = await world.kubectl('exec', '-n', 'openos-system', 'deploy/openos-controller', '--', ...command);
    const events = lines.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
    const inOrder = events.toSorted((a, b) => a.seq - b.seq);
    expect(inOrder.map(({ eventType }) => eventType)).toEqual(coldStart);
    for (const { state } of events) expect(['Published', 'Acknowledged']).toContain(state);
  });

  it('agent-template.yaml becomes Ready with both its containers', async () => {
    await world.kubectl('apply', '-f', 'config/samples/agent-template.yaml');
    const { metadata } = await waitForReady('hello-template');
    const pod = await world.podOf(metadata.uid);
    expect(pod.status?.containerStatuses?.map(({ name, ready }) => ({ name, ready }))).toEqual([
      { name: 'agent', ready: true },
      { name: 'companion', ready: true },
    ]);
  });
});

describe('an Agent whose RuntimeClass is missing', () => {
  const runtimeClassName = 'openos-e2e-runc';
  const runtimeClass: KubernetesObject & { readonly handler: string } = {
    apiVersion: 'node.k8s.io/v1',
    kind: 'RuntimeClass',
    metadata: { name: runtimeClassName },
    handler: 'runc',
  };

  it('is never run on another one, and becomes Ready on its own as soon as that is there', async () => {
    await world.kubectl('delete', 'runtimeclass', runtimeClassName, '--ignore-not-found');
    const runtimeClasses = { default: 'gvisor', allowed: ['gvisor', runtimeClassName] };
    await world.kubectl('patch', 'tenant', 'acme', '--type=merge', '-p', JSON.stringify({ spec: { runtimeClasses } }));
    const { metadata } = await world.createAgent(namespace, 'particular', { runtimeClassName });
    const status = await world.status(
      namespace,
      'particular',
      'RuntimeClassNotFound',
      ({ reason }) => reason === 'RuntimeClassNotFound',
    );
    expect(status.phase).toBe('Pending');
    expect(await world.podsOf(metadata.uid)).toEqual([]);

    await world.client.create(runtimeClassResource, runtimeClass);
    await world.ready(namespace, 'particular');
    await expectStory(metadata.uid, coldStart);
    // The proof has a counterproof: what says gVisor above does not say so here.
    expect(await sandboxOf(metadata.uid)).toBe('none');
    await world.removeAgent(namespace, 'particular');
    await world.kubectl('delete', 'runtimeclass', runtimeClassName);
  });
});

describe('an image that does not exist', () => {
  // Refused at once on the node itself: nothing is asked of any registry.
  const image = 'localhost:1/no-such-agent:1';

  it('is named, and the Agent starts with the right one', async () => {
    const { metadata } = await world.createAgent(namespace, 'mistyped', { image });
    const status = await world.status(
      namespace,
      'mistyped',
      'ImagePullFailed',
      ({ reason }) => reason === 'ImagePullFailed',
    );
    expect(readyOf(status)).toMatchObject({ status: 'False', reason: 'ImagePullFailed' });
    expect(readyOf(status)?.message).toContain(image);
    const before = await world.podOf(metadata.uid);

    await world.patchAgent(namespace, 'mistyped', { image: sampleImage });
    const { podRef } = await world.ready(namespace, 'mistyped');
    expect(podRef?.uid).not.toBe(before.metadata.uid);
    await expectStory(metadata.uid, ['agent.created', 'agent.scheduled', 'agent.updated', ...anotherStart]);
    await world.removeAgent(namespace, 'mistyped');
  });
});

describe('a container that exits at once', () => {
  /** Before the second try. */
  const backoffMs = 1_000;
  const command = ['/usr/local/bin/node', '-e', 'process.exit(3)'];

  it('is a crash loop: told, tried again in another pod after the backoff, and healed by another spec', async () => {
    const { metadata } = await world.createAgent(namespace, 'crashing', { command });
    const changes = await watchChanges<StoredAgent>(world.client, agentResource, namespace, 'crashing');
    const inAnotherPod = ({ attempts, podRef }: AgentStatus) => attempts === 2 && podRef !== undefined;
    const { podRef } = await world.status(namespace, 'crashing', 'another pod', inAnotherPod);
    const pod = (await world.podsOf(metadata.uid)).find(({ metadata: { uid } }) => uid === podRef?.uid);
    await changes.caughtUp();
    changes.stop();
    const shown = changes.all().find(({ object }) => object.status?.phase === 'Recovering')?.object.status;
    expect(shown).toMatchObject({ reason: 'CrashLoop', lastFailureReason: 'CrashLoop', attempts: 2 });
    expect(readyOf(shown)).toMatchObject({ status: 'False', reason: 'CrashLoop' });

    const lost = (await world.told(metadata.uid)).find(({ event_type }) => event_type === 'agent.recovering');
    expect(lost?.data).toMatchObject({ reason: 'CrashLoop', attempt: 2 });
    expect(lost?.data).toHaveProperty('podUid');
    expect(lost?.data).not.toMatchObject({ podUid: podRef?.uid });
    // A pod's age is in whole seconds, rounded down.
    const notBefore = Math.floor((Date.parse(lost?.occurred_at ?? '') + backoffMs) / 1000) * 1000;
    expect(Date.parse(pod?.metadata.creationTimestamp ?? '')).toBeGreaterThanOrEqual(notBefore);

    await world.patchAgent(namespace, 'crashing', { command: null });
    expect((await world.ready(namespace, 'crashing')).attempts).toBe(1);
    const story = await world.told(metadata.uid);
    expect(types(story).slice(-4)).toEqual(['agent.updated', ...anotherStart]);
    expect(sequences(story)).toEqual(gapFree(story));
    await world.removeAgent(namespace, 'crashing');
  });
});

describe('a container that takes more memory than its limit', () => {
  const program = 'const taken = []; setInterval(() => taken.push(Buffer.alloc(16 << 20, 1)), 20);';
  const greedy: Partial<AgentSpec> = {
    command: ['/usr/local/bin/node', '-e', program],
    resources: { limits: { memory: '160Mi' } },
  };

  it('is out of memory: told, tried again in another pod, and healed by a spec that needs less', async () => {
    const { metadata } = await world.createAgent(namespace, 'greedy', greedy);
    const triedAgain = ({ attempts }: AgentStatus) => attempts === 2;
    const status = await world.status(namespace, 'greedy', 'a second try', triedAgain);
    expect(status.lastFailureReason).toBe('OutOfMemory');
    const lost = (await world.told(metadata.uid)).find(({ event_type }) => event_type === 'agent.recovering');
    expect(lost?.data).toMatchObject({ reason: 'OutOfMemory', attempt: 2 });

    await world.patchAgent(namespace, 'greedy', { command: null });
    expect((await world.ready(namespace, 'greedy')).attempts).toBe(1);
    await world.removeAgent(namespace, 'greedy');
  });
});

describe('a pod that is deleted by hand', () => {
  it('is missed, told of and replaced', async () => {
    const { metadata } = await world.createAgent(namespace, 'bereaved');
    const { podRef } = await world.ready(namespace, 'bereaved');
    const changes = await watchChanges<StoredAgent>(world.client, agentResource, namespace, 'bereaved');
    await world.kubectl('delete', 'pod', podRef?.name ?? '', '-n', namespace);
    const replaced = ({ phase, attempts }: AgentStatus) => phase === 'Ready' && attempts === 2;
    const status = await world.status(namespace, 'bereaved', 'Ready at the second try', replaced);
    await changes.caughtUp();
    changes.stop();

    const phases = changes.all().map(({ object }) => object.status?.phase);
    expect(phases).toContain('Recovering');
    expect(phases.at(-1)).toBe('Ready');
    expect(status).toMatchObject({ attempts: 2, lastFailureReason: 'PodLost' });
    expect(status.podRef?.uid).not.toBe(podRef?.uid);
    await expectStory(metadata.uid, [...coldStart, 'agent.recovering', ...anotherStart]);
    await world.removeAgent(namespace, 'bereaved');
  });
});

describe('an Agent that loses its readiness', () => {
  const program = `
    const { existsSync } = require('node:fs');
    require('node:http').createServer((_, answer) => answer.writeHead(existsSync('/tmp/busy') ? 503 : 200).end()).listen(8080);
    process.on('SIGTERM', () => process.exit(0));`;
  const moody: Partial<AgentSpec> = {
    command: ['/usr/local/bin/node', '-e', program],
    readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 10 },
  };

  /** Runs a line of JavaScript in the agent's container. */
  const inside = (pod: string, script: string) =>
    world.kubectl('exec', '-n', namespace, pod, '--', '/usr/local/bin/node', '-e', script);

  it('is NotReady in the same pod, and Ready again when it is back', async () => {
    const { metadata } = await world.createAgent(namespace, 'moody', moody);
    const first = await world.ready(namespace, 'moody');
    const pod = first.podRef?.name ?? '';

    await inside(pod, "require('node:fs').writeFileSync('/tmp/busy', '')");
    const away = await world.status(namespace, 'moody', 'NotReady', ({ phase }) => phase === 'NotReady');
    expect(readyOf(away)).toMatchObject({ status: 'False', reason: 'PodNotReady' });
    await world.toldUntil(metadata.uid, 'agent.unready');

    await inside(pod, "require('node:fs').rmSync('/tmp/busy')");
    const back = await world.ready(namespace, 'moody');
    await expectStory(metadata.uid, [...coldStart, 'agent.unready', 'agent.ready']);
    expect(back.podRef).toEqual(first.podRef);
    expect(back.restartCount).toBe(0);
    expect(back.startLatencyMilliseconds).toBe(first.startLatencyMilliseconds);
    await world.removeAgent(namespace, 'moody');
  });
});

describe('restricted Pod Security', () => {
  /** What the API server would warn of, were these namespaces judged by this version of the standard. */
  const judged = async (target: string, version: string) => {
    const labels = [
      `pod-security.kubernetes.io/enforce=restricted`,
      `pod-security.kubernetes.io/enforce-version=${version}`,
    ];
    const args = ['label', 'namespace', target, '--overwrite', '--dry-run=server', ...labels];
    const { code, stderr } = await attempt(world.cluster.kubectl, args, {
      env: { KUBECONFIG: world.cluster.kubeconfig },
    });
    expect(code).toBe(0);
    return stderr;
  };

  it('is enforced on the namespace, and accepts every pod we made, the operator and its servers included', async () => {
    const { metadata } = await world.agent(namespace, 'hello');
    expect(await world.podsOf(metadata.uid)).toHaveLength(1);
    const labels = await world.kubectl('get', 'namespace', namespace, '-o', 'jsonpath={.metadata.labels}');
    expect(JSON.parse(labels)).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    // A dry run that changes the version makes the API server judge what runs; kube-system is what it objects to.
    expect(await judged('kube-system', 'v1.35')).toContain('violate');
    expect(await judged(namespace, 'v1.35')).toBe('');
    expect(await judged('openos-system', 'v1.35')).toBe('');
  });
});

describe('an Agent that is deleted', () => {
  it('is gone at once, its pod with it, and its end is told', async () => {
    const { metadata } = await world.createAgent(namespace, 'brief');
    await world.ready(namespace, 'brief');
    expect((await world.agent(namespace, 'brief')).metadata.finalizers).toBeUndefined();
    await world.kubectl('delete', 'agent', 'brief', '-n', namespace);
    await eventually('its pod is gone', async () => (await world.podsOf(metadata.uid)).length === 0, 60_000, 100);
    await world.toldUntil(metadata.uid, 'agent.deleted');
    await expectStory(metadata.uid, [...coldStart, 'agent.stopping', 'agent.deleted']);
  });
});

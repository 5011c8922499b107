import type { V1Pod } from '@kubernetes/client-node';
import type { Agent, AgentSpec } from '../api/v1alpha1/agent.ts';
import { type CachedAgent, WrittenObjects } from '../caches.ts';
import { ApiError, classify, OperatorError } from '../kernel/errors.ts';
import { type ExecuteClient, execute } from '../kernel/execute.ts';
import { Expectations } from '../kernel/expectations.ts';
import { silentLogger } from '../kernel/logger.ts';
import type { KubernetesObject, ObjectRef, ResourceType, StoredObject } from '../kernel/object.ts';
import { reconcilePass } from '../kernel/reconcile.ts';
import { type AgentPorts, agentPass } from '../resources/agent/controller.ts';
import type { AgentTransition } from '../resources/agent/events.ts';
import type { AgentRow } from '../resources/agent/history.ts';
import type { AgentPod } from '../resources/agent/pod.ts';
import { podResource } from '../resources/builtin.ts';
import { aHistory, aNamespace, anAgent, aTenant, rowsOf, traceparent } from './builders.ts';
import { FakeClock } from './clock.ts';
import { type ModelPod, podMoves, podObject } from './model/pod-model.ts';
import { specs } from './model/state.ts';

/** What the API server holds at one moment. */
type Held = { readonly agent: Agent | undefined; readonly pods: readonly ModelPod[] };
/** How far a cache is: an index into everything the API server has ever held. */
export type Position = { readonly agents: number; readonly pods: number };

const uid = 'agent-uid';
const namespace = 'research';
const tenant = aTenant({
  status: { observedGeneration: 1, namespaces: [{ name: namespace, uid: 'ns-uid', ready: true }] },
});

/**
 * One Agent on an API server that remembers everything it ever held, and an operator whose caches show what a test
 * lets them see. The passes, the expectations and the execution of plans are the real ones.
 */
export class LaggingWorld {
  readonly clock = new FakeClock();
  /** What must never happen, and did. */
  readonly violations: string[] = [];
  readonly #held: Held[] = [{ agent: anAgent({ spec: specs.first }), pods: [] }];
  #shown: Position = { agents: 0, pods: 0 };
  #rows: readonly AgentRow[] = [];
  /** The generation of the Agent for which each pod was made, by the pod's UID. */
  readonly #madeFor = new Map<string, number>();
  #expectations = new Expectations(this.clock);
  #written = new WrittenObjects<CachedAgent>();
  #due: number | undefined = this.clock.now();

  get head(): number {
    return this.#held.length - 1;
  }

  get shown(): Position {
    return this.#shown;
  }

  get now(): Held {
    return this.#at(this.head);
  }

  get phase(): string | undefined {
    return this.#rows.at(-1)?.to;
  }

  /** When the operator looks again by itself, ms since the epoch. */
  get due(): number | undefined {
    return this.#due;
  }

  /** The caches come this far; never back, as a watch does. What they are told on the way is what the latest shows. */
  see(position: Position): void {
    const before = this.#at(this.#shown.pods).pods;
    const agents = Math.max(this.#shown.agents, Math.min(position.agents, this.head));
    const pods = Math.max(this.#shown.pods, Math.min(position.pods, this.head));
    const isNews = agents !== this.#shown.agents || pods !== this.#shown.pods;
    this.#shown = { agents, pods };
    this.#expect(before, this.#at(pods).pods);
    if (isNews) this.#due = this.clock.now();
  }

  /** Another operator takes over: it remembers nothing, and what it lists is what there is at that moment. */
  takeOver(): void {
    this.#expectations = new Expectations(this.clock);
    this.#written = new WrittenObjects();
    this.#shown = { agents: this.head, pods: this.head };
    this.#due = this.clock.now();
  }

  async pass(): Promise<void> {
    const time = { now: this.clock.now(), signal: new AbortController().signal };
    this.#due = undefined;
    try {
      const outcome = await reconcilePass(agentPass(this.#ports()), uid, time);
      if (outcome.kind === 'requeue') this.#due = this.clock.now() + outcome.afterMs;
    } catch (thrown) {
      const { code, kind } = classify(thrown);
      if (code === 'Panic') throw thrown;
      if (kind !== 'terminal') this.#due = this.clock.now() + 500;
    }
  }

  edit(spec: Partial<AgentSpec>): void {
    const { agent } = this.now;
    if (agent === undefined) return;
    const { generation } = agent.metadata;
    const next = { ...agent.spec, ...spec };
    if (JSON.stringify(next) === JSON.stringify(agent.spec)) return;
    this.#hold({
      agent: { ...newer(agent), metadata: { ...newer(agent).metadata, generation: generation + 1 }, spec: next },
    });
  }

  deleteAgent(): void {
    if (this.now.agent !== undefined) this.#hold({ agent: undefined });
  }

  /** Changes the pods that nobody deletes; undefined: the pod is gone. */
  movePods(change: (pod: ModelPod) => ModelPod | undefined): void {
    const pods = this.now.pods.flatMap((pod) => (pod.deleting ? pod : (change(pod) ?? [])));
    if (pods.length !== this.now.pods.length || pods.some((pod, index) => pod !== this.now.pods[index]))
      this.#hold({ pods });
  }

  /** What scheduler and kubelet do next. Answers whether there was anything to do. */
  clusterStep(): boolean {
    for (const pod of this.now.pods) {
      const [move] = podMoves(pod, this.clock.now());
      if (move === undefined) continue;
      this.#hold({ pods: this.now.pods.flatMap((each) => (each === pod ? (move.to ?? []) : each)) });
      return true;
    }
    return false;
  }

  /** Every event that waits is out, and the operator knows. */
  publish(): void {
    if (this.#rows.every(({ event }) => event.state === 'Published')) return;
    const publishedAt = this.clock.now();
    this.#rows = this.#rows.map((row) => ({ ...row, event: { ...row.event, state: 'Published', publishedAt } }));
    this.#due = this.clock.now();
  }

  /** Of which cache the event was that made the API server hold this. */
  kindOf(index: number): 'agents' | 'pods' {
    return this.#at(index).pods === this.#at(index - 1).pods ? 'agents' : 'pods';
  }

  /** Whether nothing after this event says as much: of the Agent nothing came later, or the pod is gone with it. */
  isLastWord(index: number): boolean {
    const kind = this.kindOf(index);
    const isPodGone = kind === 'pods' && this.#at(index).pods.length < this.#at(index - 1).pods.length;
    if (isPodGone) return true;
    return !this.#held.some((_, later) => later > index && this.kindOf(later) === kind);
  }

  #at(index: number): Held {
    return this.#held[index] ?? { agent: undefined, pods: [] };
  }

  #hold(change: Partial<Held>): void {
    this.#held.push({ ...this.now, ...change });
  }

  #expect(before: readonly ModelPod[], after: readonly ModelPod[]): void {
    for (const pod of after) this.#expectations.observed(uid, { ...pod, deleting: pod.deleting === true });
    for (const pod of before)
      if (!after.some((each) => each.uid === pod.uid)) this.#expectations.observedGone(uid, pod);
  }

  #ports(): AgentPorts {
    const cachedAgent = () => this.#written.newest(this.#at(this.#shown.agents).agent as CachedAgent | undefined);
    return {
      synced: () => true,
      tenantsOfNamespace: () => [tenant],
      namespace: () => aNamespace(),
      agent: cachedAgent,
      isStanding: async () => this.now.agent !== undefined,
      podsOf: () => this.#at(this.#shown.pods).pods.map(podObject),
      podNamed: async (_namespace, name) => this.#pod(name),
      evictedPod: () => undefined,
      nodeTrouble: () => undefined,
      isNodeGone: async () => false,
      claimsOf: () => [],
      policyOf: () => undefined,
      runtimeClassExists: () => true,
      missingHandler: () => undefined,
      quota: async () => undefined,
      podOnItsWay: () => !this.#expectations.satisfied(uid),
      expectPod: (owner, name) => this.#expectations.expectCreate(owner, name),
      podRefused: (owner, name) => this.#expectations.cancelCreate(owner, name),
      history: async () => aHistory(...this.#rows),
      brokerAvailable: () => true,
      ackObstacle: () => undefined,
      unshown: () => 0,
      newTraceparent: () => traceparent,
      defaultRuntimeClass: 'gvisor',
      apply: async () => {},
      record: async (observed, transitions) => {
        const last = observed.history.kind === 'known' ? observed.history.last?.seq : undefined;
        if (last !== this.#rows.at(-1)?.seq)
          throw new OperatorError('SequenceTaken', 'conflict', 'someone moved first');
        this.#record(transitions);
      },
      execute: (action) =>
        execute(action, { client: this.#client(cachedAgent()?.metadata.generation), log: silentLogger }),
      writeStatus: async ({ object, status }) => {
        const { agent } = this.now;
        if (agent === undefined) return;
        if (agent.metadata.resourceVersion !== object.metadata.resourceVersion) throw new ApiError('PATCH', 409, {});
        this.#hold({ agent: { ...newer(agent), status } });
        this.#written.set(this.now.agent as CachedAgent);
      },
    };
  }

  #record(transitions: readonly AgentTransition[]): void {
    this.#rows = [...this.#rows, ...rowsOf(transitions, this.#rows.at(-1)?.seq ?? 0)];
  }

  #pod(name: string): V1Pod | undefined {
    const pod = this.now.pods.find((each) => each.name === name);
    return pod === undefined ? undefined : podObject(pod);
  }

  /** @param known The generation of the Agent that the operator acts on. */
  #client(known = 0): ExecuteClient {
    const refuse = () => Promise.reject(new Error('no pass of an Agent without claims and rules asks for this'));
    return {
      get: async <T extends StoredObject>({ name }: ObjectRef) => this.#pod(name) as unknown as T | undefined,
      create: async <T extends StoredObject>(resource: ResourceType, object: KubernetesObject) => {
        if (resource !== podResource) return refuse();
        this.#create(object as AgentPod, known);
        return object as T;
      },
      delete: async (_ref, { uid: podUid }) => {
        this.#delete(podUid, known);
        return 'deleted';
      },
      createEvent: async () => {},
      apply: refuse,
      setFinalizers: refuse,
    };
  }

  #create({ metadata: { name }, spec }: AgentPod, known: number): void {
    if (this.now.pods.some((pod) => pod.name === name)) throw new ApiError('POST', 409, { reason: 'AlreadyExists' });
    if (this.now.pods.length > 0)
      this.violations.push(`${name} is made beside ${this.now.pods.map((pod) => pod.name)}`);
    this.#judge(`${name} is made`, known);
    const podUid = `uid-of-${name}`;
    this.#madeFor.set(podUid, known);
    const image = spec.containers[0]?.image ?? '';
    const pod = { name, uid: podUid, image, createdAt: this.clock.now(), seen: true, late: false };
    this.#hold({ pods: [...this.now.pods, pod] });
  }

  #delete(podUid: string, known: number): void {
    if (!this.now.pods.some((pod) => pod.uid === podUid && !pod.deleting)) return;
    if (this.now.agent !== undefined) this.#judge(`${podUid} is deleted`, known);
    this.#hold({
      pods: this.now.pods.flatMap((pod) =>
        pod.uid !== podUid ? pod : pod.scheduled ? { ...pod, deleting: true } : [],
      ),
    });
  }

  /** Nobody who knows an older Agent touches what was made for a newer one. */
  #judge(what: string, known: number): void {
    const newest = Math.max(0, ...this.#madeFor.values());
    if (newest > known) this.violations.push(`${what} for generation ${known} after one for ${newest}`);
  }
}

function newer(agent: Agent): Agent {
  const resourceVersion = `${Number(agent.metadata.resourceVersion) + 1}`;
  return { ...agent, metadata: { ...agent.metadata, resourceVersion } };
}

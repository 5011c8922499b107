import type { V1Pod } from '@kubernetes/client-node';
import type { Agent, AgentSpec, AgentStatus } from '../api/v1alpha1/agent.ts';
import type { Action, EventAction } from '../kernel/action.ts';
import type { Outcome } from '../kernel/outcome.ts';
import type { AgentDecision } from '../resources/agent/decide.ts';
import { decide } from '../resources/agent/decide.ts';
import type { AgentTransition } from '../resources/agent/events.ts';
import type { AgentObserved } from '../resources/agent/facts.ts';
import type { AgentRow } from '../resources/agent/history.ts';
import type { ObservedChild } from '../resources/children.ts';
import {
  aContainerStatus,
  aHistory,
  anAgent,
  anObservedAgent,
  aPod,
  aWaitingContainer,
  databaseAway,
  t0,
  traceparent,
} from './builders.ts';

/** One pod as the simulated cluster holds it. `unseen`: created, and the operator's cache does not show it yet. */
export type WorldPod = {
  readonly name: string;
  readonly uid: string;
  readonly createdAt: number;
  readonly unseen: boolean;
  readonly deleting: boolean;
  readonly scheduled: boolean;
  readonly started: boolean;
  readonly crashing: boolean;
  readonly failed: boolean;
  readonly readySince: number | undefined;
};

/** What the operator wrote to the cluster. */
export type WorldWrites = {
  readonly status: readonly AgentStatus[];
  readonly events: readonly EventAction[];
  readonly created: readonly string[];
};

const ms = { tick: 20 } as const;

/**
 * One agent's world in memory: API server, kubelet, database and broker. It is woken as the real
 * operator is (a change of what is watched, a deadline of its own) and carries out what `decide` says.
 */
export class AgentWorld {
  now = t0;
  agent: Agent | undefined;
  pods: readonly WorldPod[] = [];
  rows: readonly AgentRow[] = [];
  writes: WorldWrites = { status: [], events: [], created: [] };
  database = true;
  broker = true;
  runtimeClass = true;
  tenant = true;
  /** The Agent's own NetworkPolicy. */
  policy: ObservedChild | undefined;
  /** Something the operator watches has changed since the last pass. */
  woken = true;
  /** When the operator looks again though nothing changes (ms since the epoch). */
  due: number | undefined;
  readonly #onPass: (world: AgentWorld, observed: AgentObserved, decision: AgentDecision) => void;
  #made = 0;

  constructor(
    spec: AgentSpec = anAgent().spec,
    onPass: (world: AgentWorld, observed: AgentObserved, decision: AgentDecision) => void = () => {},
  ) {
    this.agent = anAgent({ spec });
    this.#onPass = onPass;
  }

  get last(): AgentRow | undefined {
    return this.rows.at(-1);
  }

  get status(): AgentStatus | undefined {
    return this.agent?.status;
  }

  get path(): readonly string[] {
    return this.rows.map((row) => row.to);
  }

  /** Whether the last pass asked for another look that is due by now, or a change has woken the operator. */
  get wantsPass(): boolean {
    return this.woken || (this.due !== undefined && this.due <= this.now);
  }

  observe(): AgentObserved {
    return anObservedAgent({
      agent: this.agent,
      tenancy: this.tenant ? { kind: 'member', tenant: 'acme' } : { kind: 'none' },
      runtimeClass: { name: 'gvisor', exists: this.runtimeClass },
      pods: this.pods.filter((pod) => !pod.unseen).map(podObject),
      podOnItsWay: this.pods.some((pod) => pod.unseen),
      ...(this.policy === undefined ? {} : { policy: this.policy }),
      history: this.database ? aHistory(...this.rows) : databaseAway,
      brokerAvailable: this.broker,
    });
  }

  /** One pass of the operator, in the order of the kernel: record, execute, status. */
  pass(): AgentDecision {
    const observed = this.observe();
    const decision = decide(observed, this.now);
    this.woken = false;
    this.due = dueAt(decision.outcome, this.now);
    this.#onPass(this, observed, decision);
    this.rows = [...this.rows, ...decision.transitions.map((fact, index) => rowOf(fact, this.rows.length + 1 + index))];
    for (const action of decision.plan) this.#execute(action);
    if (decision.status !== undefined) this.#writeStatus(decision.status);
    return decision;
  }

  /** Passes until the operator is content with this moment; throws when it never is. */
  settle(): void {
    for (let passes = 0; this.wantsPass; passes += 1) {
      if (passes > 30) throw new Error(`the operator never comes to rest at ${this.path.join(' → ')}`);
      this.pass();
    }
  }

  change(change: Partial<Pick<AgentWorld, 'database' | 'broker' | 'runtimeClass' | 'tenant'>>): void {
    Object.assign(this, change);
    this.woken = true;
  }

  edit(spec: AgentSpec): void {
    if (this.agent === undefined) return;
    const { metadata } = this.agent;
    this.agent = { ...this.agent, metadata: { ...metadata, generation: metadata.generation + 1 }, spec };
    this.woken = true;
  }

  remove(): void {
    this.agent = undefined;
    this.woken = true;
  }

  wait(forMs: number): void {
    this.now += forMs;
  }

  /** Changes every pod as `step` says; one it answers undefined for is gone. */
  movePods(step: (pod: WorldPod) => WorldPod | undefined): void {
    const next = this.pods.map(step);
    if (next.every((pod, index) => pod === this.pods[index])) return;
    this.pods = next.filter((pod) => pod !== undefined);
    this.woken = true;
  }

  /** The cluster does the next thing it would do by itself. Answers whether there was any. */
  clusterStep(): boolean {
    const before = this.pods;
    this.movePods((pod) => healthyStep(pod, this.now));
    return this.pods !== before;
  }

  /** The publisher sends the oldest event that is not out. Answers whether it could. */
  publishStep(): boolean {
    const index = this.rows.findIndex((row) => row.event.state === 'Pending');
    const row = this.rows[index];
    if (row === undefined || !this.broker || !this.database) return false;
    const event = { ...row.event, state: 'Published', publishedAt: this.now } as const;
    this.rows = this.rows.with(index, { ...row, event });
    this.woken = true;
    return true;
  }

  /** Lets a healthy world run until nothing happens before `limitMs` have passed. Answers how long that took in ms. */
  run(limitMs = 3_600_000): number {
    const begin = this.now;
    for (let steps = 0; steps < 500; steps += 1) {
      this.settle();
      if (this.clusterStep() || this.publishStep()) {
        this.wait(ms.tick);
        continue;
      }
      if (this.due === undefined || this.due > begin + limitMs) return this.now - begin;
      this.now = Math.max(this.now, this.due);
    }
    throw new Error(`the world never comes to rest at ${this.path.slice(-12).join(' → ')}`);
  }

  #execute(action: Action): void {
    if (action.kind === 'create') this.#createPod(action.object.metadata.name);
    if (action.kind === 'apply') {
      const metadata = { ...action.object.metadata, uid: 'policy-uid', resourceVersion: '1' };
      this.policy = { resource: action.resource, object: { ...action.object, metadata } };
    }
    if (action.kind === 'delete' && action.uid === this.policy?.object.metadata.uid) this.policy = undefined;
    if (action.kind === 'delete') {
      this.movePods((pod) => {
        if (pod.uid !== action.uid || pod.deleting) return pod;
        return pod.scheduled ? { ...pod, deleting: true } : undefined;
      });
    }
    if (action.kind === 'event') this.writes = { ...this.writes, events: [...this.writes.events, action] };
  }

  // A POST under a name that stands already changes nothing: the executor finds it is ours.
  #createPod(name: string): void {
    this.writes = { ...this.writes, created: [...this.writes.created, name] };
    if (this.pods.some((pod) => pod.name === name)) return;
    this.#made += 1;
    const state = { unseen: true, deleting: false, scheduled: false, started: false, crashing: false, failed: false };
    this.pods = [
      ...this.pods,
      { name, uid: `pod-${this.#made}`, createdAt: this.now, ...state, readySince: undefined },
    ];
  }

  #writeStatus(status: AgentStatus): void {
    if (this.agent === undefined) return;
    this.agent = { ...this.agent, status };
    this.writes = { ...this.writes, status: [...this.writes.status, status] };
    this.woken = true;
  }
}

function dueAt(outcome: Outcome, now: number): number | undefined {
  return outcome.kind === 'requeue' ? now + outcome.afterMs : undefined;
}

function rowOf(fact: AgentTransition, seq: number): AgentRow {
  const { event, ...row } = fact;
  return {
    ...row,
    seq,
    tenantId: 'acme',
    traceparent,
    event: { id: `event-${seq}`, type: event.type, state: 'Pending' },
  };
}

/** What a scheduler and a kubelet without trouble do next with a pod; undefined: it is gone. */
export function healthyStep(pod: WorldPod, now: number): WorldPod | undefined {
  if (pod.unseen) return { ...pod, unseen: false };
  if (pod.deleting) return undefined;
  if (pod.failed || pod.crashing) return pod;
  if (!pod.scheduled) return { ...pod, scheduled: true };
  if (!pod.started) return { ...pod, started: true };
  return pod.readySince === undefined ? { ...pod, readySince: now } : pod;
}

function podObject(pod: WorldPod): V1Pod {
  const { name, uid, createdAt, deleting, scheduled, readySince } = pod;
  const containers = pod.crashing
    ? [aWaitingContainer('CrashLoopBackOff', { restartCount: 3 })]
    : [aContainerStatus({ ready: readySince !== undefined })];
  return aPod({
    name,
    uid,
    createdAt,
    deleting,
    scheduled,
    ...(pod.failed ? { phase: 'Failed' } : {}),
    ...(pod.started ? { containers } : {}),
    ...(pod.started && readySince !== undefined && !pod.crashing && !pod.failed ? { readySince } : {}),
  });
}

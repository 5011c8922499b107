import { isDeepStrictEqual } from 'node:util';
import type { Fence, KubeClient } from './client.ts';
import { type Clock, pause } from './clock.ts';
import { classify, hasCode } from './errors.ts';
import { microTime } from './event.ts';
import type { Logger } from './logger.ts';
import { apiVersionOf, type KubernetesObject, type ResourceType, type StoredObject } from './object.ts';
import type { PolicyRule } from './rbac.ts';

export const leases: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
};

export const leaderElectionRules: readonly PolicyRule[] = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create', 'get', 'update'] },
];

/** All in milliseconds. leaseMs > renewDeadlineMs > retryMs. */
export type ElectionTimings = {
  /** A lease nobody was seen to renew for so long is free. */
  readonly leaseMs: number;
  /** A leader that could not renew for so long stops. */
  readonly renewDeadlineMs: number;
  /** Between two attempts to renew; candidates look at least as often. */
  readonly retryMs: number;
};

/** One term of leading. */
export type Leadership = {
  /** Aborts when the work has to end: we are told to stop, or the Lease is lost. */
  readonly ending: AbortSignal;
  /** What the leader writes goes through clients behind it. Told to stop, it holds until the renewal deadline. */
  readonly fence: Fence;
};

export type LeaderElectorOptions = {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace'>;
  readonly namespace: string;
  readonly name: string;
  /** Unique per process; a restarted process is another candidate. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
  readonly timings?: Partial<ElectionTimings>;
  /** The work of the leader. It ends soon after `ending` aborts. */
  readonly onStartedLeading: (leadership: Leadership) => Promise<void>;
  /** After the work has ended, or was given up. */
  readonly onStoppedLeading?: () => void;
};

type LeaseSpec = {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
};

type Lease = StoredObject & { readonly spec?: LeaseSpec };

const defaultTimings: ElectionTimings = { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };

/**
 * One leader among the processes that share a Lease, by client-go's rules: whether the holder is
 * alive is judged by seeing the Lease change on our own clock, never by comparing clocks.
 * A process that was frozen past its lease wakes up believing in itself, so whatever the leader writes
 * is behind the fence of its term, which knows by the monotonic clock.
 */
export class LeaderElector {
  readonly #options: LeaderElectorOptions;
  readonly #timings: ElectionTimings;
  readonly #log: Logger;
  /** The Lease as last seen, and when it was first seen like that. */
  #seen: { readonly lease: Lease; readonly at: number } | undefined;
  #renewedAt: number | undefined;

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.#timings = { ...defaultTimings, ...options.timings };
    this.#log = options.log.child({ lease: options.name, identity: options.identity });
  }

  /** Whether we lead and our last renewal is young enough to be relied on, timers late or not. */
  get isLeading(): boolean {
    if (this.#renewedAt === undefined) return false;
    return this.#options.clock.monotonic() - this.#renewedAt < this.#timings.renewDeadlineMs;
  }

  /** Who held the Lease when we last looked; '' when nobody did. */
  get holder(): string {
    return this.#seen?.lease.spec?.holderIdentity ?? '';
  }

  /**
   * Waits for the Lease, leads, and returns when leadership is over: lost, or given back because
   * `signal` aborted or because the work ended by itself. The work has ended by then; only when it
   * was told to stop and takes longer than the renewal deadline it is left alone, the Lease kept.
   */
  async run(signal: AbortSignal): Promise<void> {
    await this.#acquire(signal);
    if (this.#renewedAt === undefined) return;
    this.#log.info({}, 'started leading');
    const { onStartedLeading, onStoppedLeading } = this.#options;
    const ending = new AbortController();
    const broken = new AbortController();
    const ended = new AbortController();
    const fence = { holds: () => !broken.signal.aborted && this.isLeading, broken: broken.signal };
    const work = onStartedLeading({ ending: ending.signal, fence })
      .catch((error: unknown) => this.#log.error({ err: error }, 'the work of the leader failed'))
      .finally(() => ended.abort());
    const kept = await this.#renewUntil(AbortSignal.any([signal, ended.signal]));
    if (!kept) broken.abort();
    ending.abort();
    const finished = await this.#waitFor(ended.signal);
    broken.abort();
    this.#log.info({ kept, finished }, 'stopped leading');
    // Unfinished work may still write: then the Lease has to run out, or two would work at once.
    if (kept && finished) await this.#release();
    this.#renewedAt = undefined;
    // Who lost the Lease may run for it again: not beside the remains of the work before.
    if (finished || !kept) await work;
    onStoppedLeading?.();
  }

  async #acquire(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      if (await this.#attempt(signal)) return;
      await pause(clock, this.#untilNextLook(), signal);
    }
  }

  /** True when told to stop, false when the Lease was lost. */
  async #renewUntil(stop: AbortSignal): Promise<boolean> {
    const { clock } = this.#options;
    for (;;) {
      await pause(clock, this.#timings.retryMs, stop);
      if (stop.aborted) return this.isLeading;
      // A frozen process wakes up here: whoever took over is found out without asking.
      if (!this.isLeading) return false;
      const { held, deadline } = this.#renewal();
      await held;
      deadline();
      if (!this.isLeading || this.holder !== this.#options.identity) return false;
    }
  }

  #renewal(): { readonly held: Promise<boolean>; readonly deadline: () => void } {
    const { clock } = this.#options;
    const tooLate = new AbortController();
    const left = this.#timings.renewDeadlineMs - (clock.monotonic() - (this.#renewedAt ?? 0));
    return { held: this.#attempt(tooLate.signal), deadline: clock.setTimer(left, () => tooLate.abort()) };
  }

  /** One try to get or keep the Lease; errors count as not getting it. */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#acquireOrRenew(signal);
    } catch (thrown) {
      const error = classify(thrown);
      if (hasCode(error, 'Conflict') || hasCode(error, 'AlreadyExists')) await this.#look(signal).catch(() => {});
      else if (!signal.aborted) this.#log.warn({ code: error.code }, 'could not reach the Lease');
      return false;
    }
  }

  async #acquireOrRenew(signal: AbortSignal): Promise<boolean> {
    const { client, clock, identity } = this.#options;
    const started = clock.monotonic();
    // The holder's own renewals need no read: the resourceVersion tells if anybody else wrote.
    const lease = this.holder === identity ? this.#seen?.lease : await this.#look(signal);
    if (lease !== undefined && !this.#isFree(lease)) return false;
    const spec = this.#claim(lease?.spec);
    const stored =
      lease === undefined
        ? await client.create<Lease>(leases, this.#newLease(spec), { signal })
        : await client.replace<Lease>(leases, withSpec(lease, spec), { signal });
    this.#remember(stored);
    // Counted from before the request: the server may have stored it long before we heard.
    this.#renewedAt = started;
    return true;
  }

  async #look(signal: AbortSignal): Promise<Lease | undefined> {
    const { client, name, namespace } = this.#options;
    const lease = await client.get<Lease>({ resource: leases, namespace, name }, { signal });
    if (lease === undefined) this.#seen = undefined;
    else this.#remember(lease);
    return lease;
  }

  #remember(lease: Lease): void {
    const { clock } = this.#options;
    const changed = !isDeepStrictEqual(this.#seen?.lease.spec, lease.spec);
    this.#seen = { lease, at: changed || this.#seen === undefined ? clock.monotonic() : this.#seen.at };
  }

  #isFree(lease: Lease): boolean {
    const holder = lease.spec?.holderIdentity ?? '';
    return holder === '' || holder === this.#options.identity || this.#expiresInMs() <= 0;
  }

  #expiresInMs(): number {
    if (this.#seen === undefined) return 0;
    const { leaseDurationSeconds } = this.#seen.lease.spec ?? {};
    const leaseMs = leaseDurationSeconds === undefined ? this.#timings.leaseMs : leaseDurationSeconds * 1000;
    return this.#seen.at + leaseMs - this.#options.clock.monotonic();
  }

  // Candidates look twice to four times in the interval, so that a Lease given back is taken within a second or so,
  // and exactly when it runs out.
  #untilNextLook(): number {
    const { random = Math.random } = this.#options;
    const regular = (this.#timings.retryMs * (1 + random())) / 4;
    return this.holder === '' ? regular : Math.min(regular, Math.max(this.#expiresInMs(), 0) + 1);
  }

  #claim(before: LeaseSpec | undefined): LeaseSpec {
    const { clock, identity } = this.#options;
    const now = microTime(clock.now());
    const isOurs = before?.holderIdentity === identity;
    const transitions = before?.leaseTransitions ?? 0;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#timings.leaseMs / 1000),
      acquireTime: (isOurs ? before.acquireTime : undefined) ?? now,
      renewTime: now,
      leaseTransitions: isOurs || before === undefined ? transitions : transitions + 1,
    };
  }

  #newLease(spec: LeaseSpec): KubernetesObject & { readonly spec: LeaseSpec } {
    const { name, namespace } = this.#options;
    return { apiVersion: apiVersionOf(leases), kind: leases.kind, metadata: { name, namespace }, spec };
  }

  /** Whether it aborts before the renewal deadline. */
  async #waitFor(ended: AbortSignal): Promise<boolean> {
    const { clock } = this.#options;
    const left = this.#timings.renewDeadlineMs - (clock.monotonic() - (this.#renewedAt ?? 0));
    await pause(clock, Math.max(0, left), ended);
    return ended.aborted;
  }

  // An empty holder lets the next candidate in at its next look instead of after the whole lease.
  async #release(): Promise<void> {
    const { client, clock } = this.#options;
    const lease = this.#seen?.lease;
    if (lease === undefined) return;
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(clock.now()) };
    try {
      this.#remember(await client.replace<Lease>(leases, withSpec(lease, spec)));
    } catch (error) {
      this.#log.warn({ code: classify(error).code }, 'could not give the Lease back; it will run out');
    }
  }
}

function withSpec(lease: Lease, spec: LeaseSpec): Lease {
  return { ...lease, spec };
}

import { type CachedTenant, type Caches, isPlaceWanted, type Waiter } from './caches.ts';
import { hasCode } from './kernel/errors.ts';
import type { StoredObject } from './kernel/object.ts';
import type { WorkQueue } from './kernel/queue.ts';
import { resourceQuotaResource } from './resources/builtin.ts';
import { quantityOf } from './resources/quantity.ts';
import type { Amount, PlaceRoom, QuotaRoom } from './resources/quota.ts';
import type { Membership } from './resources/tenancy.ts';
import { quotaName } from './resources/tenant/quota.ts';
import type { Database } from './store/db.ts';
import { placesUsed } from './store/repositories/ledger.ts';
import type { LedgerResource } from './store/tables/ledger.ts';

/** How many of those who have waited longest are woken when a place is free. Each who takes one wakes the next. */
const wokenAtOnce = 32;

/** Those of one kind who may wait for a place. Who does so says it in its status (QuotaReserved=False), so that the line outlives a leader. */
export type Line = {
  /** Those in a namespace who wait, by the cache. */
  readonly waitingIn: (namespace: string) => readonly Waiter[];
  /** The same object as our own last write left it. */
  readonly newest: (waiter: Waiter) => Waiter;
  readonly queue: WorkQueue;
};

/** What the quotas of tenants leave, who waits for it, and waking them. */
export class Quotas {
  readonly #caches: Caches;
  readonly #database: Database;
  readonly #lines: Readonly<Record<LedgerResource, Line>>;

  constructor(caches: Caches, database: Database, lines: Readonly<Record<LedgerResource, Line>>) {
    this.#caches = caches;
    this.#database = database;
    this.#lines = lines;
  }

  /** What is left to an agent of this tenant. Undefined when nothing is bounded, or the ledger cannot be read now. */
  async roomOf(uid: string, tenancy: Membership, asksForPlace: boolean): Promise<QuotaRoom | undefined> {
    const { agents, hard } = tenancy.rules?.quota ?? {};
    if (agents === undefined && hard === undefined) return undefined;
    const amounts = hard === undefined ? [] : this.#amounts(tenancy.tenant, hard);
    if (agents === undefined || !asksForPlace) return { amounts };
    const places = await this.#placesOf('agents', uid, tenancy.tenant, agents);
    return places === undefined ? undefined : { places, amounts };
  }

  /** As {@link roomOf}, for a pool. */
  async poolRoomOf(uid: string, { tenant, rules }: Membership): Promise<PlaceRoom | undefined> {
    const limit = rules?.quota?.pools;
    return limit === undefined ? undefined : this.#placesOf('pools', uid, tenant, limit);
  }

  /** A place may be free: those who have waited longest look. */
  freed(tenant: string): void {
    for (const [resource, { queue }] of Object.entries(this.#lines)) {
      const front = this.#line(resource as LedgerResource, tenant).slice(0, wokenAtOnce);
      for (const { metadata } of front) queue.add(metadata.uid);
    }
  }

  /**
   * Watch → key of those who wait: somebody left the line, or pods let go of what they used. `changed` is called with a
   * tenant of which more or fewer wait than before. Returns how to stop.
   */
  subscribe(changed: (tenant: string) => void): readonly (() => void)[] {
    const { agents, agentPools, tenantChildren } = this.#caches;
    const look = (type: string, object: Waiter, previous: Waiter | undefined) => {
      const isIn = type !== 'deleted' && isPlaceWanted(object);
      const wasIn = type === 'deleted' ? isPlaceWanted(object) : previous !== undefined && isPlaceWanted(previous);
      if (isIn === wasIn && isShort(object) === isShort(previous)) return;
      for (const { metadata } of this.#tenantsOf(object.metadata.namespace ?? '')) {
        if (wasIn && !isIn) this.freed(metadata.name);
        changed(metadata.name);
      }
    };
    const quotas = tenantChildren.filter(({ resource }) => resource === resourceQuotaResource);
    return [
      agents.onChange(look),
      agentPools.onChange(look),
      ...quotas.map(({ cache }) =>
        cache.onChange((_type, quota, previous) => {
          if (isMoreFree(quota, previous)) this.#wakeShort(quota.metadata.namespace ?? '');
        }),
      ),
    ];
  }

  async #placesOf(
    resource: LedgerResource,
    uid: string,
    tenant: string,
    limit: number,
  ): Promise<PlaceRoom | undefined> {
    try {
      const used = await placesUsed(this.#database.db, tenant, resource);
      return { limit, used, ahead: used >= limit ? 0 : this.#ahead(resource, uid, tenant) };
    } catch (error) {
      // Whoever records finds out: this is a look ahead.
      if (hasCode(error, 'DatabaseUnavailable')) return undefined;
      throw error;
    }
  }

  /** How many have waited longer. Whoever does not wait yet is behind all of them. */
  #ahead(resource: LedgerResource, uid: string, tenant: string): number {
    const line = this.#line(resource, tenant);
    const place = line.findIndex(({ metadata }) => metadata.uid === uid);
    return place < 0 ? line.length : place;
  }

  #line(resource: LedgerResource, tenant: string): readonly Waiter[] {
    const { waitingIn, newest } = this.#lines[resource];
    return this.#namespacesOf(tenant).flatMap(waitingIn).map(newest).filter(isPlaceWanted).toSorted(byPatience);
  }

  /** Bounds and use over all namespaces, as their ResourceQuotas report it; without those that report nothing yet. */
  #amounts(tenant: string, hard: Readonly<Record<string, string | number>>): readonly Amount[] {
    const used = this.#namespacesOf(tenant).flatMap((namespace) => {
      const status = this.#quotaIn(namespace)?.status?.used;
      return status === undefined ? [] : [status];
    });
    return Object.entries(hard).map(([name, bound]) => ({
      name,
      hard: quantityOf(bound),
      used: used.reduce((sum, each) => sum + quantityOf(each[name] ?? '0'), 0),
    }));
  }

  #quotaIn(namespace: string): QuotaObject | undefined {
    const quotas = this.#caches.tenantChildren.find(({ resource }) => resource === resourceQuotaResource)?.cache;
    return quotas?.getByName(namespace, quotaName) as QuotaObject | undefined;
  }

  /** Agents that wait for an amount: each looks for itself whether it fits now. */
  #wakeShort(namespace: string): void {
    const { agents } = this.#caches;
    const namespaces = this.#tenantsOf(namespace).flatMap(({ metadata }) => this.#namespacesOf(metadata.name));
    for (const each of namespaces) {
      for (const { metadata, status } of agents.byIndex('namespace', each)) {
        if (status?.reason === 'WaitingForQuota') this.#lines.agents.queue.add(metadata.uid);
      }
    }
  }

  #tenantsOf(namespace: string): readonly CachedTenant[] {
    return this.#caches.tenants.byIndex('verified', namespace);
  }

  #namespacesOf(tenant: string): readonly string[] {
    return this.#caches.tenants.getByName(undefined, tenant)?.status?.namespaces?.map(({ name }) => name) ?? [];
  }
}

type QuotaObject = StoredObject & { readonly status?: { readonly used?: Readonly<Record<string, string>> } };

/** Whether it says that the quota keeps it, by a place or an amount. */
function isShort(object: Waiter | undefined): boolean {
  return (
    object?.status?.conditions?.some(({ type, reason }) => type === 'Ready' && reason === 'WaitingForQuota') ?? false
  );
}

/** Whoever began to wait first, then whoever was made first. */
function byPatience(a: Waiter, b: Waiter): number {
  return compare(sinceOf(a), sinceOf(b)) || compare(a.metadata.uid, b.metadata.uid);
}

function sinceOf({ status, metadata }: Waiter): string {
  const since = status?.conditions?.find(({ type }) => type === 'QuotaReserved')?.lastTransitionTime ?? '';
  return `${since}/${metadata.creationTimestamp ?? ''}`;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Whether a ResourceQuota says that less is in use than before. */
function isMoreFree(quota: StoredObject, previous: StoredObject | undefined): boolean {
  const before = (previous as QuotaObject | undefined)?.status?.used ?? {};
  const after = (quota as QuotaObject).status?.used ?? {};
  return Object.entries(before).some(([name, used]) => quantityOf(after[name] ?? '0') < quantityOf(used));
}

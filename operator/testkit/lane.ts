import { loadConfig } from '../config.ts';
import { silentLogger } from '../kernel/logger.ts';
import type { KubernetesObject, ResourceType, StoredObject } from '../kernel/object.ts';
import { tenantResource } from '../resources/own.ts';
import { type Database, migrate, openDatabase } from '../store/db.ts';
import { eventually } from './eventually.ts';
import { Fate, MortalOperator } from './mortal.ts';
import { startNats, type TestNats } from './nats.ts';
import type { World } from './world.ts';

/** A recorded transition and what became of its event. */
export type LaneRow = {
  readonly id: string;
  readonly kind: string;
  readonly seq: number;
  readonly phase: string;
  readonly reason: string;
  readonly type: string;
  readonly eventId: string;
  readonly state: string;
};
/** Any object of the cluster, with whatever it says. */
export type Loose = StoredObject & {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
};

/** A Tenant with an operator, a database and a place in the cluster of their own. */
export class Lane {
  readonly fate = new Fate();
  readonly name: string;
  readonly #world: World;
  readonly #seen = new Map<string, number>();
  readonly database: Database;
  readonly nats: TestNats;
  readonly operator: MortalOperator;

  constructor(world: World, name: string, databaseUrl: string, nats: TestNats) {
    this.#world = world;
    this.name = name;
    this.nats = nats;
    this.database = openDatabase({
      url: databaseUrl,
      poolSize: 2,
      applicationName: 'test',
      allowUnsafe: true,
      log: silentLogger,
    });
    const environment = { OPENOS_DATABASE_URL: databaseUrl, OPENOS_NATS_URL: nats.url, OPENOS_WORKERS: '4' };
    const config = loadConfig(environment, { hostname: name, process: name, version: 'test' });
    const { credentials } = world.cluster;
    this.operator = new MortalOperator({
      credentials,
      databaseUrl,
      natsUrl: nats.url,
      config,
      scope: name,
      fate: this.fate,
    });
  }

  static async open(world: World, name: string): Promise<Lane> {
    const database = name.replaceAll('-', '_');
    await world.createDatabase(database);
    const url = world.postgres.url.replace(/\/postgres$/, `/${database}`);
    await migrate(url, silentLogger);
    return new Lane(world, name, url, await startNats());
  }

  async close(): Promise<void> {
    this.operator.stop();
    await this.database.close();
    await this.nats.stop();
  }

  rows(): Promise<readonly LaneRow[]> {
    return this.database.db
      .selectFrom('transition as t')
      .innerJoin('outbox as o', 'o.event_id', 't.event_id')
      .orderBy('t.aggregate_id')
      .orderBy('t.seq')
      .select(['t.aggregate_id as id', 't.aggregate_kind as kind', 't.seq', 't.to_phase as phase', 't.reason'])
      .select(['t.event_type as type', 't.event_id as eventId', 'o.state'])
      .execute();
  }

  /** Everything is told, and nothing was written for a second: nothing more happens by itself. */
  rests(): Promise<true> {
    return eventually(
      `${this.name} has told everything and rests`,
      async () => {
        const isOver = performance.now() - this.fate.lastWriteAt > 1_000;
        return isOver && (await this.rows()).every(({ state }) => state !== 'Pending');
      },
      60_000,
      50,
    );
  }

  /** What is recorded by now counts as seen: {@link added} begins after it. */
  async turnOver(): Promise<void> {
    for (const { id, seq } of await this.rows()) this.#seen.set(id, seq);
  }

  /** The rows since the last turn, by whom they are of. */
  async added(): Promise<ReadonlyMap<string, readonly LaneRow[]>> {
    const rows = await this.rows();
    return Map.groupBy(
      rows.filter(({ id, seq }) => seq > (this.#seen.get(id) ?? 0)),
      ({ id }) => id,
    );
  }

  async withTenant(): Promise<void> {
    await this.create(tenantResource, this.name, { namespaces: [{ name: this.name }], suspend: 'None' });
    await this.#world.tenantStatus(this.name, 'Ready', ({ conditions = [] }) =>
      conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
    );
    await this.rests();
    await this.turnOver();
  }

  get<T extends StoredObject = Loose>(resource: ResourceType, name: string): Promise<T | undefined> {
    return this.#world.cluster.client.get<T>({
      resource,
      name,
      ...(resource.namespaced ? { namespace: this.name } : {}),
    });
  }

  create(resource: ResourceType, name: string, spec: object): Promise<StoredObject> {
    const metadata = { name, ...(resource.namespaced ? { namespace: this.name } : {}) };
    return this.#world.cluster.client.create(resource, {
      apiVersion: 'openos.dev/v1alpha1',
      kind: resource.kind,
      metadata,
      spec,
    } as KubernetesObject);
  }

  /** Changes some fields of the spec, as somebody with an editor does: again when another was faster. */
  edit(resource: ResourceType, name: string, spec: object): Promise<unknown> {
    return eventually(`${resource.kind} ${name} is edited`, async () => {
      const standing = await this.get(resource, name);
      if (standing === undefined) throw new Error(`there is no ${resource.kind} ${name}`);
      return this.#world.cluster.client.replace(resource, {
        ...standing,
        spec: { ...standing.spec, ...spec },
      } as StoredObject);
    });
  }

  delete(resource: ResourceType, name: string): Promise<void> {
    return this.#world.delete({ resource, name, ...(resource.namespaced ? { namespace: this.name } : {}) });
  }

  async list(resource: ResourceType): Promise<readonly Loose[]> {
    return (await this.#world.cluster.client.list<Loose>(resource, { namespace: this.name })).items;
  }
}

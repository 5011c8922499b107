import { createCaches } from '../caches.ts';
import type { Config } from '../config.ts';
import { NatsBroker } from '../events/nats-broker.ts';
import { KubeClient, type Selection } from '../kernel/client.ts';
import { systemClock } from '../kernel/clock.ts';
import type { Credentials } from '../kernel/credentials.ts';
import { silentLogger } from '../kernel/logger.ts';
import type { ResourceType, StoredObject } from '../kernel/object.ts';
import { type LinesOptions, type Method, type RequestOptions, Transport } from '../kernel/transport.ts';
import { lead } from '../lead.ts';
import type { Database } from '../store/db.ts';
import { openPool } from '../store/pool.ts';
import { createMetrics } from '../telemetry/metrics.ts';

/** At which of its writes an operator dies: as it is about to send it, or when it is done and the answer on its way. */
export type CrashPoint = { readonly at: number; readonly side: 'before' | 'after' };

/** Counts the writes of operators that follow one another, and ends the life of the one that comes to the point. */
export class Fate {
  /** What was written since it was armed. */
  readonly writes: string[] = [];
  /** The write at which an operator died. */
  struck: string | undefined;
  lastWriteAt = 0;
  #point: CrashPoint | undefined;
  #counts = false;

  /** Begins to count; without a point nobody dies. */
  arm(point: CrashPoint | undefined): void {
    this.writes.length = 0;
    this.struck = undefined;
    this.#point = point;
    this.#counts = true;
  }

  disarm(): void {
    this.#counts = false;
  }

  /** Notes a write that is about to be sent, and answers which it is; 0 when nobody counts. */
  begin(what: string): number {
    this.lastWriteAt = performance.now();
    return this.#counts ? this.writes.push(what) : 0;
  }

  /** Whether the operator dies on this side of this write. */
  strikes(write: number, side: CrashPoint['side']): boolean {
    this.lastWriteAt = performance.now();
    const isStruck =
      this.#counts && this.struck === undefined && this.#point?.side === side && this.#point.at === write;
    if (isStruck) this.struck = `${side} ${this.writes[write - 1]}`;
    return isStruck;
  }
}

/** One life. The dead ask nothing, write nothing and hear no answer. */
class Life {
  readonly #fate: Fate;
  readonly #end = new AbortController();

  constructor(fate: Fate) {
    this.#fate = fate;
  }

  get over(): AbortSignal {
    return this.#end.signal;
  }

  end(): void {
    this.#end.abort();
  }

  async ask<Answer>(question: () => Promise<Answer>): Promise<Answer> {
    if (this.over.aborted) return silence();
    const answer = await question().catch((error: unknown) => {
      if (!this.over.aborted) throw error;
    });
    return this.over.aborted ? silence() : (answer as Answer);
  }

  async write<Answer>(what: string, send: () => Promise<Answer>): Promise<Answer> {
    if (this.over.aborted) return silence();
    const write = this.#fate.begin(what);
    if (this.#fate.strikes(write, 'before')) this.end();
    return this.ask(async () => {
      const answer = await send();
      if (this.#fate.strikes(write, 'after')) this.end();
      return answer;
    });
  }
}

function silence(): Promise<never> {
  return new Promise(() => {});
}

export type MortalOptions = {
  readonly credentials: Credentials;
  readonly databaseUrl: string;
  readonly natsUrl: string;
  readonly config: Config;
  /** The Tenant, and the namespace of the same name, that are all this operator sees of the cluster. */
  readonly scope: string;
  readonly fate: Fate;
};

/**
 * The operator inside of this process: what the leader does (lead.ts), its own caches and connections, everything
 * it sends behind a point at which it can die. It dies as a process does: connections break, nothing is tidied up.
 * Another takes its place at once.
 */
export class MortalOperator {
  readonly #options: MortalOptions;
  #life: Life;
  #lives = 0;
  #ended = false;

  constructor(options: MortalOptions) {
    this.#options = options;
    this.#life = this.#begin();
  }

  get lives(): number {
    return this.#lives;
  }

  stop(): void {
    this.#ended = true;
    this.#life.end();
  }

  #begin(): Life {
    const { config, scope, fate } = this.#options;
    this.#lives += 1;
    const life = new Life(fate);
    const client = this.#client(life);
    const database = this.#database(life);
    const broker = this.#broker(life);
    const metrics = createMetrics({ version: 'test', phases: [] });
    const log = silentLogger;
    const caches = createCaches(client, systemClock, log, metrics);
    const numbered = { ...config, podName: `${scope}-${this.#lives}` };
    const fence = { holds: () => !life.over.aborted, broken: life.over };
    void caches.run(life.over).catch(() => undefined);
    const parts = { config: numbered, client, caches, database, broker, metrics, clock: systemClock, log };
    void lead(parts, { ending: life.over, fence }).catch(() => undefined);
    life.over.addEventListener('abort', () => {
      void client.close();
      void broker.close().catch(() => undefined);
      if (!this.#ended) this.#life = this.#begin();
    });
    return life;
  }

  #client(life: Life): KubeClient {
    const { credentials, scope } = this.#options;
    return new ScopedClient(new MortalTransport(credentials, life), scope);
  }

  #broker(life: Life): NatsBroker {
    const { config, natsUrl: url } = this.#options;
    const broker = new NatsBroker({ url, name: config.podName, stream: config.stream, log: silentLogger });
    broker.connect();
    const publish = broker.publish.bind(broker);
    broker.publish = (message) =>
      life.write(`NATS ${message.subject.split('.').slice(3, 5).join('.')}`, () => publish(message));
    return broker;
  }

  #database(life: Life): Database {
    const db = openPool({
      url: this.#options.databaseUrl,
      poolSize: 4,
      applicationName: 'mortal',
      connectTimeoutMs: 3_000,
      statementTimeoutMs: 5_000,
      log: silentLogger,
      observe: () => {},
      greet: async (client) => meet(client, life),
    });
    const close = () => db.destroy();
    const never = () => () => {};
    const tidings = { onAvailability: never, onRestart: never };
    return { db, available: true, ...tidings, ping: async () => {}, close };
  }
}

type Statement = { readonly text: string };
type Connection = {
  query: (statement: Statement) => Promise<unknown>;
  readonly connection: { readonly stream: { destroy(): void } };
};

/** From now on what this connection sends is part of that life, and the connection breaks when it ends. */
function meet(client: unknown, life: Life): void {
  const connection = client as Connection;
  const query = connection.query.bind(connection);
  connection.query = (statement) => {
    const name = nameOf(statement.text);
    // A claim writes only when there is something to claim, and every second it asks whether there is.
    const isQuestion = name === 'claim_heads' || !/\b(insert|update|delete|commit)\b/i.test(statement.text);
    return isQuestion ? life.ask(() => query(statement)) : life.write(`SQL ${name}`, () => query(statement));
  };
  life.over.addEventListener('abort', () => connection.connection.stream.destroy());
}

function nameOf(text: string): string {
  return /^\s*\/\*(\w+)\*\//.exec(text)?.[1] ?? text.trim().split(/\s+/).slice(0, 3).join(' ').toLowerCase();
}

class MortalTransport extends Transport {
  readonly #life: Life;

  constructor(credentials: Credentials, life: Life) {
    super({ credentials, version: 'test', connections: 4 });
    this.#life = life;
  }

  override request<T>(method: Method, path: string, options: RequestOptions = {}): Promise<T> {
    const send = () => super.request<T>(method, path, options);
    return method === 'GET'
      ? this.#life.ask(send)
      : this.#life.write(`API ${method} ${options.resource ?? path}`, send);
  }

  override async *lines(path: string, options: LinesOptions = {}): AsyncGenerator<string, void, void> {
    for await (const line of super.lines(path, options)) {
      if (this.#life.over.aborted) return silence();
      yield line;
    }
  }
}

/** Lists and watches one Tenant, its namespace and what is in it; what belongs to nobody it sees whole. */
class ScopedClient extends KubeClient {
  readonly #scope: string;

  constructor(transport: Transport, scope: string) {
    super(transport);
    this.#scope = scope;
  }

  override pages<T extends StoredObject>(resource: ResourceType, selection: Selection = {}) {
    return super.pages<T>(resource, { ...selection, ...this.#part(resource) });
  }

  override watch<T extends StoredObject>(...[resource, selection, options]: Parameters<KubeClient['watch']>) {
    return super.watch<T>(resource, { ...selection, ...this.#part(resource) }, options);
  }

  #part({ namespaced, kind }: ResourceType): Selection {
    if (namespaced) return { namespace: this.#scope };
    return kind === 'Tenant' || kind === 'Namespace' ? { fieldSelector: `metadata.name=${this.#scope}` } : {};
  }
}

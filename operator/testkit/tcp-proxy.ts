import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export type Direction = 'toServer' | 'toClient';

/** A TCP proxy on 127.0.0.1 that breaks connections in the ways networks do. */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [client: Socket, upstream: Socket]>();
  #frozen = false;
  #refusing = false;
  /** What arrived in a direction since it is held back. */
  readonly #held = new Map<Direction, { readonly to: Socket; readonly data: Buffer }[]>();
  /** What begins the holding when it comes along. */
  readonly #awaited = new Map<Direction, string>();

  /** Forwards to `port` on `host`. */
  constructor(port: number, host = '127.0.0.1') {
    this.#server = createServer((client) => this.#forward(client, connect(port, host)));
  }

  async start(): Promise<this> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.listen(0, '127.0.0.1', resolve);
    await promise;
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Breaks every connection with a reset. */
  reset(): void {
    for (const [client, upstream] of this.#pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  /** While on: new connections are closed at once, as with a server that is down. */
  set refusing(on: boolean) {
    this.#refusing = on;
    if (on) this.reset();
  }

  /** While on: connections stay open and nothing passes, as with a cable pulled. */
  set frozen(on: boolean) {
    this.#frozen = on;
    for (const [client, upstream] of this.#pairs) {
      if (on) client.pause();
      else client.resume();
      if (on) upstream.pause();
      else upstream.resume();
    }
  }

  /**
   * From now on, or from the first piece with this text in it, what goes in this direction arrives here and goes no
   * further: it is sent, and nobody has it.
   */
  hold(direction: Direction, from?: string): void {
    if (from === undefined) this.#held.set(direction, []);
    else this.#awaited.set(direction, from);
  }

  /** What is held back in this direction, as text. */
  held(direction: Direction): string {
    return (this.#held.get(direction) ?? []).map(({ data }) => data.toString('latin1')).join('');
  }

  /** Lets everything pass again, or what goes in this direction: what was held back first. */
  release(...directions: readonly Direction[]): void {
    for (const direction of directions.length > 0 ? directions : (['toServer', 'toClient'] as const)) {
      for (const { to, data } of this.#held.get(direction) ?? []) if (!to.destroyed) to.write(data);
      this.#held.delete(direction);
      this.#awaited.delete(direction);
    }
  }

  /** The connections there are stay open and nothing passes on them any more; new ones work, as behind a NAT that forgot. */
  strand(): void {
    for (const [client, upstream] of this.#pairs) {
      client.removeAllListeners('data').pause();
      upstream.removeAllListeners('data').pause();
    }
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    for (const [client, upstream] of this.#pairs) {
      client.destroy();
      upstream.destroy();
    }
    await promise;
  }

  #forward(client: Socket, upstream: Socket): void {
    if (this.#refusing) {
      client.resetAndDestroy();
      upstream.destroy();
      return;
    }
    const pair = [client, upstream] as const;
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of pair) {
      socket.on('error', end);
      socket.on('close', end);
      if (this.#frozen) socket.pause();
    }
    client.on('data', (data) => this.#pass('toServer', upstream, data));
    upstream.on('data', (data) => this.#pass('toClient', client, data));
    if (this.#frozen) {
      client.pause();
      upstream.pause();
    }
  }

  #pass(direction: Direction, to: Socket, data: Buffer): void {
    const awaited = this.#awaited.get(direction);
    if (awaited !== undefined && data.includes(awaited)) {
      this.#awaited.delete(direction);
      this.hold(direction);
    }
    const held = this.#held.get(direction);
    if (held === undefined) to.write(data);
    else held.push({ to, data });
  }
}

import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, ServerProcess } from './server-process.ts';

const run = promisify(execFile);

export type TestNats = {
  /** nats://user:password@127.0.0.1:port */
  readonly url: string;
  readonly port: number;
  /** Ends it and removes its store. */
  stop(): Promise<void>;
  /** Ends it at once and keeps its store. */
  kill(): Promise<void>;
  /** Freezes it: connections stay open and nobody answers. */
  pause(): void;
  resume(): void;
  /** Ends it, if it runs, and starts it again on the same port and store. */
  restart(): Promise<void>;
  /** Ends it and starts it again with an empty store. */
  wipe(): Promise<void>;
  /** Ends it, keeps a copy of its store and starts it again. */
  backUp(): Promise<void>;
  /** Ends it at once and starts it again with the store as it was at `backUp`. */
  putBack(): Promise<void>;
};

export type NatsOptions = {
  /** Every message is on disk before its ack, as the chart sets it. */
  readonly syncAlways?: boolean;
  /** Subjects the user may not publish to. */
  readonly denyPublish?: readonly string[];
  /** A server that is not running yet: `restart()` starts it. */
  readonly startStopped?: boolean;
};

/** Starts a nats-server with JetStream of its own on a free loopback port. */
export async function startNats(options: NatsOptions = {}): Promise<TestNats> {
  const binary = join(await toolFolder(), 'nats-server');
  const home = await mkdtemp(join(tmpdir(), 'openos-nats-'));
  const port = await freePort();
  const store = join(home, 'store');
  const configuration = join(home, 'nats.conf');
  await writeFile(configuration, configurationText(port, store, options));
  const start = () =>
    ServerProcess.start({ command: binary, args: ['-c', configuration], readyText: 'Server is ready' });

  let server = options.startStopped === true ? undefined : await start();
  const restart = async (): Promise<void> => {
    await server?.end('SIGTERM');
    server = await start();
  };
  return {
    url: `nats://openos:secret@127.0.0.1:${port}`,
    port,
    async stop() {
      await server?.end('SIGKILL');
      await rm(home, { recursive: true, force: true });
    },
    async kill() {
      await server?.end('SIGKILL');
    },
    pause: () => server?.signal('SIGSTOP'),
    resume: () => server?.signal('SIGCONT'),
    restart,
    async wipe() {
      await server?.end('SIGKILL');
      await rm(store, { recursive: true, force: true });
      server = await start();
    },
    async backUp() {
      await server?.end('SIGTERM');
      await cp(store, `${store}-copy`, { recursive: true });
      server = await start();
    },
    async putBack() {
      await server?.end('SIGKILL');
      await rm(store, { recursive: true, force: true });
      await cp(`${store}-copy`, store, { recursive: true });
      server = await start();
    },
  };
}

function configurationText(port: number, store: string, options: NatsOptions): string {
  const deny = JSON.stringify(options.denyPublish ?? []);
  return `
    listen: "127.0.0.1:${port}"
    jetstream { store_dir: ${JSON.stringify(store)}, max_file_store: 2G ${options.syncAlways === true ? ', sync_interval: always' : ''} }
    authorization { users: [ { user: openos, password: secret, permissions: { publish: { deny: ${deny} }, subscribe: ">" } } ] }
  `;
}

let tools: Promise<string> | undefined;

/** Where the pinned nats-server lies; it is built when the machine has none. */
function toolFolder(): Promise<string> {
  const script = join(import.meta.dirname, '../../hack/toolchain/get.sh');
  tools ??= run(script, ['nats-server']).then(({ stdout }) => stdout.trim());
  return tools;
}

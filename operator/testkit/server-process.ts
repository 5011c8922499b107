import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { eventually } from './eventually.ts';

export type ServerCommand = {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** Whom to run as, when that is somebody else. */
  readonly identity?: { readonly uid: number; readonly gid: number };
  /** In the output when the server takes connections. */
  readonly readyText: string;
};

const startDeadlineMs = 30_000;
const running = new Set<ServerProcess>();
process.on('exit', () => {
  for (const server of running) server.signal('SIGKILL');
});

/** A real server as a child process of a test: started, frozen, killed, and never left behind. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  #output = '';

  private constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#name = name;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-16_000);
      });
    }
  }

  /** Resolves when the server takes connections; rejects with its output when it ends before. */
  static async start(command: ServerCommand): Promise<ServerProcess> {
    const child = spawn(command.command, command.args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(command.cwd !== undefined && { cwd: command.cwd }),
      ...command.identity,
    });
    const server = new ServerProcess(child, command.command);
    running.add(server);
    child.once('exit', () => running.delete(server));
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
    });
    await eventually(
      `${command.command} says "${command.readyText}"`,
      () => server.#output.includes(command.readyText) || server.exited || failure !== undefined,
      startDeadlineMs,
    );
    if (failure || server.exited) throw new Error(`${command.command} ended: ${server.#output}`, { cause: failure });
    return server;
  }

  get exited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get output(): string {
    return this.#output;
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error(`${this.#name} never ran`);
    return pid;
  }

  /** Sends a signal to the server and to the processes it started. After SIGSTOP none of them runs any more. */
  signal(signal: NodeJS.Signals): void {
    if (this.exited) return;
    const family = [this.pid, ...childrenOf(this.pid)];
    for (const pid of family) {
      try {
        process.kill(pid, signal);
      } catch {
        // It ended between the look and the signal.
      }
    }
    if (signal === 'SIGSTOP') for (const pid of family) waitUntilStopped(pid);
  }

  /** Sends the signal to the server alone and resolves when it and what it started have ended. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.exited) return;
    const family = [this.pid, ...childrenOf(this.pid)];
    this.signal('SIGCONT');
    const exit = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exit;
    await eventually(`${this.#name} and its children are gone`, () => !family.some(isAlive));
  }
}

const stopDeadlineMs = 5_000;

// kill(2) returns before the signal has reached every thread: one on another core could still answer.
function waitUntilStopped(pid: number): void {
  const end = performance.now() + stopDeadlineMs;
  while (!threadStates(pid).every((state) => state === 'T')) {
    if (performance.now() > end) throw new Error(`process ${pid} does not stop`);
  }
}

/** One letter per thread, as in /proc/PID/stat; none when the process is gone. */
function threadStates(pid: number): readonly string[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.map((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      return stat.charAt(stat.lastIndexOf(')') + 2);
    });
  } catch {
    return [];
  }
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A TCP port of the loopback address that is free now. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return address.port;
}

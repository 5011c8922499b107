import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { eventually } from './eventually.ts';

const main = join(import.meta.dirname, '../main.ts');

export type OperatorOptions = {
  readonly kubeconfig: string;
  readonly databaseUrl: string;
  readonly natsUrl: string;
  /** More of the environment, or other values for what is set here. */
  readonly env?: Readonly<Record<string, string>>;
};

/** The operator as a process of its own, from source: it can be killed like the real one. */
export type TestOperator = {
  readonly pid: number;
  /** Everything it has logged. */
  log(): string;
  /** Resolves when /readyz says so. */
  ready(): Promise<void>;
  /** SIGTERM; resolves with the exit code when it has drained. */
  stop(): Promise<number>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
};

/** Runs one command of the operator to its end. */
export async function runOperator(
  command: 'controller' | 'migrate' | 'prepare-uninstall',
  options: OperatorOptions,
): Promise<{ readonly code: number; readonly output: string }> {
  const { child, log } = spawnOperator(command, options);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 1, output: log() };
}

/** Migrates the database and starts the controller; it is ready when `ready()` resolves. */
export async function startOperator(options: OperatorOptions): Promise<TestOperator> {
  const { child, log } = spawnOperator('controller', options);
  const closed = once(child, 'close') as Promise<[number | null]>;
  const { pid } = child;
  if (pid === undefined) throw new Error('the operator could not be started');
  return {
    pid,
    log,
    ready: async () => {
      await eventually('the operator is ready', () => isReady(log), 60_000);
    },
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = await closed;
      return code ?? 1;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await closed;
    },
    signal: (signal) => child.kill(signal),
  };
}

function spawnOperator(command: string, options: OperatorOptions): { readonly child: ChildProcess; log(): string } {
  const { kubeconfig, databaseUrl, natsUrl, env } = options;
  const child = spawn(process.execPath, [main, command], {
    env: {
      PATH: process.env.PATH,
      KUBECONFIG: kubeconfig,
      OPENOS_DATABASE_URL: databaseUrl,
      OPENOS_NATS_URL: natsUrl,
      OPENOS_NAMESPACE: 'default',
      OPENOS_HTTP_PORT: '0',
      OPENOS_LEASE_SECONDS: '5',
      OPENOS_LOG_LEVEL: 'debug',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return { child, log: () => output };
}

async function isReady(log: () => string): Promise<boolean> {
  const port = /"port":(\d+)[^\n]*openos controller started/.exec(log())?.[1];
  if (port === undefined) return false;
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
  return answer?.ok ?? false;
}

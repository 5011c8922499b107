import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { eventually } from './eventually.ts';

const main = join(import.meta.dirname, '../main.ts');

// Of a test run that ends before its tests do, nothing may go on reconciling.
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export type OperatorOptions = {
  readonly kubeconfig: string;
  readonly databaseUrl: string;
  readonly natsUrl: string;
  /** What Node runs; the sources when left out. */
  readonly program?: string;
  /** More arguments of Node. */
  readonly nodeArguments?: readonly string[];
  /** More of the environment, or other values for what is set here. */
  readonly env?: Readonly<Record<string, string>>;
};

/** What /readyz answers. */
export type Readiness = {
  readonly ready: boolean;
  readonly checks: readonly { readonly name: string; readonly ok: boolean }[];
};

/** The operator as a process of its own, from source: it can be killed like the real one. */
export type TestOperator = {
  readonly pid: number;
  /** The name it has in the Lease: that of its pod. */
  readonly identity: string;
  /** Everything it has logged. */
  log(): string;
  /** Resolves when /readyz says so. */
  ready(): Promise<void>;
  /** What /readyz says; undefined before it is served. */
  readiness(): Promise<Readiness | undefined>;
  /** A counter or gauge of /metrics, summed over the series that carry these labels; 0 when there is none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** Resolves with the exit code when it has ended, for whatever reason. */
  readonly ended: Promise<number>;
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
  const { child, log } = spawnOperator(command, options.env ?? {}, options);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 1, output: log() };
}

/** Starts the controller; it is ready when `ready()` resolves. Two of them have different names, as two pods do. */
export async function startOperator(options: OperatorOptions): Promise<TestOperator> {
  const env = { OPENOS_POD_NAME: `openos-${randomBytes(4).toString('hex')}`, ...options.env };
  const { child, log } = spawnOperator('controller', env, options);
  const ended = once(child, 'close').then(([code]: readonly (number | null)[]) => code ?? 1);
  const { pid } = child;
  if (pid === undefined) throw new Error('the operator could not be started');
  return {
    pid,
    identity: env.OPENOS_POD_NAME,
    log,
    ready: async () => {
      await eventually('the operator is ready', async () => (await readiness(log))?.ready, 60_000);
    },
    readiness: () => readiness(log),
    metric: async (name, labels) => sumOf(await page(log, 'metrics'), name, labels ?? {}),
    ended,
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
    signal: (signal) => child.kill(signal),
  };
}

type Environment = Readonly<Record<string, string>>;

function spawnOperator(
  command: string,
  env: Environment,
  { kubeconfig, databaseUrl, natsUrl, program = main, nodeArguments = [] }: OperatorOptions,
): { readonly child: ChildProcess; log(): string } {
  const child = spawn(process.execPath, [...nodeArguments, program, command], {
    env: {
      PATH: process.env.PATH,
      KUBECONFIG: kubeconfig,
      OPENOS_DATABASE_URL: databaseUrl,
      OPENOS_NATS_URL: natsUrl,
      OPENOS_NAMESPACE: 'default',
      OPENOS_HTTP_PORT: '0',
      OPENOS_LEASE_SECONDS: '5',
      OPENOS_LOG_LEVEL: 'debug',
      // The tests' Postgres does not wait for the disk: they kill processes, not machines.
      OPENOS_ALLOW_UNSAFE_DATABASE: 'true',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  let output = '';
  const keep = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return { child, log: () => output };
}

async function page(log: () => string, path: string): Promise<string> {
  const port = /"port":(\d+)[^\n]*openos controller started/.exec(log())?.[1];
  if (port === undefined) throw new Error('the operator serves nothing yet');
  return (await fetch(`http://127.0.0.1:${port}/${path}`)).text();
}

async function readiness(log: () => string): Promise<Readiness | undefined> {
  const text = await page(log, 'readyz').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Readiness);
}

/** Adds up series of Prometheus' text format. */
function sumOf(text: string, name: string, labels: Environment): number {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => wanted.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

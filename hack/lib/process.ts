import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The root of the checkout; every command runs from here. */
export const root = fileURLToPath(new URL('../../', import.meta.url));

export type RunOptions = {
  readonly env?: Readonly<Record<string, string>>;
  /** Written to the command's standard input. */
  readonly input?: string;
  /** `show` passes what the command prints through to our standard error; `keep` only keeps it. */
  readonly output?: 'show' | 'keep';
};

export type Finished = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** A command ended with something else than 0. The message holds the end of what it said. */
export class CommandFailed extends Error {
  readonly finished: Finished;

  constructor(command: string, finished: Finished) {
    super(`${command} ended with ${finished.code}\n${finished.stderr.trim().split('\n').slice(-15).join('\n')}`);
    this.name = 'CommandFailed';
    this.finished = finished;
  }
}

/** Runs a command to its end and answers what it printed, whatever its exit code. Throws when it cannot be started. */
export function attempt(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...options.env }, stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    if (options.output === 'show') process.stderr.write(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    if (options.output === 'show') process.stderr.write(chunk);
  });
  // A command may end without having read all: its exit code says whether it minded.
  child.stdin.on('error', () => undefined).end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, stdout, stderr }));
  });
}

/** Runs a command and answers its standard output. Throws CommandFailed. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const finished = await attempt(command, args, options);
  if (finished.code !== 0) throw new CommandFailed([command, ...args].join(' '), finished);
  return finished.stdout;
}

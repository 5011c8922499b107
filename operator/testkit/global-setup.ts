import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const light = join(root, 'hack/cluster/light.sh');

declare module 'vitest' {
  export interface ProvidedContext {
    /** The cluster of this run; it comes up when the first test asks for it (testkit/cluster.ts). */
    lightClusterName: string;
    /** A nats-server binary. */
    natsServer: string;
  }
}

/** Before all integration tests: names the run's cluster, builds nats-server. Returns the clean-up. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  await sweep();
  const { stdout } = await run(join(root, 'hack/toolchain/get.sh'), ['nats-server']);
  const bin = stdout.trim().split('\n').at(-1) ?? '';
  const name = `test-${process.pid}`;
  project.provide('natsServer', join(bin, 'nats-server'));
  project.provide('lightClusterName', name);
  return async () => {
    for (const cluster of [name, ...(await ownClustersOf(name))]) await run(light, ['down', cluster]);
  };
}

/** Clusters of single test files that did not get to end theirs. */
async function ownClustersOf(name: string): Promise<readonly string[]> {
  const clusters = (await stateEntries()).flatMap((entry) => /^light-(test-\d+-[0-9a-f]+)$/.exec(entry)?.[1] ?? []);
  return clusters.filter((cluster) => cluster.startsWith(`${name}-`));
}

// A run that was killed could not clean up: its cluster is named after its pid.
async function sweep(): Promise<void> {
  for (const entry of await stateEntries()) {
    const [, name, pid] = /^light-(test-(\d+)(?:-[0-9a-f]+)?)$/.exec(entry) ?? [];
    if (name !== undefined && !isAlive(Number(pid))) await run(light, ['down', name]);
  }
}

async function stateEntries(): Promise<readonly string[]> {
  const state = join(process.env.XDG_STATE_HOME ?? join(homedir(), '.local/state'), 'openos');
  return readdir(process.env.OPENOS_STATE ?? state).catch(() => []);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

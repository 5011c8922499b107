import { spawn } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { basename } from 'node:path';
import { eventually } from './eventually.ts';

/**
 * Ends the one process that runs the binary of this name with `marker` in an argument, as a crash would, and
 * starts it again as it was as soon as its `port` is free: whoever looks for it by binary and arguments finds the new one.
 */
export async function restartProcess(binary: string, marker: string, port: number): Promise<void> {
  const [found, ...others] = await processesOf(binary, marker);
  if (found === undefined || others.length > 0) throw new Error(`not one ${binary} with ${marker}`);
  process.kill(found.pid, 'SIGKILL');
  // Its threads do not end all at once: only the port tells when the last of them is gone.
  await eventually(`the ${binary} has ended`, async () => !(await isListening(port)));
  spawn(found.path, found.args, { detached: true, stdio: 'ignore' }).unref();
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

type Found = { readonly pid: number; readonly path: string; readonly args: readonly string[] };

async function processesOf(binary: string, marker: string): Promise<readonly Found[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const all = await Promise.all(pids.map(processOf));
  return all.filter((one) => one !== undefined).filter((one) => isWanted(one, binary, marker));
}

function isWanted({ path, args }: Found, binary: string, marker: string): boolean {
  return basename(path) === binary && args.some((argument) => argument.includes(marker));
}

async function processOf(pid: string): Promise<Found | undefined> {
  try {
    const [path, cmdline] = await Promise.all([readlink(`/proc/${pid}/exe`), readFile(`/proc/${pid}/cmdline`, 'utf8')]);
    return { pid: Number(pid), path, args: cmdline.split('\0').slice(1, -1) };
  } catch {
    // It ended meanwhile, or is somebody else's.
    return undefined;
  }
}

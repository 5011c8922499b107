import { readFile, writeFile } from 'node:fs/promises';

/** What Linux knows of a process of ours; memory in MiB. */

const ticksPerSecond = 100;

/** CPU seconds it has used so far. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name may hold spaces and parentheses; what counts comes after the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export async function residentMiB(pid: number): Promise<{ readonly now: number; readonly peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return { now: kib('VmRSS') / 1024, peak: kib('VmHWM') / 1024 };
}

/** From now on the peak is counted anew. */
export function resetPeak(pid: number): Promise<void> {
  return writeFile(`/proc/${pid}/clear_refs`, '5');
}

/**
 * Bytes of the heap that are in use after a garbage collection, by the inspector the process was started with
 * (`--inspect=127.0.0.1:0`), whose address stands in its log.
 */
export async function heapInUse(log: string): Promise<number> {
  const url = /Debugger listening on (ws:\/\/\S+)/.exec(log)?.[1];
  if (url === undefined) throw new Error('the process was not started with --inspect');
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('error', reject, { once: true });
  });
  try {
    await ask(socket, 'HeapProfiler.collectGarbage');
    const { usedSize } = await ask<{ readonly usedSize: number }>(socket, 'Runtime.getHeapUsage');
    return usedSize;
  } finally {
    socket.close();
  }
}

function ask<T>(socket: WebSocket, method: string): Promise<T> {
  const answer = new Promise<T>((resolve) => {
    socket.addEventListener('message', ({ data }) => resolve((JSON.parse(String(data)) as { result: T }).result), {
      once: true,
    });
  });
  socket.send(JSON.stringify({ id: 1, method }));
  return answer;
}

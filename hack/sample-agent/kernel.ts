/** What a process can see of the kernel it runs on; a file that cannot be read is undefined. */
export type KernelView = {
  /** uname -r */
  readonly release: string;
  /** uname -v */
  readonly version: string;
  /** /proc/version */
  readonly procVersion: string | undefined;
  /** Whether /proc/kallsyms is there: every Linux kernel distributions ship has it, gVisor does not implement it. */
  readonly hasKallsyms: boolean;
};

export type Verdict = {
  readonly sandbox: 'gVisor' | 'none';
  /** The observations the verdict rests on, in plain words. */
  readonly evidence: readonly string[];
};

/** The build stamp gVisor has answered to uname -v in every release, also when its uname -r still said 4.4.0. */
const gvisorBuildStamp = '#1 SMP Sun Jan 10 15:06:54 PST 2016';

/**
 * Judges which kernel this is. gVisor's own kernel names itself in its release (older ones only by
 * their build stamp); a host kernel does neither. The missing file is reported, never decisive.
 */
export function judge(view: KernelView): Verdict {
  const namesItself = /gvisor/i.test(view.release) || /gvisor/i.test(view.procVersion ?? '');
  const hasStamp = view.version === gvisorBuildStamp;
  const evidence = [
    `uname -r is ${view.release}`,
    `uname -v is ${view.version}`,
    `/proc/version is ${view.procVersion ?? 'unreadable'}`,
    `/proc/kallsyms is ${view.hasKallsyms ? 'present' : 'absent'}`,
  ];
  return { sandbox: namesItself || hasStamp ? 'gVisor' : 'none', evidence };
}

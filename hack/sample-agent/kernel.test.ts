import { describe, expect, it } from 'vitest';
import { judge } from './kernel.ts';

const stamp = '#1 SMP Sun Jan 10 15:06:54 PST 2016';

describe('judging the kernel', () => {
  it.each([
    ['a current gVisor names itself in its release', '4.19.0-gvisor', stamp, 'gVisor'],
    ['an older gVisor is known by its build stamp', '4.4.0', stamp, 'gVisor'],
    ['a host kernel is no sandbox', '6.12.9-amd64', '#1 SMP PREEMPT_DYNAMIC Debian 6.12.9-1', 'none'],
    ['a host kernel of the release older gVisors claimed is no sandbox', '4.4.0', '#1 SMP Ubuntu', 'none'],
  ] as const)('%s', (_sentence, release, version, sandbox) => {
    const procVersion = `Linux version ${release} ${version}`;
    expect(judge({ release, version, procVersion, hasKallsyms: sandbox === 'none' }).sandbox).toBe(sandbox);
  });

  it('a missing file alone proves nothing', () => {
    const view = { release: '6.12.9', version: '#1 SMP', procVersion: undefined, hasKallsyms: false };
    expect(judge(view).sandbox).toBe('none');
  });

  it('says what it saw', () => {
    const view = { release: '4.19.0-gvisor', version: stamp, procVersion: undefined, hasKallsyms: false };
    expect(judge(view).evidence).toContain('uname -r is 4.19.0-gvisor');
  });
});

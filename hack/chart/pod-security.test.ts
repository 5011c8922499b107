import { describe, expect, it } from 'vitest';
import { podSecurityViolations } from './pod-security.ts';

const context = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
const podContext = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
const container = { name: 'agent', securityContext: context };
const pod = { securityContext: podContext, containers: [container] };

/** The pod with one container whose security context is `extra` on top of a good one. */
function withContext(extra: Readonly<Record<string, unknown>>) {
  return { ...pod, containers: [{ ...container, securityContext: { ...context, ...extra } }] };
}

describe('Pod Security restricted', () => {
  it('lets a pod pass that gives up every privilege', () => {
    expect(podSecurityViolations(pod)).toEqual([]);
  });

  it('lets a container say itself what its pod does not say', () => {
    expect(podSecurityViolations({ ...withContext(podContext), securityContext: {} })).toEqual([]);
  });

  it('lets root of a user namespace pass', () => {
    const context = { ...podContext, runAsNonRoot: false, runAsUser: 0 };
    expect(podSecurityViolations({ ...pod, hostUsers: false, securityContext: context })).toEqual([]);
    expect(podSecurityViolations({ ...pod, hostUsers: true, securityContext: context })).not.toEqual([]);
  });

  it.each([
    ['the host network', { ...pod, hostNetwork: true }, 'hostNetwork'],
    ['a host path', { ...pod, volumes: [{ name: 'v', hostPath: { path: '/' } }] }, 'volumes[0].hostPath'],
    [
      'an unsafe sysctl',
      { ...pod, securityContext: { ...podContext, sysctls: [{ name: 'kernel.msgmax' }] } },
      'securityContext.sysctls[0]',
    ],
    ['root as the pod user', { ...pod, securityContext: { ...podContext, runAsUser: 0 } }, 'securityContext.runAsUser'],
    ['root as the container user', withContext({ runAsUser: 0 }), 'containers[0].securityContext.runAsUser'],
    ['privilege', withContext({ privileged: true }), 'containers[0].securityContext.privileged'],
    [
      'escalation left open',
      withContext({ allowPrivilegeEscalation: undefined }),
      'containers[0].securityContext.allowPrivilegeEscalation',
    ],
    ['capabilities kept', withContext({ capabilities: {} }), 'containers[0].securityContext.capabilities.drop'],
    [
      'capabilities added',
      withContext({ capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } }),
      'containers[0].securityContext.capabilities.add',
    ],
    ['a possible root user', withContext({ runAsNonRoot: false }), 'containers[0].securityContext.runAsNonRoot'],
    [
      'no seccomp',
      withContext({ seccompProfile: { type: 'Unconfined' } }),
      'containers[0].securityContext.seccompProfile.type',
    ],
    ['an unmasked /proc', withContext({ procMount: 'Unmasked' }), 'containers[0].securityContext.procMount'],
    [
      'no AppArmor',
      withContext({ appArmorProfile: { type: 'Unconfined' } }),
      'containers[0].securityContext.appArmorProfile.type',
    ],
    [
      'an SELinux type of its own',
      withContext({ seLinuxOptions: { type: 'spc_t' } }),
      'containers[0].securityContext.seLinuxOptions.type',
    ],
    [
      'a host port',
      { ...pod, containers: [{ ...container, ports: [{ hostPort: 80 }] }] },
      'containers[0].ports[0].hostPort',
    ],
    [
      'a probe of another host',
      { ...pod, containers: [{ ...container, livenessProbe: { httpGet: { host: '10.0.0.1' } } }] },
      'containers[0].livenessProbe.httpGet.host',
    ],
    [
      'an init container without a context',
      { ...pod, initContainers: [{ name: 'init' }] },
      'initContainers[0].securityContext.allowPrivilegeEscalation',
    ],
  ])('refuses %s', (_what, spec, path) => {
    expect(podSecurityViolations(spec).map((violation) => violation.path)).toContain(path);
  });
});

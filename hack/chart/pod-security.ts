/**
 * The Pod Security Standard "restricted" (Kubernetes 1.36), checked on the fields themselves:
 * https://kubernetes.io/docs/concepts/security/pod-security-standards/
 */

type Json = Readonly<Record<string, unknown>>;

export type Violation = { readonly path: string; readonly rule: string };

const allowedVolumes = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);
const seccompProfiles = new Set(['RuntimeDefault', 'Localhost']);
const seLinuxTypes = new Set(['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t']);
const safeSysctls = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
]);

/** What of a PodSpec "restricted" forbids; empty when it may run. Paths are relative to the PodSpec. */
export function podSecurityViolations(spec: Json): readonly Violation[] {
  const pod = object(spec.securityContext);
  // Root of a user namespace is nobody outside of it (since 1.35).
  const mayBeRoot = spec.hostUsers === false;
  const containers = ['initContainers', 'containers', 'ephemeralContainers'].flatMap((list) =>
    objects(spec[list]).map((container, index) => ({ container, path: `${list}[${index}]` })),
  );
  return [
    ...['hostNetwork', 'hostPID', 'hostIPC'].flatMap((key) => unless(spec[key] !== true, key, 'must not be true')),
    ...securityContextViolations(pod, 'securityContext', mayBeRoot),
    ...objects(pod.sysctls).flatMap((sysctl, index) =>
      unless(safeSysctls.has(String(sysctl.name)), `securityContext.sysctls[${index}]`, 'is not a safe sysctl'),
    ),
    ...objects(spec.volumes).flatMap(volumeViolations),
    ...containers.flatMap(({ container, path }) => containerViolations(container, pod, path, mayBeRoot)),
  ];
}

function volumeViolations(volume: Json, index: number): readonly Violation[] {
  const forbidden = Object.keys(volume).filter((key) => key !== 'name' && !allowedVolumes.has(key));
  return forbidden.map((type) => ({ path: `volumes[${index}].${type}`, rule: 'is not an allowed type of volume' }));
}

/** What holds for the pod's and for a container's security context alike. */
function securityContextViolations(context: Json, path: string, mayBeRoot: boolean): readonly Violation[] {
  const seLinux = object(context.seLinuxOptions);
  return [
    ...unless(mayBeRoot || context.runAsUser !== 0, `${path}.runAsUser`, 'must not be 0'),
    ...unless(seLinuxTypes.has(String(seLinux.type ?? '')), `${path}.seLinuxOptions.type`, 'is not allowed'),
    ...unless(isUnset(seLinux.user) && isUnset(seLinux.role), `${path}.seLinuxOptions`, 'must name no user or role'),
    ...unless(
      object(context.appArmorProfile).type !== 'Unconfined',
      `${path}.appArmorProfile.type`,
      'must not be Unconfined',
    ),
    ...unless(
      object(context.windowsOptions).hostProcess !== true,
      `${path}.windowsOptions.hostProcess`,
      'must not be true',
    ),
  ];
}

function containerViolations(container: Json, pod: Json, path: string, mayBeRoot: boolean): readonly Violation[] {
  const context = object(container.securityContext);
  const capabilities = object(context.capabilities);
  const dropped = strings(capabilities.drop);
  const extra = strings(capabilities.add).filter((name) => name !== 'NET_BIND_SERVICE');
  const inherited = (key: string): unknown => context[key] ?? pod[key];
  const at = `${path}.securityContext`;
  return [
    ...securityContextViolations(context, at, mayBeRoot),
    ...unless(context.privileged !== true, `${at}.privileged`, 'must not be true'),
    ...unless(context.allowPrivilegeEscalation === false, `${at}.allowPrivilegeEscalation`, 'must be false'),
    ...unless(dropped.includes('ALL'), `${at}.capabilities.drop`, 'must include ALL'),
    ...unless(extra.length === 0, `${at}.capabilities.add`, 'may hold NET_BIND_SERVICE only'),
    ...unless(mayBeRoot || inherited('runAsNonRoot') === true, `${at}.runAsNonRoot`, 'must be true here or on the pod'),
    ...unless(
      seccompProfiles.has(String(object(inherited('seccompProfile')).type)),
      `${at}.seccompProfile.type`,
      'must be RuntimeDefault or Localhost here or on the pod',
    ),
    ...unless(['', 'Default', undefined].includes(text(context.procMount)), `${at}.procMount`, 'must be Default'),
    ...objects(container.ports).flatMap((port, index) =>
      unless(isUnset(port.hostPort) || port.hostPort === 0, `${path}.ports[${index}].hostPort`, 'must be unset'),
    ),
    ...hostProbeViolations(container, path),
  ];
}

/** Since 1.34 a probe or hook must not name a host: the kubelet would call it from the node. */
function hostProbeViolations(container: Json, path: string): readonly Violation[] {
  const lifecycle = object(container.lifecycle);
  const handlers = [
    ...['livenessProbe', 'readinessProbe', 'startupProbe'].map((key) => [key, container[key]] as const),
    ...['postStart', 'preStop'].map((key) => [`lifecycle.${key}`, lifecycle[key]] as const),
  ];
  return handlers.flatMap(([key, handler]) =>
    ['httpGet', 'tcpSocket'].flatMap((kind) => {
      const host = object(object(handler)[kind]).host;
      return unless(isUnset(host) || host === '', `${path}.${key}.${kind}.host`, 'must be unset');
    }),
  );
}

function unless(holds: boolean, path: string, rule: string): readonly Violation[] {
  return holds ? [] : [{ path, rule }];
}

function isUnset(value: unknown): boolean {
  return value === undefined || value === null;
}

function text(value: unknown): string | undefined {
  return isUnset(value) ? undefined : String(value);
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function objects(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(object) : [];
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

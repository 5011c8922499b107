import { expect, test } from 'vitest';
import { describeEnvironment, type Environment, loadConfig, loadMigrateConfig, loadUninstallConfig } from './config.ts';
import { OperatorError } from './kernel/errors.ts';

const host = { hostname: 'node-1', process: 'a1b2', version: '1.2.3' };
const required = {
  OPENOS_DATABASE_URL: 'postgres://openos:s3cr3t@postgres:5432/openos',
  OPENOS_NATS_URL: 'nats://openos:s3cr3t@nats:4222',
};

function refusal(environment: Environment): OperatorError {
  try {
    loadConfig(environment, host);
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

/** The keys that are named, each at the beginning of a line. */
function badKeys(environment: Environment): readonly string[] {
  return refusal(environment)
    .message.split('\n')
    .slice(1)
    .map((line) => line.trim().split(':')[0] ?? '');
}

test('two URLs are enough', () => {
  expect(loadConfig(required, host)).toEqual({
    version: '1.2.3',
    databaseUrl: required.OPENOS_DATABASE_URL,
    natsUrl: required.OPENOS_NATS_URL,
    namespace: 'openos-system',
    podName: 'node-1-a1b2',
    httpPort: 8080,
    logLevel: 'info',
    defaultRuntimeClass: 'gvisor',
    lease: { name: 'openos-controller', durationMs: 15_000 },
    workers: 8,
    tenantProtectionMs: 60_000,
    stream: { replicas: 1, syncs: 'interval', maxAgeMs: 604_800_000, maxBytes: 1_073_741_824 },
    allowUnsafeDatabase: false,
    requiredConsumers: [],
    retention: { eventsMs: 604_800_000, transitionsMs: 7_776_000_000, auditMs: 31_536_000_000 },
    auditMs: 30_000,
    migrationWaitMs: 300_000,
    kubeconfig: undefined,
    otlpEndpoint: undefined,
  });
});

test('everything can be set', () => {
  const config = loadConfig(
    {
      ...required,
      OPENOS_DATABASE_URL: 'postgresql://db/openos',
      OPENOS_NATS_URL: 'tls://nats:4222',
      OPENOS_NAMESPACE: 'ns',
      OPENOS_POD_NAME: 'openos-controller-7d9-abc',
      OPENOS_HTTP_PORT: '0',
      OPENOS_LOG_LEVEL: 'debug',
      OPENOS_DEFAULT_RUNTIME_CLASS: 'kata.v2',
      OPENOS_LEASE_NAME: 'lease',
      OPENOS_LEASE_SECONDS: '30',
      OPENOS_WORKERS: '16',
      OPENOS_TENANT_PROTECTION: '5m',
      OPENOS_STREAM_REPLICAS: '3',
      OPENOS_STREAM_SYNC: 'always',
      OPENOS_STREAM_MAX_AGE: '90m',
      OPENOS_STREAM_MAX_BYTES: '10Gi',
      OPENOS_REQUIRED_CONSUMERS: 'billing, search',
      OPENOS_RETENTION_EVENTS: '2h',
      OPENOS_RETENTION_TRANSITIONS: '3h',
      OPENOS_RETENTION_AUDIT: '4h',
      OPENOS_MIGRATION_WAIT_SECONDS: '60',
      KUBECONFIG: '/kubeconfig',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
    },
    host,
  );
  expect(config).toMatchObject({
    databaseUrl: 'postgresql://db/openos',
    natsUrl: 'tls://nats:4222',
    namespace: 'ns',
    podName: 'openos-controller-7d9-abc',
    httpPort: 0,
    logLevel: 'debug',
    defaultRuntimeClass: 'kata.v2',
    lease: { name: 'lease', durationMs: 30_000 },
    workers: 16,
    tenantProtectionMs: 300_000,
    stream: { replicas: 3, syncs: 'always', maxAgeMs: 5_400_000, maxBytes: 10_737_418_240 },
    requiredConsumers: ['billing', 'search'],
    retention: { eventsMs: 7_200_000, transitionsMs: 10_800_000, auditMs: 14_400_000 },
    migrationWaitMs: 60_000,
    kubeconfig: '/kubeconfig',
    otlpEndpoint: 'http://collector:4318',
  });
});

test('events and their record are kept at least as long as the stream has them', () => {
  const short = { OPENOS_RETENTION_EVENTS: '1h', OPENOS_RETENTION_TRANSITIONS: '1h' };
  const { retention } = loadConfig({ ...required, ...short, OPENOS_STREAM_MAX_AGE: '2h' }, host);
  expect(retention).toMatchObject({ eventsMs: 7_200_000, transitionsMs: 7_200_000 });
});

test('the configuration cannot be changed afterwards', () => {
  const config = loadConfig(required, host);
  for (const part of [config, config.lease, config.stream, config.retention]) expect(Object.isFrozen(part)).toBe(true);
});

test('a NATS cluster is several URLs', () => {
  const natsUrl = 'nats://u:p@a:4222,nats://u:p@b:4222';
  expect(loadConfig({ ...required, OPENOS_NATS_URL: natsUrl }, host).natsUrl).toBe(natsUrl);
});

test('an empty value counts as left out', () => {
  expect(loadConfig({ ...required, OPENOS_WORKERS: '', KUBECONFIG: '' }, host)).toMatchObject({ workers: 8 });
  expect(badKeys({ ...required, OPENOS_NATS_URL: '' })).toEqual(['OPENOS_NATS_URL']);
});

test('every bad key is listed at once, each on its own line, with a stable code', () => {
  const error = refusal({
    OPENOS_DATABASE_URL: 'mysql://db',
    OPENOS_HTTP_PORT: 'http',
    OPENOS_LOG_LEVEL: 'loud',
    OPENOS_STREAM_MAX_AGE: '7 days',
    OPENOS_WROKERS: '8',
    OPENOS_COLOR: 'blue',
  });
  expect(error.code).toBe('ConfigInvalid');
  expect(error.kind).toBe('terminal');
  const lines = error.message.split('\n').slice(1);
  expect(new Set(lines.map((line) => line.trim().split(':')[0]))).toEqual(
    new Set([
      'OPENOS_DATABASE_URL',
      'OPENOS_NATS_URL',
      'OPENOS_HTTP_PORT',
      'OPENOS_LOG_LEVEL',
      'OPENOS_STREAM_MAX_AGE',
      'OPENOS_WROKERS',
      'OPENOS_COLOR',
    ]),
  );
  expect(lines).toHaveLength(7);
});

test.each([
  ['OPENOS_DATABASE_URL', 'postgres:'],
  ['OPENOS_DATABASE_URL', 'http://db/openos'],
  ['OPENOS_DATABASE_URL', 'not a url'],
  ['OPENOS_NATS_URL', 'http://nats:4222'],
  ['OPENOS_NATS_URL', 'nats://'],
  ['OPENOS_NATS_URL', 'nats://a:4222,http://b'],
  ['OPENOS_NAMESPACE', 'Not A Namespace'],
  ['OPENOS_NAMESPACE', 'n'.repeat(64)],
  ['OPENOS_POD_NAME', 'under_score'],
  ['OPENOS_HTTP_PORT', '65536'],
  ['OPENOS_HTTP_PORT', '-1'],
  ['OPENOS_HTTP_PORT', '80.5'],
  ['OPENOS_LOG_LEVEL', 'INFO'],
  ['OPENOS_LEASE_SECONDS', '4'],
  ['OPENOS_LEASE_SECONDS', '1e2'],
  ['OPENOS_WORKERS', '0'],
  ['OPENOS_WORKERS', '257'],
  ['OPENOS_STREAM_REPLICAS', '6'],
  ['OPENOS_REQUIRED_CONSUMERS', 'billing.eu'],
  ['OPENOS_RETENTION_AUDIT', 'forever'],
  ['OPENOS_STREAM_MAX_AGE', '168'],
  ['OPENOS_STREAM_MAX_AGE', '0h'],
  ['OPENOS_STREAM_MAX_AGE', '999ms'],
  ['OPENOS_STREAM_MAX_BYTES', '1GB'],
  ['OPENOS_STREAM_MAX_BYTES', '1023Ki'],
  ['OPENOS_STREAM_MAX_BYTES', '999999999999999Ti'],
  ['OPENOS_MIGRATION_WAIT_SECONDS', 'forever'],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
])('is refused: %s=%s', (key, value) => {
  expect(badKeys({ ...required, [key]: value })).toEqual([key]);
});

test('no secret is told, however wrong it is', () => {
  const { message } = refusal({
    OPENOS_DATABASE_URL: 'mysql://u:s3cr3t@db',
    OPENOS_NATS_URL: 's3cr3t',
    OPENOS_DATABSE_URL: 's3cr3t',
  });
  expect(message).not.toContain('s3cr3t');
});

test('the addresses Kubernetes puts into every pod are not ours, but a typo that looks alike is', () => {
  const links = {
    OPENOS_NATS_SERVICE_HOST: '10.96.0.7',
    OPENOS_NATS_SERVICE_PORT: '4222',
    OPENOS_NATS_SERVICE_PORT_CLIENT: '4222',
    OPENOS_NATS_PORT: 'tcp://10.96.0.7:4222',
    OPENOS_NATS_PORT_4222_TCP: 'tcp://10.96.0.7:4222',
    OPENOS_NATS_PORT_4222_TCP_ADDR: '10.96.0.7',
    OPENOS_NATS_PORT_4222_TCP_PROTO: 'tcp',
    OPENOS_NATS_PORT_4222_TCP_PORT: '4222',
  };
  expect(loadConfig({ ...required, ...links, PATH: '/bin', HOME: '/' }, host).natsUrl).toBe(required.OPENOS_NATS_URL);
  expect(badKeys({ ...required, OPENOS_HTPP_PORT: '9090' })).toEqual(['OPENOS_HTPP_PORT']);
});

test('a command asks only for what it uses', () => {
  const { OPENOS_DATABASE_URL } = required;
  expect(loadMigrateConfig({ OPENOS_DATABASE_URL }, host).databaseUrl).toBe(OPENOS_DATABASE_URL);
  expect(loadMigrateConfig(required, host)).not.toHaveProperty('natsUrl');
  expect(loadUninstallConfig({}, host).namespace).toBe('openos-system');
  expect(loadUninstallConfig(required, host)).not.toHaveProperty('databaseUrl');
  expect(() => loadMigrateConfig({}, host)).toThrow(expect.objectContaining({ code: 'ConfigInvalid' }));
});

test('the help names every key and its default', () => {
  const keys = describeEnvironment();
  expect(keys.length).toBeGreaterThan(14);
  for (const { key, text } of keys) expect(text, key).not.toBe('');
  expect(keys.find(({ key }) => key === 'OPENOS_STREAM_MAX_AGE')?.text).toContain('168h');
});

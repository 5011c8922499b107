import { z } from 'zod';
import { OperatorError } from './kernel/errors.ts';
import { logLevels } from './telemetry/log.ts';

/** What the operator is told from outside. Times are milliseconds, sizes bytes. */
export type Config = {
  readonly version: string;
  readonly databaseUrl: string;
  /** One URL, or several of one cluster separated by commas. */
  readonly natsUrl: string;
  /** Where the operator itself runs: its Lease lives there. */
  readonly namespace: string;
  /** Unique among the processes that share a Lease: a container that is restarted in its pod goes on under it. */
  readonly podName: string;
  readonly httpPort: number;
  readonly logLevel: (typeof logLevels)[number];
  readonly defaultRuntimeClass: string;
  readonly lease: { readonly name: string; readonly durationMs: number };
  readonly workers: number;
  /** How long a deleted Tenant waits for its agents to go before it goes itself. */
  readonly tenantProtectionMs: number;
  readonly stream: {
    readonly replicas: number;
    /** Whether the broker has a message on disk before it acknowledges it; it cannot be asked. */
    readonly syncs: 'always' | 'interval';
    readonly maxAgeMs: number;
    readonly maxBytes: number;
  };
  /** Records in a Postgres that may lose what it has committed. */
  readonly allowUnsafeDatabase: boolean;
  /** Durable consumers without whom no event counts as acknowledged, besides our own. */
  readonly requiredConsumers: readonly string[];
  /** How long rows are kept that the operator itself needs no more. */
  readonly retention: {
    /** Events that are over; never shorter than the stream keeps them, so that it can be told again what it lost. */
    readonly eventsMs: number;
    /** The record of what is Deleted; no shorter either: what the stream tells is known to the record. */
    readonly transitionsMs: number;
    readonly auditMs: number;
  };
  /** Between two comparisons of the record with the stream. */
  readonly auditMs: number;
  /** How long a start waits for the database to be there and migrated. */
  readonly migrationWaitMs: number;
  /** Path of a kubeconfig; without one the pod's own service account is used. */
  readonly kubeconfig: string | undefined;
  readonly otlpEndpoint: string | undefined;
};

/** A migration reaches for the database alone. */
export type MigrateConfig = Omit<Config, 'natsUrl'>;
/** Uninstalling must work when the database and the broker are gone already. */
export type UninstallConfig = Omit<Config, 'databaseUrl' | 'natsUrl'>;

export type Environment = Readonly<Record<string, string | undefined>>;
/** What is known of the process without being told. */
export type HostFacts = {
  readonly hostname: string;
  /** Tells the processes of one host apart. */
  readonly process: string;
  readonly version: string;
};

const unitMilliseconds = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);
const unitBytes = new Map([
  ['', 1],
  ['Ki', 2 ** 10],
  ['Mi', 2 ** 20],
  ['Gi', 2 ** 30],
  ['Ti', 2 ** 40],
]);

const shared = {
  OPENOS_NAMESPACE: dnsLabel().prefault('openos-system').describe('namespace the operator runs in'),
  OPENOS_POD_NAME: dnsName()
    .optional()
    .describe('name of this process, its own in Lease and record (default: host name and a random part)'),
  OPENOS_HTTP_PORT: whole(0, 65_535).prefault('8080').describe('port of /metrics, /healthz and /readyz; 0 takes any'),
  OPENOS_LOG_LEVEL: z
    .enum(logLevels, `one of ${logLevels.join(', ')}`)
    .prefault('info')
    .describe('least level that is logged'),
  OPENOS_DEFAULT_RUNTIME_CLASS: dnsName().prefault('gvisor').describe('RuntimeClass of agents that name none'),
  OPENOS_LEASE_NAME: dnsName().prefault('openos-controller').describe('Lease the leader is elected on'),
  OPENOS_LEASE_SECONDS: whole(5, 300).prefault('15').describe('how long a silent leader stays leader'),
  OPENOS_WORKERS: whole(1, 256).prefault('8').describe('objects of one kind reconciled at the same time'),
  OPENOS_TENANT_PROTECTION: duration()
    .prefault('60s')
    .describe('how long a deleted Tenant waits for its agents to be deleted before it goes without them'),
  OPENOS_STREAM_REPLICAS: whole(1, 5).prefault('1').describe('copies of the event stream'),
  OPENOS_STREAM_SYNC: z
    .enum(['always', 'interval'], 'always or interval')
    .prefault('interval')
    .describe('how sync_interval of NATS is set: always, or a time'),
  OPENOS_STREAM_MAX_AGE: duration().prefault('168h').describe('how long the stream keeps events'),
  OPENOS_STREAM_MAX_BYTES: size().prefault('1Gi').describe('how much the stream keeps at most'),
  OPENOS_ALLOW_UNSAFE_DATABASE: flag().prefault('false').describe('record in a Postgres that runs without fsync'),
  OPENOS_REQUIRED_CONSUMERS: names()
    .prefault('')
    .describe('durable consumers that must have had an event before it is Acknowledged, besides openos-projector'),
  OPENOS_RETENTION_EVENTS: duration()
    .prefault('168h')
    .describe('how long an acknowledged event stays in Postgres; at least OPENOS_STREAM_MAX_AGE'),
  OPENOS_RETENTION_TRANSITIONS: duration()
    .prefault('90d')
    .describe(
      'how long the record of a deleted Agent, AgentPool or Tenant stays in Postgres; at least OPENOS_STREAM_MAX_AGE',
    ),
  OPENOS_RETENTION_AUDIT: duration().prefault('365d').describe('how long the audit log goes back'),
  OPENOS_AUDIT_SECONDS: whole(1, 30)
    .prefault('30')
    .describe('how often the stream is compared with what was published to it'),
  OPENOS_MIGRATION_WAIT_SECONDS: whole(1, 3_600).prefault('300').describe('how long to wait for a migrated database'),
  KUBECONFIG: z.string().optional().describe('kubeconfig file (default: the service account of the pod)'),
  OTEL_EXPORTER_OTLP_ENDPOINT: url('http', 'https')
    .optional()
    .describe('OTLP/HTTP collector for traces (default: none)'),
} as const;
const database = { OPENOS_DATABASE_URL: url('postgres', 'postgresql').describe('Postgres, credentials included') };
const broker = { OPENOS_NATS_URL: urls('nats', 'tls').describe('NATS with JetStream, credentials included') };

const controllerSchema = z.strictObject({ ...database, ...broker, ...shared });
const migrateSchema = z.strictObject({ ...database, OPENOS_NATS_URL: z.unknown().optional(), ...shared });
const uninstallSchema = z.strictObject({
  OPENOS_DATABASE_URL: z.unknown().optional(),
  OPENOS_NATS_URL: z.unknown().optional(),
  ...shared,
});

/**
 * The configuration of `openos controller`.
 * @throws OperatorError ConfigInvalid, whose message names every bad key on a line of its own with what is
 * expected. Values of keys are never repeated: some are secrets.
 */
export function loadConfig(environment: Environment, host: HostFacts): Config {
  const values = parse(controllerSchema, environment);
  return Object.freeze({
    ...sharedConfig(values, host),
    databaseUrl: values.OPENOS_DATABASE_URL,
    natsUrl: values.OPENOS_NATS_URL,
  });
}

/** The configuration of `openos migrate`; errors as in `loadConfig`. */
export function loadMigrateConfig(environment: Environment, host: HostFacts): MigrateConfig {
  const values = parse(migrateSchema, environment);
  return Object.freeze({ ...sharedConfig(values, host), databaseUrl: values.OPENOS_DATABASE_URL });
}

/** The configuration of `openos prepare-uninstall`; errors as in `loadConfig`. */
export function loadUninstallConfig(environment: Environment, host: HostFacts): UninstallConfig {
  return Object.freeze(sharedConfig(parse(uninstallSchema, environment), host));
}

/** Every key of the environment: what it is for and what it is when left out. */
export function describeEnvironment(): readonly { readonly key: string; readonly text: string }[] {
  return Object.entries(controllerSchema.shape).map(([key, schema]) => {
    const note = schema instanceof z.ZodPrefault ? ` (default: ${schema.def.defaultValue})` : '';
    return { key, text: `${schema.description ?? ''}${note}` };
  });
}

function sharedConfig(values: z.output<typeof uninstallSchema>, host: HostFacts): UninstallConfig {
  return {
    version: host.version,
    namespace: values.OPENOS_NAMESPACE,
    podName: values.OPENOS_POD_NAME ?? `${host.hostname}-${host.process}`,
    httpPort: values.OPENOS_HTTP_PORT,
    logLevel: values.OPENOS_LOG_LEVEL,
    defaultRuntimeClass: values.OPENOS_DEFAULT_RUNTIME_CLASS,
    lease: Object.freeze({ name: values.OPENOS_LEASE_NAME, durationMs: values.OPENOS_LEASE_SECONDS * 1_000 }),
    workers: values.OPENOS_WORKERS,
    tenantProtectionMs: values.OPENOS_TENANT_PROTECTION,
    stream: Object.freeze({
      replicas: values.OPENOS_STREAM_REPLICAS,
      syncs: values.OPENOS_STREAM_SYNC,
      maxAgeMs: values.OPENOS_STREAM_MAX_AGE,
      maxBytes: values.OPENOS_STREAM_MAX_BYTES,
    }),
    allowUnsafeDatabase: values.OPENOS_ALLOW_UNSAFE_DATABASE,
    requiredConsumers: Object.freeze(values.OPENOS_REQUIRED_CONSUMERS),
    retention: Object.freeze({
      eventsMs: Math.max(values.OPENOS_RETENTION_EVENTS, values.OPENOS_STREAM_MAX_AGE),
      transitionsMs: Math.max(values.OPENOS_RETENTION_TRANSITIONS, values.OPENOS_STREAM_MAX_AGE),
      auditMs: values.OPENOS_RETENTION_AUDIT,
    }),
    auditMs: values.OPENOS_AUDIT_SECONDS * 1_000,
    migrationWaitMs: values.OPENOS_MIGRATION_WAIT_SECONDS * 1_000,
    kubeconfig: values.KUBECONFIG,
    otlpEndpoint: values.OTEL_EXPORTER_OTLP_ENDPOINT,
  };
}

function parse<S extends z.ZodType>(schema: S, environment: Environment): z.output<S> {
  const result = schema.safeParse(Object.fromEntries(Object.entries(environment).filter(isOurs)));
  if (result.success) return result.data;
  const lines = new Map(result.error.issues.flatMap(complaints));
  const list = [...lines].map(([key, expected]) => `\n  ${key}: ${expected}`).join('');
  throw new OperatorError('ConfigInvalid', 'terminal', `the configuration is not valid:${list}`);
}

// An empty value is what a chart renders for a value that was left out: not there.
function isOurs([key, value]: readonly [string, string | undefined]): boolean {
  if (value === undefined || value === '') return false;
  if (key in controllerSchema.shape) return true;
  return key.startsWith('OPENOS_') && !isServiceLink(key, value);
}

// Kubernetes puts the address of every Service of a namespace into its pods' environment: a Service
// named openos-nats becomes OPENOS_NATS_SERVICE_HOST, OPENOS_NATS_PORT and OPENOS_NATS_PORT_4222_TCP….
function isServiceLink(key: string, value: string): boolean {
  if (/_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(key))
    return true;
  return key.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value);
}

function complaints(issue: z.core.$ZodIssue): readonly (readonly [string, string])[] {
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [key, 'is not known; see openos --help']);
  // The environment holds strings only: one of another type is not there at all.
  const isAbsent = issue.code === 'invalid_type';
  return [[String(issue.path[0]), isAbsent ? `is required: ${issue.message}` : `must be ${issue.message}`]];
}

function url(...protocols: readonly string[]) {
  const error = `a URL beginning with ${protocols.map((protocol) => `${protocol}://`).join(' or ')}`;
  return z.string(error).refine((text) => isUrlOf(text, protocols), error);
}

function urls(...protocols: readonly string[]) {
  const error = `URLs beginning with ${protocols.map((protocol) => `${protocol}://`).join(' or ')}, separated by commas`;
  return z.string(error).refine((text) => text.split(',').every((part) => isUrlOf(part.trim(), protocols)), error);
}

function isUrlOf(text: string, protocols: readonly string[]): boolean {
  const parsed = URL.parse(text);
  return parsed !== null && protocols.includes(parsed.protocol.slice(0, -1)) && parsed.hostname !== '';
}

function whole(min: number, max: number) {
  const error = `a whole number from ${min} to ${max}`;
  return z
    .string(error)
    .regex(/^\d{1,9}$/, error)
    .transform(Number)
    .pipe(z.number().min(min, error).max(max, error));
}

function flag() {
  return z.enum(['true', 'false'], 'true or false').transform((text) => text === 'true');
}

function dnsLabel() {
  return z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'at most 63 of a-z, 0-9 and -');
}

function dnsName() {
  const error = 'at most 253 of a-z, 0-9, - and .';
  return z
    .string()
    .max(253, error)
    .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, error);
}

function names() {
  return z
    .string()
    .regex(/^[A-Za-z0-9_-]*(,\s*[A-Za-z0-9_-]+)*$/, 'names of A-Z, a-z, 0-9, - and _, separated by commas')
    .transform((text) => text.split(',').flatMap((part) => part.trim() || []));
}

function duration() {
  return measure(
    /^(\d{1,9})(ms|s|m|h|d)$/,
    unitMilliseconds,
    1_000,
    'a duration of at least 1s such as 90s, 15m, 168h or 7d',
  );
}

function size() {
  return measure(
    /^(\d{1,15})(|Ki|Mi|Gi|Ti)$/,
    unitBytes,
    2 ** 20,
    'a size of at least 1Mi such as 1073741824, 512Mi or 10Gi',
  );
}

function measure(pattern: RegExp, units: ReadonlyMap<string, number>, min: number, error: string) {
  const amount = (text: string): number => {
    const [, count = '', unit = ''] = pattern.exec(text) ?? [];
    return Number(count) * (units.get(unit) ?? Number.NaN);
  };
  return z
    .string(error)
    .regex(pattern, error)
    .transform(amount)
    .pipe(z.number(error).min(min, error).max(Number.MAX_SAFE_INTEGER, error));
}

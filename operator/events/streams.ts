import { isDeepStrictEqual } from 'node:util';
import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { EventErrorCode, eventError } from './errors.ts';
import { allEvents } from './subjects.ts';

export const streamName = 'OPENOS_EVENTS';
/** Where the server's own reports are kept of messages that it gave up for a consumer of the events. */
export const captureName = 'OPENOS_ADVISORIES';
/** Each report is a few hundred bytes. */
const captureBytes = 64 * 2 ** 20;

/** The oldest server whose stream options we rely on. */
const oldestServer = [2, 12] as const;

export type StreamSettings = {
  readonly replicas: number;
  /** What consumers can count on; milliseconds. */
  readonly maxAgeMs: number;
  /** So large that it is not reached; bytes. */
  readonly maxBytes: number;
};

type OurConfig = Pick<
  StreamConfig,
  | 'name'
  | 'subjects'
  | 'storage'
  | 'retention'
  | 'discard'
  | 'max_age'
  | 'max_bytes'
  | 'duplicate_window'
  | 'num_replicas'
  | 'allow_direct'
>;

// At least lease (10 s) + publish timeout (5 s) + 60 s: a repeat after either is recognised.
const duplicateWindowMs = 120_000;

/** The stream of all events. When it is full the oldest go: refusing new ones would stop every Ready. */
export function eventStream(settings: StreamSettings): OurConfig {
  return {
    name: streamName,
    subjects: [allEvents],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_age: nanoseconds(settings.maxAgeMs),
    max_bytes: settings.maxBytes,
    duplicate_window: nanoseconds(Math.min(duplicateWindowMs, settings.maxAgeMs)),
    num_replicas: settings.replicas,
    allow_direct: true,
  };
}

/** The stream of what the server gave up. Without it a message whose last delivery failed looks acknowledged. */
export function captureStream(settings: StreamSettings): OurConfig {
  return {
    ...eventStream(settings),
    name: captureName,
    subjects: ['MAX_DELIVERIES', 'MSG_TERMINATED'].map((what) => `$JS.EVENT.ADVISORY.CONSUMER.${what}.${streamName}.>`),
    max_bytes: captureBytes,
  };
}

/** Creates the stream of advisories, or changes it to what is configured. @throws OperatorError StreamConfigMismatch */
export async function ensureCapture(manager: JetStreamManager, settings: StreamSettings): Promise<void> {
  const wanted = captureStream(settings);
  const found = await manager.streams.info(captureName).catch(undefinedIfMissing);
  if (found && differences(wanted, found.config).length === 0) return;
  const change = found ? manager.streams.update(captureName, wanted) : manager.streams.add(wanted);
  await change.catch(refuseConfiguration);
}

/**
 * Creates the stream, or changes it to what is configured. A server may accept an option and ignore it:
 * what it says it has is compared with what was asked for.
 * `firstSequence` is asked only when there is no stream; a new one starts there.
 * @throws OperatorError StreamConfigMismatch; whatever the server answers otherwise
 */
export async function ensureStream(
  manager: JetStreamManager,
  settings: StreamSettings,
  firstSequence: () => Promise<number>,
): Promise<StreamInfo> {
  const wanted = eventStream(settings);
  const found = await manager.streams.info(streamName).catch(undefinedIfMissing);
  if (found && differences(wanted, found.config).length === 0) return found;
  const first_seq = found ? 1 : await firstSequence();
  const change = found ? manager.streams.update(streamName, wanted) : manager.streams.add({ ...wanted, first_seq });
  const info = await change.catch(refuseConfiguration);
  const ignored = differences(wanted, info.config);
  if (ignored.length === 0) return info;
  throw eventError(
    EventErrorCode.StreamConfigMismatch,
    `the server did not take these options of the stream ${streamName}: ${ignored.join(', ')}`,
  );
}

/** Names of the options in which a stream is not as wanted. */
export function differences(wanted: OurConfig, actual: Partial<StreamConfig>): readonly string[] {
  return Object.entries(wanted)
    .filter(([option, value]) => !isDeepStrictEqual(value, actual[option as keyof OurConfig]))
    .map(([option]) => option);
}

/** @throws OperatorError BrokerTooOld */
export function requireServerVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  const [oldestMajor, oldestMinor] = oldestServer;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw eventError(
    EventErrorCode.BrokerTooOld,
    `nats-server ${version} is too old: ${oldestServer.join('.')} or newer is needed`,
  );
}

function refuseConfiguration(error: unknown): never {
  if (!(error instanceof JetStreamApiError)) throw error;
  throw eventError(
    EventErrorCode.StreamConfigMismatch,
    `the server refuses the configuration of the stream ${streamName}: ${error.message} (${error.code})`,
    { cause: error },
  );
}

function undefinedIfMissing(error: unknown): undefined {
  if (error instanceof JetStreamApiError && error.code === 10_059) return undefined;
  throw error;
}

function nanoseconds(milliseconds: number): number {
  return milliseconds * 1_000_000;
}

import { OperatorError } from '../kernel/errors.ts';

/** Codes of the errors this folder throws, and reasons of a broker that is not available. */
export const EventErrorCode = {
  /** A draft that fails the schema of its own event: it never enters the outbox. */
  EventInvalid: 'EventInvalid',
  /** Text that is not an envelope, or not one of its type and version. */
  EnvelopeInvalid: 'EnvelopeInvalid',
  EventTypeUnknown: 'EventTypeUnknown',
  EventVersionUnknown: 'EventVersionUnknown',
  /** No connection, no JetStream, no answer in time. */
  BrokerUnavailable: 'BrokerUnavailable',
  BrokerAuthFailed: 'BrokerAuthFailed',
  /** Older than the version whose stream options we rely on. */
  BrokerTooOld: 'BrokerTooOld',
  StreamMissing: 'StreamMissing',
  StreamFull: 'StreamFull',
  /** The server took our stream configuration and made something else of it. */
  StreamConfigMismatch: 'StreamConfigMismatch',
  /** The broker answered about this message: it will not take it. */
  MessageRefused: 'MessageRefused',
} as const;

export type EventErrorCode = (typeof EventErrorCode)[keyof typeof EventErrorCode];

/** An error of this folder; everything but refused messages and invalid events is cured by time. */
export function eventError(code: EventErrorCode, message: string, options?: ErrorOptions): OperatorError {
  return new OperatorError(code, terminalCodes.has(code) ? 'terminal' : 'retryable', message, options);
}

const terminalCodes: ReadonlySet<EventErrorCode> = new Set([
  EventErrorCode.EventInvalid,
  EventErrorCode.EnvelopeInvalid,
  EventErrorCode.EventTypeUnknown,
  EventErrorCode.EventVersionUnknown,
  EventErrorCode.MessageRefused,
]);

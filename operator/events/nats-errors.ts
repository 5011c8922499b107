import { JetStreamApiError } from '@nats-io/jetstream';
import { errors } from 'nats';
import { OperatorError } from '../kernel/errors.ts';
import { EventErrorCode, eventError } from './errors.ts';

/** Error codes by which the server refuses a message for what it is. */
const refusals: ReadonlyMap<number, string> = new Map([
  [10_054, 'the message is larger than the stream allows'],
  [10_097, 'the headers are larger than the server allows'],
]);

const unavailable: ReadonlyMap<number, readonly [EventErrorCode, string]> = new Map([
  [10_059, [EventErrorCode.StreamMissing, 'the stream does not exist']],
  [10_060, [EventErrorCode.StreamMissing, 'another stream takes our subjects']],
  [10_077, [EventErrorCode.StreamFull, 'the stream is full']],
  [10_023, [EventErrorCode.StreamFull, 'the server is out of resources']],
  [10_047, [EventErrorCode.StreamFull, 'the server is out of storage']],
]);

/**
 * What a failed call to NATS says: MessageRefused only when the answer is about the message; all the rest
 * means that the broker is not available. Addresses and credentials never get into the message.
 */
export function classifyNatsError(error: unknown): OperatorError {
  if (error instanceof OperatorError) return error;
  const options = { cause: error };
  if (error instanceof JetStreamApiError) return classifyApiError(error);
  const permission = ofClass(error, errors.PermissionViolationError);
  if (permission?.operation === 'publish') {
    return eventError(EventErrorCode.MessageRefused, 'the broker does not permit this subject', options);
  }
  if (ofClass(error, errors.InvalidSubjectError)) {
    return eventError(EventErrorCode.MessageRefused, 'the subject is not a NATS subject', options);
  }
  if (ofClass(error, errors.InvalidArgumentError)) {
    return eventError(EventErrorCode.MessageRefused, 'the message is larger than the server allows', options);
  }
  if (ofClass(error, errors.AuthorizationError) || ofClass(error, errors.UserAuthenticationExpiredError)) {
    return eventError(EventErrorCode.BrokerAuthFailed, 'the broker refused our credentials', options);
  }
  if (ofClass(error, errors.TimeoutError)) {
    return eventError(EventErrorCode.BrokerUnavailable, 'the broker did not answer in time', options);
  }
  if (ofClass(error, errors.NoRespondersError)) {
    return eventError(EventErrorCode.BrokerUnavailable, 'nobody answers on JetStream’s subjects', options);
  }
  return eventError(EventErrorCode.BrokerUnavailable, 'the broker cannot be reached', options);
}

function classifyApiError(error: JetStreamApiError): OperatorError {
  const options = { cause: error };
  const refusal = refusals.get(error.code);
  if (refusal !== undefined) return eventError(EventErrorCode.MessageRefused, refusal, options);
  const known = unavailable.get(error.code);
  if (known) return eventError(known[0], known[1], options);
  return eventError(EventErrorCode.BrokerUnavailable, `JetStream answered with error ${error.code}`, options);
}

/** The error, or a cause of it, of a class; the client wraps what went wrong in requests. */
function ofClass<Kind extends Error>(error: unknown, kind: new (...args: never[]) => Kind): Kind | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth += 1) {
    if (at instanceof kind) return at;
  }
  return undefined;
}

import { OperatorError } from '../kernel/errors.ts';

/** Codes of the errors this folder throws. */
export const StoreErrorCode = {
  /** The server cannot be reached, is starting or stopping, or did not answer in time. */
  DatabaseUnavailable: 'DatabaseUnavailable',
  /** The server refused the user, the password or the database name. */
  DatabaseAuthFailed: 'DatabaseAuthFailed',
  /** The server may lose what it has committed; nothing is written to it. */
  DatabaseUnsafe: 'DatabaseUnsafe',
  /** Deadlock or serialization failure: the same statement may succeed when it is run again. */
  DatabaseContention: 'DatabaseContention',
  /** The tables of this version are not there yet. */
  SchemaOutdated: 'SchemaOutdated',
  /** The server understood the statement and refuses it: a fault of ours. */
  DatabaseRefused: 'DatabaseRefused',
  /** Someone recorded under this sequence number first, or the history is not as it was read. */
  SequenceConflict: 'SequenceConflict',
  /** The tenant's quota had no place left: someone took the last one first, or none was ever free. */
  QuotaReached: 'QuotaReached',
  /** Another operator has taken over; this one must not write. */
  NotLeader: 'NotLeader',
  /** A recording that cannot be written whoever tries: events and transitions do not match. */
  RecordingInvalid: 'RecordingInvalid',
  MigrationFailed: 'MigrationFailed',
} as const;

export type StoreErrorCode = (typeof StoreErrorCode)[keyof typeof StoreErrorCode];

const socketCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** SQLSTATE, or its first two characters, of answers that time cures. */
const unavailableStates: ReadonlySet<string> = new Set(['08', '53', '57', '58', '25P03', '25006']);
const authStates: ReadonlySet<string> = new Set(['28', '3D', '42501']);
const contentionStates: ReadonlySet<string> = new Set(['40', '55P03']);
const missingSchemaStates: ReadonlySet<string> = new Set(['42P01', '42703', '3F000']);

/** What pg says when no SQLSTATE came, because the socket or one of our own deadlines ended the query. */
const driverTexts: readonly RegExp[] = [
  /^Connection terminated/,
  /^Query read timeout$/,
  /^timeout exceeded when trying to connect$/,
  /^timeout expired$/,
  /^Client has encountered a connection error and is not queryable$/,
  /^Client was closed and is not queryable$/,
  /^Postgres connection has been discarded$/,
  /^Cannot use a pool after calling end on the pool$/,
  /^driver has already been destroyed$/,
];

/**
 * Turns whatever pg or kysely threw into an `OperatorError`; one that already is passes through.
 * The message is ours and names the SQLSTATE only, so neither a password nor a row can leak; the
 * original stays in `cause`, for debugging, and is not to be logged as it is.
 */
export function classifyDatabaseError(error: unknown): OperatorError {
  if (error instanceof OperatorError) return error;
  const code = errorCode(error);
  const text = error instanceof Error ? error.message : String(error);
  const options = { cause: error };

  if (matches(authStates, code)) {
    return new OperatorError(
      StoreErrorCode.DatabaseAuthFailed,
      'retryable',
      `Postgres refused the user, the password or the database (${code})`,
      options,
    );
  }
  if (matches(unavailableStates, code) || socketCodes.has(code) || driverTexts.some((known) => known.test(text))) {
    const why = code === '' ? 'no answer' : code;
    return new OperatorError(
      StoreErrorCode.DatabaseUnavailable,
      'retryable',
      `Postgres is not available (${why})`,
      options,
    );
  }
  if (matches(contentionStates, code)) {
    return new OperatorError(
      StoreErrorCode.DatabaseContention,
      'retryable',
      `Postgres asks to try again (${code})`,
      options,
    );
  }
  if (missingSchemaStates.has(code)) {
    return new OperatorError(
      StoreErrorCode.SchemaOutdated,
      'retryable',
      `Postgres lacks a table or column of this version (${code}): run the migrations`,
      options,
    );
  }
  const detail = code === '' ? 'unknown error' : code;
  return new OperatorError(
    StoreErrorCode.DatabaseRefused,
    'terminal',
    `Postgres refused a statement (${detail})`,
    options,
  );
}

/** Whether the server answered 23505 for one of these constraints. */
export function isUniqueViolation(error: unknown, constraints: ReadonlySet<string>): boolean {
  const cause = error instanceof OperatorError ? error.cause : error;
  if (errorCode(cause) !== '23505') return false;
  const constraint = (cause as { constraint?: unknown }).constraint;
  return typeof constraint === 'string' && constraints.has(constraint);
}

function matches(states: ReadonlySet<string>, code: string): boolean {
  return states.has(code) || (/^[0-9A-Z]{5}$/.test(code) && states.has(code.slice(0, 2)));
}

/** The code of the error; an AggregateError (every address refused) speaks through its first member. */
function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  if (error instanceof AggregateError) return errorCode(error.errors[0]);
  return '';
}

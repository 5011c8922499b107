/**
 * How an error is to be treated:
 * conflict = someone moved first, observe again at once; retryable = back off and try again;
 * terminal = only a new generation of the object can help.
 */
export type ErrorKind = 'conflict' | 'retryable' | 'terminal';

/** An error with a stable code. Tests and policies look at `code` and `kind`, never at the message. */
export class OperatorError extends Error {
  readonly code: string;
  readonly kind: ErrorKind;

  constructor(code: string, kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'OperatorError';
    this.code = code;
    this.kind = kind;
  }
}

/** The parts of a `metav1.Status` we read. */
export type StatusBody = {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: {
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly { readonly reason?: string }[];
  };
};

/**
 * The API server answered with an error. `code` is one of `apiErrorCodes`.
 * What the server said is on `serverMessage` only: it may quote values of the object (a rejected
 * environment variable, for one), so it is neither in `message` nor an enumerable property, and a
 * logger that dumps errors does not print it.
 */
export class ApiError extends OperatorError {
  readonly status: number;
  readonly reason: string;
  /** Reasons of the causes, such as `NamespaceTerminating`. */
  readonly causes: readonly string[];
  /** How long the server asked us to stay away, if it did. */
  readonly retryAfterMs: number | undefined;
  readonly #serverMessage: string;

  constructor(request: string, status: number, body: StatusBody, retryAfterMs?: number) {
    const code = apiErrorCode(status, body.reason);
    super(code, apiErrorKind(status), `${request}: ${status} ${code}`);
    this.name = 'ApiError';
    this.status = status;
    this.reason = body.reason ?? '';
    this.causes = (body.details?.causes ?? []).flatMap((cause) => cause.reason ?? []);
    const seconds = body.details?.retryAfterSeconds;
    this.retryAfterMs = retryAfterMs ?? (seconds === undefined ? undefined : seconds * 1000);
    this.#serverMessage = body.message ?? '';
  }

  get serverMessage(): string {
    return this.#serverMessage;
  }
}

/** The codes of an `ApiError` by HTTP status; 409 is `Conflict` unless its reason is `AlreadyExists`. */
export const apiErrorCodes = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  410: 'Expired',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  502: 'BadGateway',
  503: 'ServiceUnavailable',
  504: 'Timeout',
} as const satisfies Readonly<Record<number, string>>;

function apiErrorCode(status: number, reason: string | undefined): string {
  if (status === 409 && reason === 'AlreadyExists') return 'AlreadyExists';
  const codes: Readonly<Record<number, string>> = apiErrorCodes;
  return codes[status] ?? 'UnexpectedStatus';
}

// 403 is retryable: quota, Pod Security and a missing ServiceAccount all answer it, and others can cure them.
function apiErrorKind(status: number): ErrorKind {
  if (status === 409) return 'conflict';
  if (status === 422) return 'terminal';
  return 'retryable';
}

/** Whether the error is an OperatorError with this code. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof OperatorError && error.code === code;
}

/**
 * Any thrown value as an OperatorError. Adapters (the transport, the store) translate what they know
 * themselves; what arrives here untranslated is a bug of ours: code `Panic`, retried with backoff.
 */
export function classify(error: unknown): OperatorError {
  if (error instanceof OperatorError) return error;
  if (error instanceof Error && error.name === 'AbortError') return aborted(error);
  const message = error instanceof Error ? error.message : String(error);
  return new OperatorError('Panic', 'retryable', message, { cause: error });
}

/** What we wanted to write is the leader's to write, and we may not be it any more. */
export function notLeader(): OperatorError {
  return new OperatorError('NotLeader', 'conflict', 'another operator may lead by now');
}

/** We gave the work up ourselves: shutdown, or leadership lost. */
export function aborted(cause?: unknown): OperatorError {
  return new OperatorError('Aborted', 'retryable', 'stopped before it was finished', { cause });
}

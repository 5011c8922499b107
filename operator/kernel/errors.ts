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

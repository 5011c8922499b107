import { OperatorError } from '../../operator/kernel/errors.ts';

/** JSON as parsed, never modified in place. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = { readonly [key: string]: Json };

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Strings of a JSON list; none when it is no list. */
export function strings(value: Json | undefined): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** What the generator refuses to generate: `path` says where, `code` which rule, the message what to do instead. */
export class GenerateError extends OperatorError {
  readonly path: string;

  constructor(code: string, path: string, message: string) {
    super(code, 'terminal', `${path || '(root)'}: ${message}`);
    this.name = 'GenerateError';
    this.path = path;
  }
}

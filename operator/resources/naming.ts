import { createHash } from 'node:crypto';
import { reservedPrefix } from '../api/v1alpha1/names.ts';

/** First `length` hex digits of the SHA-256 of `text`. */
export function shortHash(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}

/** JSON with sorted keys, so that equal specs hash equal whatever order they were written in. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part) => {
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** Labels or annotations of a template without those that only the operator sets. */
export function withoutReserved(entries: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(entries ?? {}).filter(([key]) => !key.startsWith(reservedPrefix)));
}

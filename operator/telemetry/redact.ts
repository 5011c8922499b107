/** Keeps secrets out of what leaves the process: log lines and spans pass through here. */

const censored = '[redacted]';
const maxDepth = 8;

const secretKeys = new Set([
  'password',
  'passwd',
  'pwd',
  'secret',
  'token',
  'authorization',
  'cookie',
  'setcookie',
  'apikey',
]);
const secretKeyEnding = /(?:password|token|secret|privatekey|clientkey)$/;

// Greedy up to the last @: a password that nobody escaped may hold @ and / itself.
const urlCredentials = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s"'<>]*@/gi;
const authorizationScheme = /\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi;
const assignment =
  /\b(password|passwd|pwd|secret|token|api[_-]?key)(["']?\s*[=:]\s*["']?)(?!\[redacted\])[^\s"',;&)}]+/gi;

/** The text without URL credentials, bearer tokens and `password=…` values. */
export function redactText(text: string): string {
  return text
    .replace(urlCredentials, `$1${censored}@`)
    .replace(authorizationScheme, `$1 ${censored}`)
    .replace(assignment, `$1$2${censored}`);
}

/**
 * A copy of `value` fit for a log line: values under secret keys censored, every string passed through
 * `redactText`, errors as plain objects with type, code, message, stack and cause. Never throws; cycles and
 * what lies deeper than eight levels are cut off.
 */
export function redact(value: unknown): unknown {
  return copy(value, 0, new Set());
}

function copy(value: unknown, depth: number, above: ReadonlySet<object>): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= maxDepth || above.has(value)) return '[cut]';

  const path = new Set(above).add(value);
  const inner = (child: unknown): unknown => copy(child, depth + 1, path);
  if (Array.isArray(value)) return value.map(inner);
  if (value instanceof Error) return mapEntries(errorEntries(value), inner);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof Uint8Array) return `[${value.byteLength} bytes]`;
  if (value instanceof URL) return redactText(value.href);
  if (value instanceof Set) return [...value].map(inner);
  if (value instanceof Map)
    return mapEntries(
      [...value].map(([key, child]) => [String(key), child]),
      inner,
    );
  return mapEntries(Object.entries(value), inner);
}

function mapEntries(entries: readonly (readonly [string, unknown])[], inner: (child: unknown) => unknown): object {
  return Object.fromEntries(entries.map(([key, child]) => [key, isSecretKey(key) ? censored : inner(child)]));
}

// Only these: client libraries hang whole requests, headers included, on their errors.
function errorEntries(error: Error): readonly (readonly [string, unknown])[] {
  const details = error as Error & { readonly code?: unknown; readonly kind?: unknown };
  const entries: readonly (readonly [string, unknown])[] = [
    ['type', error.name],
    ['code', details.code],
    ['kind', details.kind],
    ['message', error.message],
    ['stack', error.stack],
    ['cause', error.cause],
    ['errors', error instanceof AggregateError ? error.errors : undefined],
  ];
  return entries.filter(([, value]) => value !== undefined);
}

function isSecretKey(key: string): boolean {
  const plain = key.toLowerCase().replaceAll(/[-_]/g, '');
  return secretKeys.has(plain) || secretKeyEnding.test(plain);
}

/**
 * Waits until `probe` returns something other than undefined, null or false, and returns it.
 * What it throws counts as "not yet" and is named when the deadline passes. Both times in milliseconds.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  deadlineMs = 10_000,
  pollMs = 10,
): Promise<Exclude<T, undefined | null | false>> {
  const end = performance.now() + deadlineMs;
  let last: unknown;
  do {
    try {
      const value = await probe();
      if (isThere(value)) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  } while (performance.now() < end);
  throw new Error(`not within ${deadlineMs} ms: ${what}`, { cause: last });
}

function isThere<T>(value: T): value is Exclude<T, undefined | null | false> {
  return value !== undefined && value !== null && value !== false;
}

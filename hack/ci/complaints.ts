import { stripVTControlCharacters } from 'node:util';

const maxLines = 24;
const maxColumns = 200;

/** Where Vitest begins to tell what went wrong beside tests: errors nobody caught, workers that ended, its own start and end. */
const beginning = /^⎯+ (Unhandled Errors|Unhandled Rejection|Startup Error|Source Errors) ⎯+$|^error during close/;

const noise = [
  /^\s*$/,
  /^⎯+(\[\d+\/\d+\])?⎯*$/,
  /^⎯+ Unhandled Errors ⎯+$/,
  // the lines of source around a frame
  /^\s*\d*\s*\|/,
  // frames in Node or in the runner
  /^\s*(❯|at) .*(node:|node_modules\/(vitest|@vitest|vite)\/)/,
  // what Vitest says every time
  /^(Vitest caught \d+|This might cause false|- the error was thrown)/,
];

/**
 * What a test runner complained about on stderr, as plain lines of a bounded number and width: of
 * each error its message, its frames and the test it came from. Empty when it named nothing.
 */
export function complaints(stderr: string): readonly string[] {
  const lines = plainLines(stderr);
  const first = lines.findIndex((line) => beginning.test(line));
  return first < 0 ? [] : bounded(lines.slice(first));
}

/** The end of what a runner wrote, for one that failed without saying why. */
export function lastWords(stderr: string): readonly string[] {
  return bounded(plainLines(stderr).slice(-maxLines / 2));
}

function plainLines(text: string): readonly string[] {
  const lines = stripVTControlCharacters(text).split('\n');
  return lines.map((line) => line.trimEnd());
}

function bounded(lines: readonly string[]): readonly string[] {
  const telling = lines.filter((line) => !noise.some((pattern) => pattern.test(line))).map(shortened);
  const more = telling.length - maxLines;
  return more > 0 ? [...telling.slice(0, maxLines), `… and ${more} lines more`] : telling;
}

function shortened(line: string): string {
  const [saying = line] = /^(This error originated in|The last test to run before) .*?"(?=[.\s])/.exec(line) ?? [];
  const [, title = saying] = /^⎯+ (.+) ⎯+$/.exec(saying) ?? [];
  return title.slice(0, maxColumns);
}

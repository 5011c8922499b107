import { machine } from './stats.ts';

/** One line of a table: what was measured, the figure, and what it has to be where a target says so. */
export type Figure = {
  readonly what: string;
  readonly value: string;
  readonly target?: { readonly text: string; readonly met: boolean };
};

/** What a benchmark found. */
export type Result = { readonly headline: string; readonly kubernetes?: string; readonly figures: readonly Figure[] };

/** A figure without a target. */
export function figure(what: string, value: string): Figure {
  return { what, value };
}

/** A figure that has to be at most `limit`, shown with `digits` after the point and its unit. */
export function atMost(what: string, value: number, limit: number, unit = '', digits = 0): Figure {
  const text = `≤ ${limit}${unit}`;
  return { what, value: `${value.toFixed(digits)}${unit}`, target: { text, met: value <= limit } };
}

/** Lines in three columns under a headline; what misses its target says so. */
export function table(headline: string, figures: readonly Figure[]): string {
  const width = Math.max(...figures.map(({ what }) => what.length));
  const lines = figures.map(({ what, value, target }) => {
    const judged = target === undefined ? '' : `   target ${target.text}${target.met ? '' : '   MISSED'}`;
    return `${what.padEnd(width)}  ${value.padStart(14)}${judged}`;
  });
  return `\n${headline}\n\n${lines.join('\n')}\n`;
}

/** Prints the table with the machine it is from; a target that was missed makes the process end with 1. */
export function report({ headline, kubernetes, figures }: Result): void {
  process.stdout.write(table(`${headline}; ${machine(kubernetes)}`, figures));
  if (figures.some(({ target }) => target?.met === false)) process.exitCode = 1;
}

/** Tells whoever waits what is going on. */
export function progress(what: string): void {
  process.stderr.write(`bench: ${what}\n`);
}

/** A line that belongs to the result: what was set, what a figure does not say. */
export function note(text: string): void {
  process.stdout.write(`${text}\n`);
}

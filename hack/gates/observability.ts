import { checkEvents } from './observability-events.ts';
import { checkLog, checkToldLines } from './observability-log.ts';
import { checkMetrics } from './observability-metrics.ts';
import { type Finding, together, type Verdict } from './verdict.ts';

/** An event as an independent consumer found it on the stream. */
export type SeenEvent = {
  readonly subject: string;
  readonly event: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
};

/** What one run of the operator showed to the outside. */
export type ObservedRun = {
  readonly events: readonly SeenEvent[];
  /** Standard output and error of the process. */
  readonly log: string;
  /** What /metrics answered, in Prometheus' text format. */
  readonly metrics: string;
  /** Secrets that were in its configuration and in what it worked on. */
  readonly canaries: readonly string[];
};

/** Where the run of the tests leaves what it showed. */
export const runFile = 'dist/reports/observability.json';

/** Whether every event, log line and metric of a run carries what it must and nothing it must not. */
export function checkRun(run: ObservedRun): Verdict {
  return together(
    checkEvents(run.events),
    checkLog(run.log),
    checkToldLines(run),
    checkMetrics(run.metrics),
    checkSecrets(run),
  );
}

function checkSecrets({ canaries, ...shown }: ObservedRun): Verdict {
  const places = Object.entries(shown).map(([where, value]) => [where, JSON.stringify(value)] as const);
  const fix = 'Find what wrote it; the logger censors by name, so name it as what it is.';
  const findings = places.flatMap(([where, text]): readonly Finding[] =>
    canaries.flatMap((secret, index) => {
      const broke = `secret ${index + 1} of ${canaries.length} is in it`;
      return text.includes(secret) ? [{ where: `the ${where}`, broke, fix }] : [];
    }),
  );
  return { checked: canaries.length === 0 ? [] : [`${canaries.length} secrets are in none of them`], findings };
}

import type { AgentStatus } from '../../operator/api/v1alpha1/agent.ts';

/** One line per change of what the Agent shows; undefined when nothing a reader cares about has changed. */
export function timelineLine(
  before: AgentStatus | undefined,
  after: AgentStatus | undefined,
  sinceMs: number,
): string | undefined {
  if (after?.phase === undefined) return undefined;
  const same =
    before?.phase === after.phase &&
    before.reason === after.reason &&
    before.consistency?.lastEventID === after.consistency?.lastEventID;
  if (same) return undefined;
  const { consistency: told } = after;
  const event = told === undefined ? '' : `  #${told.sequence} ${told.lastEventType} ${told.state} ${told.lastEventID}`;
  return `${`+${sinceMs} ms`.padStart(10)}  ${after.phase.padEnd(11)} ${(after.reason ?? '').padEnd(22)}${event}`;
}

/** Where the time of a start went, from the operator's own timestamps. */
export function latencyLines(status: AgentStatus): readonly string[] {
  const steps = [
    ['Created', status.createdAt],
    ['Scheduled', status.scheduledAt],
    ['Starting', status.startingAt],
    ['Ready', status.readyAt],
  ] as const;
  const start = status.createdAt === undefined ? undefined : Date.parse(status.createdAt);
  if (start === undefined) return [];
  const known = steps.flatMap(([phase, at]) => (at === undefined ? [] : [{ phase, afterMs: Date.parse(at) - start }]));
  return known.map(({ phase, afterMs }) => `  ${phase.padEnd(10)} after ${String(afterMs).padStart(6)} ms`);
}

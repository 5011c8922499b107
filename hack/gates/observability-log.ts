import { z } from 'zod';
import type { Finding, Verdict } from './verdict.ts';

const text = z.string().min(1);

/** On every line. Lines of one reconcile carry its controller, key and id; lines inside a span its ids. */
const line = z.looseObject({
  time: z.iso.datetime({ precision: 3 }),
  level: z.enum(['debug', 'info', 'warn', 'error']),
  msg: text,
  pod: text,
  trace_id: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
  span_id: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
});

type Line = z.output<typeof line>;

/** Fields that come together or not at all. */
const companions: readonly (readonly string[])[] = [
  ['key', 'reconcileId', 'controller'],
  ['trace_id', 'span_id'],
];

/** Whether each line of a log is JSON with the fields every line has, and an alarm says its code. */
export function checkLog(log: string): Verdict {
  const lines = log.split('\n').filter((each) => each !== '');
  const fix = 'See operator/telemetry/log.ts; nothing else writes to standard output or error.';
  const findings = lines.flatMap((each): readonly Finding[] =>
    lineFaults(each).map((broke) => ({ where: `log line ${each.slice(0, 160)}`, broke, fix })),
  );
  const none: Finding = { where: 'the log', broke: 'there is no line in it', fix };
  return {
    checked: lines.length === 0 ? [] : [`${lines.length} log lines`],
    findings: lines.length === 0 ? [none] : findings,
  };
}

function lineFaults(raw: string): readonly string[] {
  const parsed = line.safeParse(parseJson(raw));
  if (!parsed.success)
    return parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the line'}: ${message}`);
  return [...lonely(parsed.data), ...codeless(parsed.data)];
}

function lonely(fields: Line): readonly string[] {
  return companions.flatMap((group) => {
    const there = group.filter((name) => fields[name] !== undefined);
    // A controller may speak of itself; a key never without the reconcile it is of.
    const isWhole = there.length === 0 || there.length === group.length || there.join() === 'controller';
    return isWhole ? [] : [`${there.join(', ')} without ${group.filter((name) => !there.includes(name)).join(', ')}`];
  });
}

function codeless({ level, code, err }: Line): readonly string[] {
  if (level !== 'warn' && level !== 'error') return [];
  const inner = typeof err === 'object' && err !== null && 'code' in err ? err.code : undefined;
  return typeof (code ?? inner) === 'string' ? [] : [`an alarm (${level}) without a code`];
}

function parseJson(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
}

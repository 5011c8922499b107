import { z } from 'zod';
import type { ObservedRun, SeenEvent } from './observability.ts';
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
  return [...lonely(parsed.data), ...codeless(parsed.data), ...traceless(parsed.data)];
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

/** What a reconcile alarms about is found in its trace. */
function traceless({ level, key, trace_id }: Line): readonly string[] {
  const isAlarm = level === 'warn' || level === 'error';
  return isAlarm && key !== undefined && trace_id === undefined ? ['an alarm of a reconcile without its trace'] : [];
}

type Data = { readonly name: string; readonly namespace?: string } | undefined;

/** Fields by which a transition is found in the log, and what the event that tells of it says under their name. */
const toldFields: Readonly<Record<string, (event: SeenEvent['event']) => unknown>> = {
  level: () => 'info',
  kind: ({ event_type }) => String(event_type).split('.')[0],
  uid: ({ agent_id }) => agent_id,
  name: ({ data }) => (data as Data)?.name,
  namespace: ({ data }) => (data as Data)?.namespace,
  tenant_id: ({ tenant_id }) => tenant_id,
  event_type: ({ event_type }) => event_type,
  sequence: ({ sequence }) => sequence,
  trace_id: ({ trace_id }) => trace_id,
};

/** Whether each event on the stream has one line of its own in the log, with the phases it leads from and to. */
export function checkToldLines({ log, events }: Pick<ObservedRun, 'log' | 'events'>): Verdict {
  const lines = log.split('\n').flatMap((raw) => {
    const parsed = line.safeParse(parseJson(raw));
    return parsed.success && parsed.data.event_id !== undefined ? [parsed.data] : [];
  });
  const byEvent = Map.groupBy(lines, ({ event_id }) => event_id);
  const firsts = new Map(events.map(({ event }) => [event.event_id, event]));
  const fix = 'See operator/recorded-lines.ts: it logs what a recording committed.';
  const findings = [...firsts.values()].flatMap((event): readonly Finding[] => {
    const where = `the log of ${event.event_type} ${event.event_id}`;
    const [found, ...more] = byEvent.get(event.event_id) ?? [];
    if (found === undefined || more.length > 0)
      return [{ where, broke: `has ${found === undefined ? 'no line' : `${more.length + 1} lines`}`, fix }];
    const wrong = Object.entries(toldFields).filter(([name, of]) => found[name] !== of(event));
    const missing = ['from', 'to', 'reason'].filter((name) => typeof found[name] !== 'string');
    return [...wrong.map(([name]) => name), ...missing].map((name) => ({
      where,
      broke: `${name} is missing or wrong`,
      fix,
    }));
  });
  return { checked: [`${lines.length} transitions in the log`], findings };
}

function parseJson(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
}

import { AgentPhase, TenantPhase } from '../../operator/api/v1alpha1/phases.ts';
import { projectorName } from '../../operator/events/required-consumers.ts';
import {
  aggregateKinds,
  apiCodeClasses,
  apiResources,
  apiVerbs,
  controllerNames,
  discontinuityReasons,
  reconcileResults,
  retainedTables,
} from '../../operator/telemetry/metrics.ts';
import type { Finding, Verdict } from './verdict.ts';

const phases = ['New', ...Object.values(AgentPhase), ...Object.values(TenantPhase)];

/** Every label a metric of ours may have, and the values it may take; a pattern where they are numbers. */
const labelValues: Readonly<Record<string, readonly string[] | RegExp>> = {
  controller: controllerNames,
  result: reconcileResults,
  reason: discontinuityReasons,
  lane: ['urgent', 'background'],
  verb: apiVerbs,
  resource: apiResources,
  code: apiCodeClasses,
  kind: aggregateKinds,
  from: phases,
  to: phases,
  /** Those of the configuration; the run has the one that is always there. */
  consumer: [projectorName],
  table: retainedTables,
  version: /^(?:dev|\d+\.\d+\.\d+\S*)$/,
  le: /^(?:\+Inf|[\d.e+-]+)$/,
};

/** What the service levels and their alerts are computed from. */
const required: readonly string[] = [
  'openos_transitions_total',
  'openos_agent_start_latency_seconds',
  'openos_event_publish_latency_seconds',
  'openos_events_published_total',
  'openos_events_dead_lettered_total',
  'openos_event_attempt_failures_total',
  'openos_outbox_pending_events',
  'openos_outbox_oldest_age_seconds',
  'openos_reconcile_total',
  'openos_reconcile_duration_seconds',
  'openos_queue_depth_keys',
  'openos_queue_latency_seconds',
  'openos_api_requests_total',
  'openos_broker_up',
  'openos_database_up',
  'openos_leader',
  'openos_build_info',
];

const ours = /^openos_[a-z_]+_(?:seconds|bytes|events|keys|total|info|up|present|leader|ratio)$|^openos_leader$/;
const others = /^(?:process|nodejs)_/;

type Sample = { readonly family: string; readonly labels: readonly (readonly [string, string])[] };

/** Whether each metric says what it is and takes its labels from closed sets, and none is missing. */
export function checkMetrics(page: string): Verdict {
  const lines = page.split('\n');
  const types = families(lines, 'TYPE');
  const helps = families(lines, 'HELP');
  const samples = lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => sampleOf(line, types));
  const own = samples.filter(({ family }) => !others.test(family));
  const names = [...new Set(own.map(({ family }) => family))];
  const findings = [
    ...required
      .filter((name) => !names.includes(name))
      .map((name) => finding(name, 'is missing', 'See operator/telemetry/metrics.ts.')),
    ...names.flatMap((name) => familyFindings(name, types, helps)),
    ...distinct(own.flatMap(labelFindings)),
  ];
  return { checked: own.length === 0 ? [] : [`${names.length} metrics in ${own.length} series`], findings };
}

function familyFindings(
  name: string,
  types: ReadonlyMap<string, string>,
  helps: ReadonlyMap<string, string>,
): readonly Finding[] {
  const type = types.get(name);
  return [
    ...(ours.test(name)
      ? []
      : [finding(name, 'does not begin with openos_ and end with its unit', 'Give it such a name.')]),
    ...(type === undefined ? [finding(name, 'has no TYPE', 'Register it like the others.')] : []),
    ...(helps.get(name)?.endsWith('.') ? [] : [finding(name, 'has no HELP that is a sentence', 'Say what it is.')]),
    ...(type === 'counter' && !name.endsWith('_total')
      ? [finding(name, 'is a counter', 'End its name with _total.')]
      : []),
  ];
}

function labelFindings({ family, labels }: Sample): readonly Finding[] {
  return labels.flatMap(([label, value]) => {
    const values = labelValues[label];
    const where = `${family}{${label}="${value}"}`;
    if (values === undefined) {
      const fix =
        'Leave it out; what names single objects belongs into logs and traces. A closed set goes into labelValues.';
      return [finding(where, `${label} is in no closed set`, fix)];
    }
    const isKnown = values instanceof RegExp ? values.test(value) : values.includes(value);
    return isKnown
      ? []
      : [
          finding(
            where,
            `${label} takes a value that is not in its set`,
            'Add it to the set in operator/telemetry/metrics.ts.',
          ),
        ];
  });
}

/** The text behind `# TYPE name` or `# HELP name`, by name. */
function families(lines: readonly string[], what: 'TYPE' | 'HELP'): ReadonlyMap<string, string> {
  const found = lines.flatMap((line): readonly (readonly [string, string])[] => {
    const [, name, rest] = new RegExp(`^# ${what} (\\S+) (.*)$`).exec(line) ?? [];
    return name === undefined ? [] : [[name, rest ?? '']];
  });
  return new Map(found);
}

function sampleOf(line: string, types: ReadonlyMap<string, string>): Sample {
  const [, name = '', labels = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? /.exec(line) ?? [];
  const base = name.replace(/_(?:bucket|sum|count)$/, '');
  const family = types.get(base) === 'histogram' || types.get(base) === 'summary' ? base : name;
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
  return { family, labels: pairs.map(([, label = '', value = '']) => [label, value] as const) };
}

function distinct(findings: readonly Finding[]): readonly Finding[] {
  return [...new Map(findings.map((each) => [each.where, each])).values()];
}

function finding(where: string, broke: string, fix: string): Finding {
  return { where, broke, fix };
}

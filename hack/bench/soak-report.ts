import type { Plot } from './plot.ts';
import type { PublisherSample } from './soak-messages.ts';
import { type SoakTable, type SoakWorld, soakTables, type TableSample } from './soak-world.ts';
import { quantile, slopePerHour, thirds } from './stats.ts';
import { atMost, type Figure, figure } from './table.ts';

export type SoakSample = {
  /** Since the start. */
  readonly seconds: number;
  /** Of what was acknowledged since the sample before; milliseconds. */
  readonly latency: { readonly p50: number; readonly p95: number; readonly p99: number };
  readonly tables: Readonly<Record<SoakTable, TableSample>>;
  readonly publisher: PublisherSample;
};

type Column = { readonly name: string; readonly unit: string; readonly of: (sample: SoakSample) => number };

const columns: readonly Column[] = [
  { name: 'commit → PubAck p50', unit: 'ms', of: ({ latency }) => latency.p50 },
  { name: 'commit → PubAck p95', unit: 'ms', of: ({ latency }) => latency.p95 },
  { name: 'commit → PubAck p99', unit: 'ms', of: ({ latency }) => latency.p99 },
  ...soakTables.flatMap((table): readonly Column[] => [
    { name: `${table}, with its indexes`, unit: 'MiB', of: ({ tables }) => tables[table].bytes / 2 ** 20 },
    { name: `${table}, live`, unit: 'rows', of: ({ tables }) => tables[table].live },
    { name: `${table}, dead`, unit: 'rows', of: ({ tables }) => tables[table].dead },
  ]),
  { name: 'publisher, RSS', unit: 'MiB', of: ({ publisher }) => publisher.rssMiB },
  { name: 'publisher, heap', unit: 'MiB', of: ({ publisher }) => publisher.heapMiB },
  { name: 'publisher, event loop p99', unit: 'ms', of: ({ publisher }) => publisher.loopP99Ms },
  { name: 'publisher, handles', unit: '', of: ({ publisher }) => publisher.handles },
];

/** One line for each sample. */
export function csvOf(samples: readonly SoakSample[]): string {
  const removed = soakTables.map((table) => `${table} removed (rows)`);
  const names = columns.map(({ name, unit }) => (unit === '' ? name : `${name} (${unit})`));
  const header = ['time (s)', ...names, ...removed].map((name) => `"${name}"`).join(',');
  const lines = samples.map((sample) => {
    const values = [sample.seconds, ...columns.map(({ of }) => of(sample))].map((value) => value.toFixed(2));
    return [...values, ...soakTables.map((table) => sample.publisher.removed[table])].join(',');
  });
  return `${[header, ...lines].join('\n')}\n`;
}

/** Medians of the three thirds of the run, and by how much each rises in an hour after the first. */
export function thirdsTable(samples: readonly SoakSample[]): string {
  const cells = columns.map(({ name, unit, of }) => {
    const three = thirds(samples.map(of)).map((value) => value.toFixed(1));
    const warm = samples.slice(Math.round(samples.length / 3));
    const slope = slopePerHour(warm.map((sample) => ({ seconds: sample.seconds, value: of(sample) })));
    return [unit === '' ? name : `${name}, ${unit}`, ...three, `${slope > 0 ? '+' : ''}${slope.toFixed(1)}`];
  });
  const heads = ['median of each third', 'first', 'middle', 'last', 'per hour'];
  const line = ([name = '', ...values]: readonly string[]) =>
    `${name.padEnd(36)}${values.map((value) => value.padStart(12)).join('')}`;
  return `\n${[heads, ...cells].map(line).join('\n')}\n`;
}

/** In less than this everything still warms up, and autovacuum has hardly begun: what drifts is shown and not judged. */
const longSeconds = 300;

/** How all of it is judged. The first third is left out: everything warms up. */
export function verdicts(
  samples: readonly SoakSample[],
  last: PublisherSample,
  found: Awaited<ReturnType<SoakWorld['judged']>>,
): readonly Figure[] {
  const [, p95Middle, p95Last] = thirds(samples.map(({ latency }) => latency.p95));
  const [, rssMiddle, rssLast] = thirds(samples.map(({ publisher }) => publisher.rssMiB));
  const [, handlesMiddle, handlesLast] = thirds(samples.map(({ publisher }) => publisher.handles));
  const [, sizeMiddle, sizeLast] = thirds(samples.map(({ tables }) => tables.outbox.bytes));
  const removed = soakTables.map((table) => `${last.removed[table]}`).join(' / ');
  const isLong = (samples.at(-1)?.seconds ?? 0) >= longSeconds;
  const drift = (what: string, value: number, limit: number) =>
    isLong ? atMost(what, value, limit, '', 2) : figure(what, value.toFixed(2));
  return [
    drift('commit → PubAck p95, last third over middle', p95Last / p95Middle, 1.2),
    drift('RSS of the publisher, last third over middle', rssLast / rssMiddle, 1.1),
    drift('size of the outbox, last third over middle', sizeLast / sizeMiddle, 1.2),
    atMost('event loop p99, the whole run', last.runLoopP99Ms, 50, ' ms', 1),
    figure(
      'event loop p99, worst window',
      `${quantile(
        samples.map((s) => s.publisher.loopP99Ms),
        1,
      ).toFixed(1)} ms`,
    ),
    atMost('handles, last third less middle', handlesLast - handlesMiddle, 2),
    atMost('unhandled rejections', last.rejections, 0),
    {
      what: `old rows removed, ${soakTables.join(' / ')}`,
      value: removed,
      target: { text: 'of each', met: soakTables.every((table) => last.removed[table] > 0) },
    },
    figure('events delivered', `${found.events}`),
    atMost('lost', found.lost, 0),
    atMost('reordered, by first appearance', found.reordered, 0),
    figure('repeated, under the same id', `${found.repeated}`),
  ];
}

/** Four panels over the time of the run. */
export function plotOf(subtitle: string, samples: readonly SoakSample[]): Plot {
  const each = (of: (sample: SoakSample) => number) => samples.map(of);
  return {
    title: 'The outbox at a steady rate',
    subtitle,
    seconds: each(({ seconds }) => seconds),
    panels: [
      {
        title: 'Commit → PubAck',
        unit: 'ms',
        scale: 'logarithmic',
        lines: [
          { name: 'p50', values: each(({ latency }) => latency.p50) },
          { name: 'p95', values: each(({ latency }) => latency.p95) },
          { name: 'p99', values: each(({ latency }) => latency.p99) },
        ],
      },
      {
        title: 'Tables with their indexes',
        unit: 'MiB',
        scale: 'linear',
        lines: soakTables.map((table) => ({
          name: table,
          values: each(({ tables }) => tables[table].bytes / 2 ** 20),
        })),
      },
      {
        title: 'Rows',
        unit: 'thousands',
        scale: 'linear',
        lines: [
          ...soakTables.map((table) => ({
            name: `${table}, dead`,
            values: each(({ tables }) => tables[table].dead / 1_000),
          })),
          { name: 'outbox, live', values: each(({ tables }) => tables.outbox.live / 1_000) },
        ],
      },
      {
        title: 'The publisher’s process',
        unit: 'MiB',
        scale: 'linear',
        lines: [
          { name: 'RSS', values: each(({ publisher }) => publisher.rssMiB) },
          { name: 'heap', values: each(({ publisher }) => publisher.heapMiB) },
        ],
      },
    ],
  };
}

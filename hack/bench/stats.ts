import { cpus, release } from 'node:os';

/** The q-quantile (0…1) by nearest rank; NaN of nothing. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(q * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

/** `p50 / p95` of milliseconds, rounded. */
export function spread(values: readonly number[]): string {
  return `${quantile(values, 0.5).toFixed(0).padStart(6)} ${quantile(values, 0.95).toFixed(0).padStart(6)}`;
}

/** The value of a series without labels in Prometheus' text format; NaN when it is not there. */
export function sampleOf(metrics: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1]);
}

/**
 * Sum of `apiserver_request_total` over the verbs that write, from the API server's own metrics in Prometheus'
 * text format. Leases and reviews are left out: they tick whether anything starts or not.
 */
export function writesOf(metrics: string): number {
  let sum = 0;
  for (const line of metrics.split('\n')) {
    const match = /^apiserver_request_total\{(.*)\} (\S+)$/.exec(line);
    if (match === null) continue;
    const [, labels = '', value = '0'] = match;
    const verb = /verb="([^"]*)"/.exec(labels)?.[1] ?? '';
    const resource = /resource="([^"]*)"/.exec(labels)?.[1] ?? '';
    if (writeVerbs.has(verb) && resource !== 'leases' && !resource.endsWith('reviews')) sum += Number(value);
  }
  return sum;
}

const writeVerbs: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE', 'DELETECOLLECTION']);

/** What stands under every table: figures of two machines are no comparison. */
export function machine(kubernetes?: string): string {
  return `${kubernetes === undefined ? '' : `Kubernetes ${kubernetes}, `}Node ${process.version}, ${cpus().length} cores, Linux ${release()}`;
}

/** A value at a moment; in seconds. */
export type Point = { readonly seconds: number; readonly value: number };

/** How much the values rise in an hour, by least squares; NaN of fewer than two points. */
export function slopePerHour(points: readonly Point[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [atMean, valueMean] = [mean(points.map((p) => p.seconds)), mean(points.map((p) => p.value))];
  let [together, alone] = [0, 0];
  for (const { seconds, value } of points) {
    together += (seconds - atMean) * (value - valueMean);
    alone += (seconds - atMean) ** 2;
  }
  return (together / alone) * 3_600;
}

/** The medians of the first, the middle and the last third. */
export function thirds(values: readonly number[]): readonly [number, number, number] {
  const third = (n: number) =>
    quantile(values.slice(Math.round((n * values.length) / 3), Math.round(((n + 1) * values.length) / 3)), 0.5);
  return [third(0), third(1), third(2)];
}

import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { plotSvg, pngOf } from './plot.ts';
import { csvOf, plotOf, type SoakSample, thirdsTable, verdicts } from './soak-report.ts';
import { type SoakWorld, startSoakWorld } from './soak-world.ts';
import { machine, quantile } from './stats.ts';
import { note, progress, report } from './table.ts';

/**
 * `make bench-soak`: the outbox at a steady rate for SOAK_SECONDS, while old rows go; how it does over time, as a table,
 * as CSV and as a plot. Retention keeps and walks at a scale of the run; its batches and rests are the operator's.
 */
const seconds = wholeFrom('SOAK_SECONDS', 900);
const rate = wholeFrom('SOAK_RATE', 500);
const keepSeconds = Math.max(3, Math.round(seconds / 10));
const walkSeconds = Math.max(1, Math.round(seconds / 60));
const sampleMs = seconds >= 150 ? 5_000 : 2_000;
const folder = 'dist';

function wholeFrom(name: string, otherwise: number): number {
  const value = Number(process.env[name] || otherwise);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`${name} is a whole number above 0`);
}

/** Samples until `isOver` says so. */
async function watch(world: SoakWorld, isOver: () => boolean): Promise<readonly SoakSample[]> {
  const samples: SoakSample[] = [];
  const started = performance.now();
  for (let n = 1; !isOver(); n += 1) {
    await sleep(Math.max(0, started + n * sampleMs - performance.now()));
    const [tables, publisher] = await Promise.all([world.tables(), world.publisher()]);
    const ms = world.latencies();
    const latency = { p50: quantile(ms, 0.5), p95: quantile(ms, 0.95), p99: quantile(ms, 0.99) };
    samples.push({ seconds: (performance.now() - started) / 1_000, latency, tables, publisher });
    if (n % 12 === 0)
      progress(`${Math.round((n * sampleMs) / 1_000)} of ${seconds} s, p95 ${latency.p95.toFixed(1)} ms`);
  }
  return samples;
}

async function main(): Promise<void> {
  const keepMs = keepSeconds * 1_000;
  const keep = { eventsMs: keepMs, transitionsMs: 1.5 * keepMs, auditMs: 1.5 * keepMs };
  const world = await startSoakWorld({ keep, walkEveryMs: walkSeconds * 1_000 });
  try {
    progress(`${rate} events/s for ${seconds} s`);
    let isOver = false;
    const watching = watch(world, () => isOver);
    await world.write(rate, seconds).finally(() => {
      isOver = true;
    });
    const samples = await watching;
    const last = await world.publisher();
    const subtitle = `${rate} events/s; events kept ${keepSeconds} s, the rest ${1.5 * keepSeconds} s, a walk every ${walkSeconds} s; ${machine()}`;
    const svg = plotSvg(plotOf(subtitle, samples));
    await mkdir(folder, { recursive: true });
    await Promise.all([
      writeFile(`${folder}/soak.csv`, csvOf(samples)),
      writeFile(`${folder}/soak.svg`, svg),
      writeFile(`${folder}/soak.png`, await pngOf(svg)),
    ]);
    process.stdout.write(thirdsTable(samples));
    report({ headline: `The outbox over ${seconds} s`, figures: verdicts(samples, last, await world.judged()) });
    note(`\n${subtitle}`);
    note(
      `Retention is scaled to the run (in production: 7 days, 90 days, 365 days, a walk every 10 min); its batches of 500`,
    );
    note(
      `rows and the rests between them are the operator's. ${folder}/soak.csv ${folder}/soak.svg ${folder}/soak.png`,
    );
  } finally {
    await world.stop();
  }
}

await main().catch((error: unknown) => {
  process.stderr.write(`bench-soak: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});

import { manyAgents } from './scale-agents.ts';
import { manyCached } from './scale-cached.ts';
import { report } from './table.ts';

/**
 * `make bench-scale`: F4, F4b and F9 (`PART=f4`) and F5 (`PART=f5`) of the targets; without PART both.
 * AGENTS and CACHED say how many.
 */
const parts = { f4: () => manyAgents(count('AGENTS', 1_000)), f5: () => manyCached(count('CACHED', 10_000)) } as const;

function count(name: string, otherwise: number): number {
  const value = Number(process.env[name] || otherwise);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} is not a number of objects`);
  return value;
}

async function main(): Promise<void> {
  const wanted = process.env.PART || undefined;
  const chosen = Object.entries(parts).filter(([part]) => wanted === undefined || wanted === part);
  if (chosen.length === 0) throw new Error(`PART is one of ${Object.keys(parts).join(', ')}`);
  for (const [, run] of chosen) {
    report(await run());
  }
}

await main().catch((error: unknown) => {
  process.stderr.write(`bench-scale: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});

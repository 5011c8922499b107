/** Something that must not be released as it is. */
export type Finding = {
  /** The migration, schema, test, metric … it is about. */
  readonly where: string;
  /** What broke, with what it was and what it became. */
  readonly broke: string;
  /** What to do about it. */
  readonly fix: string;
};

/** What a gate looked at and what it found; it is open when it found nothing and looked at something. */
export type Verdict = {
  readonly checked: readonly string[];
  readonly findings: readonly Finding[];
};

/** Whether the gate lets pass. One that looked at nothing does not: it would hold for anything. */
export function isOpen({ checked, findings }: Verdict): boolean {
  return checked.length > 0 && findings.length === 0;
}

/** The verdict for people: a line for each thing that was checked, a paragraph for each finding. */
export function rendered(verdict: Verdict): string {
  const { checked, findings } = verdict;
  const paragraphs = findings.map(({ where, broke, fix }) => `✗ ${where}\n  ${indent(broke)}\n  → ${indent(fix)}`);
  const nothing = checked.length === 0 ? ['✗ nothing was checked'] : [];
  const summary = isOpen(verdict) ? 'passes' : `BLOCKED by ${Math.max(findings.length, 1)}`;
  return [...checked.map((line) => `  ${line}`), ...nothing, ...paragraphs, summary].join('\n');
}

/** What several gates, or parts of one, came to. */
export function together(...verdicts: readonly Verdict[]): Verdict {
  return {
    checked: verdicts.flatMap(({ checked }) => checked),
    findings: verdicts.flatMap(({ findings }) => findings),
  };
}

/** Prints the verdict of a gate run as a command; the process exits with 1 when it is blocked. */
export async function conclude(title: string, verdict: Promise<Verdict> | Verdict): Promise<void> {
  const reached = await verdict;
  console.log(`${title}\n${rendered(reached)}`);
  if (!isOpen(reached)) process.exitCode = 1;
}

function indent(text: string): string {
  return text.replaceAll('\n', '\n  ');
}

/** Reads TypeScript sources just closely enough to know what they import and which globals they touch. */

export type Import = {
  readonly specifier: string;
  /** `import type`: gone when the program runs. */
  readonly isTypeOnly: boolean;
};

export type Source = {
  readonly imports: readonly Import[];
  /** The text without comments, strings and regular expressions; expressions inside templates are kept. */
  readonly code: string;
};

const comment = String.raw`\/\/[^\n]*|\/\*[\s\S]*?\*\/`;
const string = String.raw`'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"`;
const template = '`(?:\\\\[\\s\\S]|[^`\\\\])*`';
const regex = String.raw`(?<=(?:[(,=:[!&|?{};]|=>|\breturn)\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*`;
const token = new RegExp([comment, string, template, regex].join('|'), 'g');

const statement = /\b(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]+?\s+from\s*)?(['"])([^'"\n]+)\2/g;
const dynamic = /\bimport\s*\(\s*(['"])([^'"\n]+)\1/g;

/** Scans one source text. Nested templates are beyond it; nothing here needs them. */
export function scan(text: string): Source {
  const withStrings = text.replace(token, (found) => (isQuoted(found) ? found : ' '));
  return { imports: [...importsOf(withStrings)], code: text.replace(token, codeInside) };
}

function* importsOf(text: string): Generator<Import> {
  for (const [, type, , specifier = ''] of text.matchAll(statement))
    yield { specifier, isTypeOnly: type !== undefined };
  for (const [, , specifier = ''] of text.matchAll(dynamic)) yield { specifier, isTypeOnly: false };
}

function isQuoted(found: string): boolean {
  return found.startsWith("'") || found.startsWith('"');
}

function codeInside(found: string): string {
  if (!found.startsWith('`')) return isQuoted(found) ? "''" : ' ';
  return [...found.matchAll(/\$\{([^}]*)\}/g)].map(([, expression]) => ` (${expression}) `).join('');
}

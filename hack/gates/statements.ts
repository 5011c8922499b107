import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import { classifyDatabaseError } from '../../operator/store/errors.ts';
import type { Db, Tables } from '../../operator/store/tables/index.ts';
import { scratchPool } from './scratch.ts';

type Cell = string | number | boolean | null;
type Row = Readonly<Record<string, unknown>>;

/** One statement as the store issued it, and what Postgres answered. */
export type IssuedStatement = {
  readonly text: string;
  readonly values: readonly unknown[];
  /** The rows of the answer, or the SQLSTATE of the refusal. A cell that is different every time is "*". */
  readonly answer: readonly Row[] | string;
};

const anything = '*';

/** Runs `work` over a database and returns every statement it issued, in order. */
export async function issuedStatements(
  url: string,
  work: (db: Db) => Promise<void>,
): Promise<readonly IssuedStatement[]> {
  const issued: IssuedStatement[] = [];
  const pool = scratchPool(url, { getTypeParser: typeParser });
  const dialect = new PostgresDialect({ pool: recordingPool(pool, issued) });
  const db = new Kysely<Tables>({ dialect });
  try {
    await work(db);
  } finally {
    await db.destroy();
  }
  return issued;
}

/** The pg pool as kysely wants it, with errors as the store has them. */
function recordingPool(pool: pg.Pool, issued: IssuedStatement[]): PostgresPool {
  const connect = async (): Promise<PostgresPoolClient> => {
    const client = await pool.connect();
    const query = async (text: string, values: readonly unknown[]) => {
      const result = await client.query<Row>(text, [...values]).catch((error: unknown) => {
        issued.push({ text, values: values.map(plain), answer: sqlState(error) });
        throw classifyDatabaseError(error);
      });
      issued.push({ text, values: values.map(plain), answer: result.rows.map(plainRow) });
      return result;
    };
    // kysely's type has a second form, for cursors, which it calls only when it was given a cursor class.
    return { query: query as unknown as PostgresPoolClient['query'], release: () => client.release() };
  };
  return { connect, end: () => pool.end(), options: pool.options };
}

/** Two runs of the same statements as one: what differs between their answers is different every time. */
export function withoutChance(
  one: readonly IssuedStatement[],
  two: readonly IssuedStatement[],
): readonly IssuedStatement[] {
  if (one.length !== two.length) throw new Error(`${one.length} statements in one run, ${two.length} in the other`);
  return one.map((statement, index) => {
    const other = two[index];
    if (other?.text !== statement.text) throw new Error(`two runs differ in statement ${index + 1}`);
    const values = statement.values.map((value, at) => {
      if (JSON.stringify(value) === JSON.stringify(other.values[at])) return value;
      throw new Error(`a value of statement ${index + 1} is different every time: ${statement.text}`);
    });
    return { text: statement.text, values, answer: common(statement.answer, other.answer) };
  });
}

function common(one: IssuedStatement['answer'], two: IssuedStatement['answer']): IssuedStatement['answer'] {
  if (typeof one === 'string' || typeof two === 'string') return one;
  return one.map((row, index) =>
    Object.fromEntries(
      Object.entries(row).map(([name, cell]) => {
        return [name, JSON.stringify(cell) === JSON.stringify(two[index]?.[name]) ? cell : anything];
      }),
    ),
  );
}

/** A statement that is not answered as it was. */
export type Deviation = { readonly statement: IssuedStatement; readonly was: string; readonly became: string };

/**
 * Issues the statements over one connection, in order, and returns those that are answered in another way.
 * More columns in an answer are no deviation: code that does not know them does not read them.
 */
export async function replay(url: string, statements: readonly IssuedStatement[]): Promise<readonly Deviation[]> {
  const pool = scratchPool(url, { getTypeParser: typeParser });
  const client = await pool.connect();
  const deviations: Deviation[] = [];
  try {
    for (const statement of statements) {
      const answer = await client.query<Row>(statement.text, [...statement.values]).then(
        ({ rows }) => rows.map(plainRow),
        (error: unknown) => `${sqlState(error)} ${error instanceof Error ? error.message : ''}`.trim(),
      );
      const difference = compare(statement.answer, answer);
      if (difference !== undefined) deviations.push({ statement, ...difference });
    }
  } finally {
    client.release();
    await pool.end();
  }
  return deviations;
}

function compare(was: IssuedStatement['answer'], became: readonly Row[] | string) {
  const difference = (one: unknown, two: unknown) => ({ was: shown(one), became: shown(two) });
  if (typeof was === 'string' || typeof became === 'string') {
    const isSameRefusal = typeof became === 'string' && typeof was === 'string' && became.startsWith(was);
    return isSameRefusal ? undefined : difference(was, became);
  }
  if (was.length !== became.length) return difference(`${was.length} rows`, `${became.length} rows`);
  for (const [index, row] of was.entries()) {
    const known = Object.fromEntries(Object.keys(row).map((name) => [name, became[index]?.[name]]));
    const isSame = Object.entries(row).every(([name, cell]) => {
      return cell === anything ? known[name] !== undefined : JSON.stringify(cell) === JSON.stringify(known[name]);
    });
    if (!isSame) return difference(row, known);
  }
  return undefined;
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function plainRow(row: Row): Row {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)]));
}

/** As JSON has it. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null)) as Cell;
}

function sqlState(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}

/** int8 as number, as the store has it. */
const typeParser: typeof pg.types.getTypeParser = (oid: number, format?: 'text' | 'binary') =>
  oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format === 'binary' ? 'binary' : 'text');

import { expect, test } from 'vitest';
import { OperatorError } from '../kernel/errors.ts';
import { createLogger } from './log.ts';
import { startTracing, withSpan } from './tracing.ts';

type Line = Readonly<Record<string, unknown>>;

function collecting(level: 'debug' | 'info' = 'info') {
  const raw: string[] = [];
  const log = createLogger({ level, bindings: { pod: 'p-0' }, destination: { write: (line) => raw.push(line) } });
  return { log, raw, lines: (): Line[] => raw.map((line) => JSON.parse(line) as Line) };
}

test('a line is JSON with an ISO time, the level by name, the bindings and the message', () => {
  const { log, lines } = collecting();
  log.child({ controller: 'agent' }).info({ phase: 'Ready' }, 'phase changed');
  const [line] = lines();
  expect(line).toMatchObject({ level: 'info', pod: 'p-0', controller: 'agent', phase: 'Ready', msg: 'phase changed' });
  expect(line?.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('what is below the level is not written', () => {
  const { log, raw } = collecting('info');
  log.debug({}, 'noise');
  expect(raw).toEqual([]);
});

test('a line inside a span carries its trace_id and span_id, one outside carries none', async () => {
  const { log, lines } = collecting();
  const tracing = await startTracing({ serviceVersion: '0', instance: 'i', log });
  const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  try {
    await withSpan('reconcile', parent, {}, async () => {
      await Promise.resolve();
      log.info({}, 'inside');
    });
    log.info({}, 'outside');
  } finally {
    await tracing.stop();
  }
  const [inside, outside] = lines();
  expect(inside).toMatchObject({ trace_id: '0af7651916cd43dd8448eb211c80319c' });
  expect(inside?.span_id).toMatch(/^[0-9a-f]{16}$/);
  expect(outside).not.toHaveProperty('trace_id');
});

const canary = 'c4n4ry-s3cr3t';
const leaks: readonly (readonly [string, () => object, string])[] = [
  ['a password under its key', () => ({ password: canary }), 'm'],
  ['a token deep inside', () => ({ a: { b: [{ bearerToken: canary }] } }), 'm'],
  ['an authorization header', () => ({ headers: { Authorization: `Bearer ${canary}` } }), 'm'],
  ['a header in text', () => ({ text: `authorization: bearer ${canary}` }), 'm'],
  ['a database URL', () => ({ url: `postgres://openos:${canary}@db:5432/openos` }), 'm'],
  ['a password nobody escaped', () => ({ url: `postgresql://openos:p@ss/${canary}@db/openos` }), 'm'],
  ['a NATS URL with a token', () => ({ servers: [`nats://${canary}@nats:4222`] }), 'm'],
  ['a URL object', () => ({ url: new URL(`https://u:${canary}@host/`) }), 'm'],
  ['the message itself', () => ({}), `cannot reach nats://u:${canary}@nats:4222`],
  ['an error', () => new Error(`connect tls://u:${canary}@nats:4222`), 'm'],
  ["an error's cause", () => ({ err: new Error('x', { cause: new Error(`password=${canary}`) }) }), 'm'],
  ['what a client hung on its error', () => ({ err: Object.assign(new Error('x'), { request: { t: canary } }) }), 'm'],
  ['a map', () => ({ env: new Map([['DATABASE', `postgres://a:${canary}@b/c`]]) }), 'm'],
];

test.each(leaks)('a secret does not get into the log: %s', (_, details, message) => {
  const { log, raw } = collecting();
  log.child({ bound: details() }).error(details() as Record<string, unknown>, message);
  expect(raw).toHaveLength(1);
  expect(raw[0]).not.toContain(canary);
});

test('a map entry under a secret name is censored like an object key', () => {
  const { log, raw } = collecting();
  log.info({ env: new Map([['PGPASSWORD', canary]]) }, 'm');
  expect(raw[0]).not.toContain(canary);
});

test('what is no secret stays readable', () => {
  const { log, lines } = collecting();
  log.info({ image: 'reg.example/a@sha256:0123', url: 'https://host/path', note: 'token bucket full' }, 'user@host');
  expect(lines()[0]).toMatchObject({
    image: 'reg.example/a@sha256:0123',
    url: 'https://host/path',
    note: 'token bucket full',
    msg: 'user@host',
  });
});

test('an error is told with its code, its kind and its cause', () => {
  const { log, lines } = collecting();
  log.error({ err: new OperatorError('NotLeader', 'conflict', 'm', { cause: new TypeError('why') }) }, 'failed');
  expect(lines()[0]).toMatchObject({ err: { code: 'NotLeader', kind: 'conflict', cause: { type: 'TypeError' } } });
});

test('a cycle is cut, not followed', () => {
  const { log, lines } = collecting();
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  log.info({ cycle }, 'm');
  expect(lines()[0]).toMatchObject({ cycle: { self: '[cut]' } });
});

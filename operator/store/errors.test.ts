import { describe, expect, test } from 'vitest';
import { OperatorError } from '../kernel/errors.ts';
import { classifyDatabaseError, isUniqueViolation } from './errors.ts';

function answer(code: string, message = 'from the server', more: object = {}): Error {
  return Object.assign(new Error(message), { code, ...more });
}

describe('a database error is classified', () => {
  test.each([
    ['a refused connection', answer('ECONNREFUSED'), 'DatabaseUnavailable', 'retryable'],
    ['every address refused', new AggregateError([answer('ECONNREFUSED')]), 'DatabaseUnavailable', 'retryable'],
    ['a reset connection', answer('ECONNRESET'), 'DatabaseUnavailable', 'retryable'],
    ['a server that starts', answer('57P03'), 'DatabaseUnavailable', 'retryable'],
    ['a terminated backend', answer('57P01'), 'DatabaseUnavailable', 'retryable'],
    ['a statement past its deadline', answer('57014'), 'DatabaseUnavailable', 'retryable'],
    ['too many connections', answer('53300'), 'DatabaseUnavailable', 'retryable'],
    ['a full disk', answer('53100'), 'DatabaseUnavailable', 'retryable'],
    ['a standby', answer('25006'), 'DatabaseUnavailable', 'retryable'],
    ['an answer that never came', new Error('Query read timeout'), 'DatabaseUnavailable', 'retryable'],
    ['an exhausted pool', new Error('timeout exceeded when trying to connect'), 'DatabaseUnavailable', 'retryable'],
    ['a lost connection', new Error('Connection terminated unexpectedly'), 'DatabaseUnavailable', 'retryable'],
    ['a wrong password', answer('28P01'), 'DatabaseAuthFailed', 'retryable'],
    ['an unknown database', answer('3D000'), 'DatabaseAuthFailed', 'retryable'],
    ['a deadlock', answer('40P01'), 'DatabaseContention', 'retryable'],
    ['a missing table', answer('42P01'), 'SchemaOutdated', 'retryable'],
    ['a fault of ours', answer('42601'), 'DatabaseRefused', 'terminal'],
    ['anything else', new Error('what is this'), 'DatabaseRefused', 'terminal'],
    ['not even an error', 'text', 'DatabaseRefused', 'terminal'],
  ])('%s', (_, error, code, kind) => {
    expect(classifyDatabaseError(error)).toMatchObject({ code, kind });
  });

  test('an error of ours stays what it is', () => {
    const ours = new OperatorError('NotLeader', 'conflict', 'over');
    expect(classifyDatabaseError(ours)).toBe(ours);
  });

  test('what the server said, a password perhaps, is not in the message', () => {
    expect(classifyDatabaseError(answer('ECONNREFUSED', 'postgres://u:hunter2@h')).message).not.toContain('hunter2');
  });
});

describe('a unique violation', () => {
  const keys = new Set(['transition_pkey']);

  test('of a named constraint is told apart, also when it is already classified', () => {
    const violation = answer('23505', 'duplicate', { constraint: 'transition_pkey' });
    expect(isUniqueViolation(violation, keys)).toBe(true);
    expect(isUniqueViolation(classifyDatabaseError(violation), keys)).toBe(true);
  });

  test('of another constraint is not meant', () => {
    expect(isUniqueViolation(answer('23505', 'duplicate', { constraint: 'audit_log_pkey' }), keys)).toBe(false);
  });
});

import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ApiError, aborted, classify, hasCode, OperatorError } from './errors.ts';

describe('answers of the API server', () => {
  test.each([
    [409, 'AlreadyExists', 'AlreadyExists', 'conflict'],
    [409, 'Conflict', 'Conflict', 'conflict'],
    [403, 'Forbidden', 'Forbidden', 'retryable'],
    [404, 'NotFound', 'NotFound', 'retryable'],
    [410, 'Expired', 'Expired', 'retryable'],
    [410, 'Gone', 'Expired', 'retryable'],
    [422, 'Invalid', 'Invalid', 'terminal'],
    [429, 'TooManyRequests', 'TooManyRequests', 'retryable'],
    [500, 'InternalError', 'InternalError', 'retryable'],
    [418, '', 'UnexpectedStatus', 'retryable'],
  ])('%i %s is %s, %s', (status, reason, code, kind) => {
    expect(new ApiError('GET /x', status, { reason })).toMatchObject({ code, kind, status, reason });
  });

  test('the wait the server asks for comes from the header or else from the body', () => {
    const body = { details: { retryAfterSeconds: 7 } };
    expect(new ApiError('GET /x', 429, body, 2_000).retryAfterMs).toBe(2_000);
    expect(new ApiError('GET /x', 429, body).retryAfterMs).toBe(7_000);
    expect(new ApiError('GET /x', 429, {}).retryAfterMs).toBeUndefined();
  });

  test('what the server quotes of the object is readable on purpose only', () => {
    const error = new ApiError('POST /pods', 422, { message: 'Invalid value: "hunter2"' });
    expect(error.serverMessage).toContain('hunter2');
    expect(error.message).not.toContain('hunter2');
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('hunter2');
    expect(JSON.stringify({ ...error })).not.toContain('hunter2');
  });

  test('causes are given by reason', () => {
    const details = { causes: [{ reason: 'NamespaceTerminating' }, {}] };
    expect(new ApiError('POST /pods', 403, { details }).causes).toEqual(['NamespaceTerminating']);
  });
});

describe('anything thrown', () => {
  test('an OperatorError stays what it is', () => {
    const error = new OperatorError('NameConflict', 'retryable', 'm');
    expect(classify(error)).toBe(error);
  });

  test('our own giving up is not a panic', () => {
    expect(classify(AbortSignal.abort().reason).code).toBe('Aborted');
    expect(aborted().code).toBe('Aborted');
  });

  test.each([[new TypeError('x is undefined')], ['a string'], [undefined]])('%s is a panic, retried', (thrown) => {
    expect(classify(thrown)).toMatchObject({ code: 'Panic', kind: 'retryable', cause: thrown });
  });

  test('codes can be asked for', () => {
    expect(hasCode(new ApiError('GET /x', 404, {}), 'NotFound')).toBe(true);
    expect(hasCode(new Error('NotFound'), 'NotFound')).toBe(false);
  });
});

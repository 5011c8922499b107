import { describe, expect, test } from 'vitest';
import { FakeClock } from '../testkit/clock.ts';
import { Expectations } from './expectations.ts';

const pod = { name: 'pod-1', uid: 'u1', deleting: false };

function some() {
  const clock = new FakeClock();
  return { clock, expectations: new Expectations(clock) };
}

describe('the cache may be believed', () => {
  test('once a create was seen', () => {
    const { expectations } = some();
    expectations.expectCreate('owner', 'pod-1');
    expect(expectations.satisfied('owner')).toBe(false);
    expect(expectations.satisfied('another owner')).toBe(true);
    expectations.observed('owner', pod);
    expect(expectations.satisfied('owner')).toBe(true);
  });

  test('when what was created is already gone again', () => {
    const { expectations } = some();
    expectations.expectCreate('owner', 'pod-1');
    expectations.observedGone('owner', pod);
    expect(expectations.satisfied('owner')).toBe(true);
  });

  test('once a delete was seen, as a deletion timestamp or as absence, of that UID only', () => {
    const { expectations } = some();
    expectations.expectDelete('owner', 'u1');
    expectations.observed('owner', pod);
    expectations.observedGone('owner', { name: 'pod-1', uid: 'u2' });
    expect(expectations.satisfied('owner')).toBe(false);
    expectations.observed('owner', { ...pod, deleting: true });
    expect(expectations.satisfied('owner')).toBe(true);
    expectations.expectDelete('owner', 'u1');
    expectations.observedGone('owner', pod);
    expect(expectations.satisfied('owner')).toBe(true);
  });

  test('when the request failed', () => {
    const { expectations } = some();
    expectations.expectCreate('owner', 'pod-1');
    expectations.expectDelete('owner', 'u1');
    expectations.cancelCreate('owner', 'pod-1');
    expect(expectations.satisfied('owner')).toBe(false);
    expectations.cancelDelete('owner', 'u1');
    expect(expectations.satisfied('owner')).toBe(true);
  });

  test('after five minutes without news, and not before', () => {
    const { clock, expectations } = some();
    expectations.expectCreate('owner', 'pod-1');
    clock.advanceSync(299_999);
    expect(expectations.expiresInMs('owner')).toBe(1);
    clock.advanceSync(1);
    expect(expectations.satisfied('owner')).toBe(true);
  });

  test('when the owner is forgotten', () => {
    const { expectations } = some();
    expectations.expectCreate('owner', 'pod-1');
    expectations.forget('owner');
    expect(expectations.satisfied('owner')).toBe(true);
  });

  test('and then nothing is kept of it, however its requests ended', () => {
    const { clock, expectations } = some();
    const owners = Array.from({ length: 300 }, (_, n) => `agent-${n}`);
    for (const owner of owners) {
      expectations.expectCreate(owner, 'pod-1');
      expectations.expectDelete(owner, 'u0');
    }
    expect(expectations.owners).toBe(300);
    for (const [n, owner] of owners.entries()) {
      if (n % 3 === 0) expectations.forget(owner);
      if (n % 3 !== 1) continue;
      expectations.observed(owner, { name: 'pod-1', uid: 'u1', deleting: false });
      expectations.observedGone(owner, { name: 'pod-0', uid: 'u0' });
    }
    clock.advanceSync(300_000);
    expect(owners.every((owner) => expectations.satisfied(owner))).toBe(true);
    expect(expectations.owners).toBe(0);
  });
});

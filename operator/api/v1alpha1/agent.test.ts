import { describe, expect, it } from 'vitest';
import { parseAgent } from './agent.ts';

const metadata = {
  name: 'hello',
  namespace: 'acme-agents',
  uid: 'f0a1',
  resourceVersion: '7',
  generation: 1,
  creationTimestamp: '2026-01-01T00:00:00Z',
};

function stored(spec: unknown, more: object = {}): unknown {
  return { apiVersion: 'openos.dev/v1alpha1', kind: 'Agent', metadata, spec, ...more };
}

describe('an Agent from the API server', () => {
  it('is taken as it is, and nothing is filled in', () => {
    const spec = { image: 'a', env: [{ name: 'A', value: 'b' }], template: undefined };
    expect(parseAgent(stored({ image: 'a', env: spec.env }))).toEqual({
      kind: 'valid',
      value: { apiVersion: 'openos.dev/v1alpha1', kind: 'Agent', metadata, spec: { image: 'a', env: spec.env } },
    });
  });

  it('keeps metadata we do not name, and drops fields of the spec we do not know', () => {
    const object = { ...(stored({ image: 'a', later: true }) as object), metadata: { ...metadata, generateName: 'h' } };
    expect(parseAgent(object)).toMatchObject({
      kind: 'valid',
      value: { metadata: { generateName: 'h' }, spec: expect.not.objectContaining({ later: true }) },
    });
  });

  it('with a spec that does not fit is answered with the paths of what is wrong', () => {
    const parsed = parseAgent(stored({ image: '', startupDeadlineSeconds: -1 }));
    expect(parsed).toEqual({
      kind: 'invalid',
      problems: [expect.stringMatching(/^spec\.image: /), expect.stringMatching(/^spec\.startupDeadlineSeconds: /)],
    });
  });

  it('without a spec, or of another kind, is invalid', () => {
    expect(parseAgent(stored(undefined)).kind).toBe('invalid');
    expect(parseAgent({ ...(stored({ image: 'a' }) as object), kind: 'Tenant' }).kind).toBe('invalid');
    expect(parseAgent(undefined).kind).toBe('invalid');
  });

  it('has its status when that fits', () => {
    const status = { observedGeneration: 1, phase: 'Ready', podRef: { name: 'hello-1', uid: 'u' } };
    expect(parseAgent(stored({ image: 'a' }, { status }))).toMatchObject({ kind: 'valid', value: { status } });
  });

  it('is not held responsible for a status of a later version', () => {
    const parsed = parseAgent(stored({ image: 'a' }, { status: { observedGeneration: 1, phase: 'Dreaming' } }));
    expect(parsed).toMatchObject({ kind: 'valid', value: expect.not.objectContaining({ status: expect.anything() }) });
  });
});

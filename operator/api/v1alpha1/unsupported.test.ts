import { describe, expect, it } from 'vitest';
import type { TenantSpec } from './tenant.ts';
import { unsupportedTenantFields } from './unsupported.ts';

describe('fields of a Tenant this version does not act on', () => {
  const cases: readonly (readonly [string, TenantSpec, readonly string[]])[] = [
    ['nothing is supported', {}, []],
    [
      'name, namespaces and runtime classes are supported',
      { displayName: 'A', namespaces: [{ name: 'a' }], runtimeClasses: { default: 'gvisor' } },
      [],
    ],
    ['asking for what happens anyway is supported', { suspend: 'None', deletionPolicy: 'Orphan' }, []],
    [
      'people, amounts, isolation and deletion are supported',
      {
        namespaces: [{ name: 'a' }],
        owners: [],
        quota: {},
        limitRange: { limits: [] },
        network: {},
        podSecurity: {},
        deletionPolicy: 'Delete',
      },
      [],
    ],
    [
      'a quota over several namespaces is not',
      { namespaces: [{ name: 'a' }, { name: 'b' }], quota: {} },
      ['quota over several namespaces'],
    ],
    ['draining is supported', { suspend: 'HoldAndDrain' }, []],
    ['lists of what is allowed are supported', { allowedRegistries: [], priorityClasses: { allowed: [] } }, []],
    ['holding and places are supported', { suspend: 'Hold', nodeSelector: {}, tolerations: [] }, []],
  ];
  it.each(cases)('%s', (_title, spec, expected) => {
    expect(unsupportedTenantFields(spec)).toEqual(expected);
  });
});

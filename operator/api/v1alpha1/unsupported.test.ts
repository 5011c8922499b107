import { describe, expect, it } from 'vitest';
import type { AgentSpec } from './agent.ts';
import type { TenantSpec } from './tenant.ts';
import { unsupportedAgentFields, unsupportedTenantFields } from './unsupported.ts';

describe('fields of an Agent this version does not act on', () => {
  const cases: readonly (readonly [string, AgentSpec, readonly string[]])[] = [
    ['the short form is supported', { image: 'a', startupDeadlineSeconds: 5 }, []],
    ['the full form is supported', { template: { spec: { containers: [{ name: 'a', image: 'a' }] } } }, []],
    ['the readiness gate is supported', { image: 'a', events: { readinessGate: 'BestEffort' } }, []],
    [
      'suspension, runs to completion, recovery and lifecycle are supported',
      { image: 'a', operatingMode: 'Suspended', restartPolicy: 'OnFailure', recovery: {}, lifecycle: {} },
      [],
    ],
    ['claims are not', { image: 'a', volumeClaimTemplates: [] }, ['volumeClaimTemplates']],
    [
      'retention and traffic are not',
      { image: 'a', persistentVolumeClaimRetentionPolicy: {}, networkPolicy: {} },
      ['persistentVolumeClaimRetentionPolicy', 'networkPolicy'],
    ],
  ];
  it.each(cases)('%s', (_title, spec, expected) => {
    expect(unsupportedAgentFields(spec)).toEqual(expected);
  });
});

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

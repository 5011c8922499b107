import { describe, expect, it } from 'vitest';
import { AgentPhase, ConsistencyState, TenantPhase } from './phases.ts';
import { AgentPoolReason, AgentReason, ConditionType, EventsReason, TenantReason } from './reasons.ts';

const vocabularies = {
  AgentPhase,
  TenantPhase,
  ConsistencyState,
  ConditionType,
  AgentReason,
  EventsReason,
  TenantReason,
  AgentPoolReason,
};

describe.each(Object.entries(vocabularies))('%s', (_name, words) => {
  it.each(Object.entries(words))('%s is its own value, as Kubernetes writes such words', (key, value) => {
    expect(value).toBe(key);
    expect(value).toMatch(/^[A-Z][A-Za-z]*$/);
  });
});

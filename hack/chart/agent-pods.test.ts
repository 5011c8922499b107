import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AgentSpec, agentSpecSchema } from '../../operator/api/v1alpha1/agent.ts';
import { agentPod } from '../../operator/resources/agent/pod.ts';
import { anAgent, traceparent } from '../../operator/testkit/builders.ts';
import { benignAgents, violating, violatingAgents } from './arbitrary-agents.ts';
import { podSecurityViolations } from './pod-security.ts';

/** How many Agents there are of each sort; fast-check prints the seed of one that fails. */
const numRuns = 1000;

const podSpecOf = (spec: AgentSpec) =>
  agentPod({ agent: anAgent({ spec }), tenant: 'acme', runtimeClassName: 'gvisor', startSeq: 1, traceparent }).spec;
const violationsOf = (spec: AgentSpec) => podSecurityViolations({ ...podSpecOf(spec) });

describe('the pod of an Agent', () => {
  it(`is restricted whatever is left out or said within the standard, ${numRuns} times`, () => {
    fc.assert(
      fc.property(benignAgents, (spec) => {
        expect(agentSpecSchema.safeParse(spec).error).toBeUndefined();
        expect(violationsOf(spec)).toEqual([]);
      }),
      { numRuns },
    );
  });

  it(`shows what its author asks for beyond the standard, never rewritten, ${numRuns} times`, () => {
    fc.assert(
      fc.property(violatingAgents, ({ spec }) => {
        expect(agentSpecSchema.safeParse(spec).error).toBeUndefined();
        expect(violationsOf(spec)).not.toEqual([]);
      }),
      { numRuns },
    );
  });

  it.each(violating)('that asks for $what is a violation by that alone', ({ into }) => {
    const pod = into({ containers: [{ name: 'agent', image: 'agent' }], volumes: [] });
    expect(violationsOf({ template: { spec: pod } } as unknown as AgentSpec)).not.toEqual([]);
  });
});

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentSpec } from '../../operator/api/v1alpha1/agent.ts';
import { ApiError } from '../../operator/kernel/errors.ts';
import { Transport } from '../../operator/kernel/transport.ts';
import { agentPod } from '../../operator/resources/agent/pod.ts';
import { anAgent, traceparent } from '../../operator/testkit/builders.ts';
import { type LightCluster, lightCluster } from '../../operator/testkit/cluster.ts';
import { benignAgents, violating, violatingAgents } from './arbitrary-agents.ts';

/** How many of each sort the API server is asked about; the pure test asks about a thousand. */
const numRuns = 100;

let cluster: LightCluster;
let server: Transport;
let namespace = '';

beforeAll(async () => {
  cluster = await lightCluster();
  server = new Transport({ credentials: cluster.credentials, version: 'test' });
  namespace = await cluster.createNamespace({ 'pod-security.kubernetes.io/enforce': 'restricted' });
});
afterAll(async () => {
  await server?.close();
  await cluster?.close();
});

/** What the API server says to the pod of such an Agent, in a dry run: accepted, or why not. */
async function verdictOn(spec: AgentSpec): Promise<string> {
  const agent = anAgent({ namespace, spec });
  const body = agentPod({ agent, tenant: 'acme', runtimeClassName: 'gvisor', startSeq: 1, traceparent });
  try {
    await server.request('POST', `/api/v1/namespaces/${namespace}/pods`, { body, query: { dryRun: 'All' } });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return /violates PodSecurity "restricted/.test(error.serverMessage) ? 'refused' : error.serverMessage;
  }
}

describe('Pod Security admission of a real API server', () => {
  it(`accepts the pods of Agents that keep to the standard, ${numRuns} of ${numRuns}`, async () => {
    const accepted = fc.asyncProperty(benignAgents, async (spec) => {
      expect(await verdictOn(spec)).toBe('accepted');
    });
    await fc.assert(accepted, { numRuns });
  });

  it(`lets none of the others through, ${numRuns} of ${numRuns}`, async () => {
    // Two violations together may be no valid pod at all, and are refused for that first.
    const refused = fc.asyncProperty(violatingAgents, async ({ spec }) => {
      expect(await verdictOn(spec)).not.toBe('accepted');
    });
    await fc.assert(refused, { numRuns });
  });

  it.each(violating)('refuses $what', async ({ into }) => {
    const pod = into({ containers: [{ name: 'agent', image: 'agent' }], volumes: [] });
    expect(await verdictOn({ template: { spec: pod } } as unknown as AgentSpec)).toBe('refused');
  });
});

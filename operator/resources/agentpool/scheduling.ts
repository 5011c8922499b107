import type { AgentSpec } from '../../api/v1alpha1/agent.ts';
import type { AgentPool } from '../../api/v1alpha1/agentpool.ts';
import { labels } from '../../api/v1alpha1/names.ts';

const hostname = 'kubernetes.io/hostname';

type Placement = Pick<AgentSpec, 'affinity' | 'topologySpreadConstraints'>;

/**
 * The spec of an Agent with what `scheduling` asks of the scheduler, in the short form or in the full one. Both are
 * wishes: no Agent waits for a better node. As with the scheduler's own defaults, a template that says something
 * itself is not added to: its topologySpreadConstraints stand for Distributed, its podAffinity for Packed.
 */
export function scheduled(spec: AgentSpec, { metadata, spec: { scheduling } }: AgentPool): AgentSpec {
  if (scheduling === undefined) return spec;
  const wish = scheduling === 'Packed' ? packed : distributed;
  const { template } = spec;
  if (template?.spec === undefined) return { ...spec, ...wish(spec, metadata.name) };
  return { ...spec, template: { ...template, spec: { ...template.spec, ...wish(template.spec, metadata.name) } } };
}

function packed({ affinity }: Placement, pool: string): Placement {
  if (affinity?.podAffinity !== undefined) return {};
  const podAffinityTerm = { topologyKey: hostname, labelSelector: membersOf(pool) };
  const podAffinity = { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm }] };
  return { affinity: { ...affinity, podAffinity } };
}

function distributed({ topologySpreadConstraints }: Placement, pool: string): Placement {
  if (topologySpreadConstraints !== undefined) return {};
  const constraint = { topologyKey: hostname, maxSkew: 1, labelSelector: membersOf(pool) };
  return { topologySpreadConstraints: [{ ...constraint, whenUnsatisfiable: 'ScheduleAnyway' }] };
}

function membersOf(pool: string) {
  return { matchLabels: { [labels.pool]: pool } };
}

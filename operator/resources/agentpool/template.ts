import type { AgentPool, AgentPoolSpec } from '../../api/v1alpha1/agentpool.ts';
import { apiVersion, labels } from '../../api/v1alpha1/names.ts';
import type { KubernetesObject } from '../../kernel/object.ts';
import { canonical, shortHash, withoutReserved } from '../naming.ts';
import type { Member } from './member.ts';
import { scheduled } from './scheduling.ts';

export type Template = AgentPoolSpec['template'];

/** Identifies a template as the user wrote it: a new version of OpenOS never starts a roll-out by itself. */
export function revisionOf(template: Template): string {
  return shortHash(canonical(template), 10);
}

/**
 * Names for `count` new Agents that none of the members has. They are drawn from a row of places numbered from 0,
 * always the lowest that are free: so a pass over a cache that is behind asks for names that are taken already, and
 * the API server refuses what would be one too many.
 */
export function freeNames(pool: AgentPool, members: readonly Member[], count: number): readonly string[] {
  const taken = new Set(members.map((member) => member.name));
  const collisions = pool.status?.collisionCount ?? 0;
  const places = Array.from({ length: members.length + count }, (_, place) => memberName(pool, collisions, place));
  return places.filter((name) => !taken.has(name)).slice(0, count);
}

/** `<pool>-<hash>`: at most eleven characters more than the pool's own. */
function memberName({ metadata }: AgentPool, collisions: number, place: number): string {
  return `${metadata.name}-${shortHash(`${metadata.uid}/${collisions}/${place}`, 10)}`;
}

/** The Agent of this name, made from this template, controlled by the pool. */
export function memberAgent(
  pool: AgentPool,
  name: string,
  revision: string,
  template: Template,
): KubernetesObject & { readonly spec: Template['spec'] } {
  const { metadata, spec } = template;
  return {
    apiVersion,
    kind: 'Agent',
    metadata: {
      name,
      namespace: pool.metadata.namespace,
      labels: {
        ...withoutReserved(metadata?.labels),
        [labels.pool]: pool.metadata.name,
        [labels.revision]: revision,
      },
      ...(metadata?.annotations === undefined ? {} : { annotations: withoutReserved(metadata.annotations) }),
      ownerReferences: [
        {
          apiVersion,
          kind: 'AgentPool',
          name: pool.metadata.name,
          uid: pool.metadata.uid,
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    spec: scheduled(spec, pool),
  };
}

/**
 * The template of a revision: the pool's own when it has that revision, else the one its newest Agent was made from
 * (a paused pool whose template has changed already). Undefined when nobody knows it any more.
 */
export function templateOf(pool: AgentPool, members: readonly Member[], revision: string): Template | undefined {
  if (revisionOf(pool.spec.template) === revision) return pool.spec.template;
  const made = members.filter((member) => member.revision === revision);
  const newest = made.toSorted((a, b) => b.createdAt - a.createdAt)[0];
  if (newest === undefined) return undefined;
  const { metadata, spec } = newest.object;
  return {
    metadata: { labels: withoutReserved(metadata.labels), annotations: withoutReserved(metadata.annotations) },
    spec,
  };
}

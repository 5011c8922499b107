import type { Agent, AgentSpec } from '../../api/v1alpha1/agent.ts';
import { annotations, labels } from '../../api/v1alpha1/names.ts';
import type { Action } from '../../kernel/action.ts';
import { apiVersionOf, controllerUid, type StoredObject } from '../../kernel/object.ts';
import { claimResource } from '../builtin.ts';
import { withoutReserved } from '../naming.ts';

/** A claim as the cache holds it. */
export type ClaimObject = StoredObject & { readonly status?: { readonly phase?: string } };

type Template = NonNullable<AgentSpec['volumeClaimTemplates']>[number];
type Owner = Pick<Agent['metadata'], 'name' | 'uid'>;

/** As a StatefulSet names them: `<template>-<agent>`. An Agent that is created again meets its claims by it. */
export function claimName({ metadata }: Template, agent: string): string {
  return `${metadata.name}-${agent}`;
}

/** Creates what is missing of the Agent's claims. They are never applied: what stands under the name may be a stranger's. */
export function createClaims(agent: Agent, tenant: string, claims: readonly ClaimObject[]): readonly Action[] {
  return (agent.spec.volumeClaimTemplates ?? [])
    .filter((template) => {
      const name = claimName(template, agent.metadata.name);
      return !claims.some((claim) => claim.metadata.name === name && isOurs(claim, agent.metadata));
    })
    .map((template) => createClaim(template, agent, tenant));
}

/**
 * With Delete the Agent owns the claim, so that it goes with it. With Retain nothing may take it along: then an
 * annotation, which only the operator can write, says whose it is, and an Agent of the same name takes it over.
 */
function createClaim(template: Template, { apiVersion, kind, metadata, spec }: Agent, tenant: string): Action {
  const { name, namespace, uid } = metadata;
  const isDeleted = spec.persistentVolumeClaimRetentionPolicy?.whenDeleted === 'Delete';
  const owner = { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: false };
  const object = {
    apiVersion: apiVersionOf(claimResource),
    kind: claimResource.kind,
    metadata: {
      name: claimName(template, name),
      namespace,
      labels: {
        ...withoutReserved(template.metadata.labels),
        'app.kubernetes.io/managed-by': 'openos',
        [labels.agent]: name,
        [labels.agentUid]: uid,
        [labels.tenant]: tenant,
      },
      annotations: {
        ...withoutReserved(template.metadata.annotations),
        ...(isDeleted ? {} : { [annotations.retainedFor]: name }),
      },
      ...(isDeleted ? { ownerReferences: [owner] } : {}),
    },
    spec: template.spec,
  };
  return { kind: 'create', resource: claimResource, object, ownershipAnnotation: annotations.retainedFor };
}

/** Ours by its controller, or kept for an Agent of this name. */
function isOurs(claim: StoredObject, { name, uid }: Owner): boolean {
  const controller = controllerUid(claim);
  return controller === undefined ? claim.metadata.annotations?.[annotations.retainedFor] === name : controller === uid;
}

/**
 * The name of a claim the Agent needs that is on its way out, or undefined: its own, or that of an Agent of the same
 * name before it. No pod could use it.
 */
export function leavingClaim({ metadata, spec }: Agent, claims: readonly ClaimObject[]): string | undefined {
  const names = (spec.volumeClaimTemplates ?? []).map((template) => claimName(template, metadata.name));
  const isPredecessors = (claim: ClaimObject) =>
    claim.metadata.ownerReferences?.some(
      ({ controller, kind, name, uid }) =>
        controller === true && kind === 'Agent' && name === metadata.name && uid !== metadata.uid,
    ) === true;
  const leaving = claims.find(
    (claim) =>
      names.includes(claim.metadata.name) && (claim.metadata.deletionTimestamp !== undefined || isPredecessors(claim)),
  );
  return leaving?.metadata.name;
}

/** Claims of an Agent that is gone which never got a volume: there is nothing in them to retain. */
export function emptyClaims(owner: Owner, claims: readonly ClaimObject[]): readonly ClaimObject[] {
  return claims.filter((claim) => isOurs(claim, owner) && claim.status?.phase === 'Pending');
}

/** Claims that go while the Agent is suspended by its own wish: `whenScaled: Delete`. */
export function surplusClaims({ metadata, spec }: Agent, claims: readonly ClaimObject[]): readonly ClaimObject[] {
  const { whenScaled } = spec.persistentVolumeClaimRetentionPolicy ?? {};
  if (whenScaled !== 'Delete' || spec.operatingMode !== 'Suspended') return [];
  return claims.filter((claim) => isOurs(claim, metadata));
}

export function deleteClaims(claims: readonly ClaimObject[]): readonly Action[] {
  return claims
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata: { name, namespace = '', uid } }) => ({
      kind: 'delete',
      ref: { resource: claimResource, namespace, name },
      uid,
    }));
}

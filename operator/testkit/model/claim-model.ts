import { type ClaimObject, claimName } from '../../resources/agent/claims.ts';
import { aClaim } from '../builders.ts';
import type { ModelPod } from './pod-model.ts';
import { type ModelState, specOf } from './state.ts';

/** The claim of the agent's name, as the cluster holds it. */
export type ModelClaim = {
  readonly uid: string;
  /** Controlled by the agent, kept for an Agent of its name, left by an Agent of that name before it, or anybody's. */
  readonly owner: 'agent' | 'kept' | 'predecessor' | 'stranger';
  readonly phase: 'Pending' | 'Bound' | 'Lost';
  readonly deleting: boolean;
};

/** Whether one with this claim can be used by a pod that has yet to start. */
export function isUsable({ phase, deleting }: ModelClaim): boolean {
  return phase === 'Bound' && !deleting;
}

export function asksForClaim(state: ModelState): boolean {
  return specOf(state.wish).volumeClaimTemplates !== undefined;
}

type Claims = Pick<ModelState, 'claims'> | undefined;

/** What binder, pvc-protection and garbage collector do next, each at its own time. */
export const claimCourses: Readonly<Record<string, (state: ModelState) => Claims>> = {
  // As most storage classes have it: when there is a pod to be near to.
  'the claim is bound': (state) =>
    each((claim) => {
      const isDue = claim.phase === 'Pending' && !claim.deleting && state.pods.some(({ mounts }) => mounts);
      return isDue ? { ...claim, phase: 'Bound' } : claim;
    })(state),
  'the claim is gone': (state) => each((claim) => (claim.deleting && !isInUse(state.pods) ? undefined : claim))(state),
  'the owner of the claim is gone, and so the claim goes': (state) =>
    each((claim) => {
      const isOrphan = claim.owner === 'predecessor' || (claim.owner === 'agent' && state.agent === undefined);
      return isOrphan && !claim.deleting ? { ...claim, deleting: true } : claim;
    })(state),
  'the stranger takes his claim away': each((claim) => (claim.owner === 'stranger' ? undefined : claim)),
};

/** A change of every claim; nothing when there is none that changes. */
export function each(change: (claim: ModelClaim) => ModelClaim | undefined): (state: ModelState) => Claims {
  return ({ claims }) => {
    const after = claims.flatMap((claim) => change(claim) ?? []);
    const isSame = after.length === claims.length && after.every((claim, index) => claim === claims[index]);
    return isSame ? undefined : { claims: after };
  };
}

/** A pod without a node keeps no claim. */
function isInUse(pods: readonly ModelPod[]): boolean {
  return pods.some(({ mounts, scheduled }) => mounts && scheduled === true);
}

export function claimObject({ uid, owner, phase, deleting }: ModelClaim): ClaimObject {
  const controller = { apiVersion: 'openos.dev/v1alpha1', kind: 'Agent', name: 'scout', controller: true };
  const owners = { agent: 'agent-uid', predecessor: 'predecessor-uid' } as const;
  return aClaim({
    name: claimName({ metadata: { name: 'data' } } as Parameters<typeof claimName>[0], 'scout'),
    uid,
    phase,
    ...(owner === 'kept' ? {} : { annotations: {} }),
    ...(owner === 'agent' || owner === 'predecessor'
      ? { ownerReferences: [{ ...controller, uid: owners[owner] }] }
      : {}),
    ...(deleting ? { deletionTimestamp: '2030-01-01T00:00:00Z' } : {}),
  });
}

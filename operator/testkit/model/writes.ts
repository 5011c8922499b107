import type { Action } from '../../kernel/action.ts';
import type { AgentPod } from '../../resources/agent/pod.ts';
import { claimResource, podResource } from '../../resources/builtin.ts';
import { agentResource } from '../../resources/own.ts';
import { recorded, told } from './outbox-model.ts';
import { changed, lastOf, type ModelState, type Write } from './state.ts';

/** Not carried out: tried again in another pass, forbidden, or in the way of a stranger's object. */
export type Refused = 'retried' | 'forbidden' | 'conflict';
type Done = Partial<ModelState> & { readonly failed?: Refused | undefined };

/** One write as the API server or the database takes it, or refuses it. `late`: its sender is no more. */
export function carriedOut(state: ModelState, write: Write, toldAtOnce = false, late = false): Done {
  switch (write.kind) {
    case 'record': {
      if (!state.database || (lastOf(state)?.seq ?? 0) !== write.after) return { failed: 'retried' };
      const rows = recorded(state.rows, write.transitions);
      const ready = write.transitions.find(({ to }) => to === 'Ready');
      const firstReadyAt = state.firstReadyAt ?? ready?.observedAt;
      return { firstReadyAt, ...(toldAtOnce ? told(rows, state.now) : { rows }) };
    }
    case 'action':
      return acted(state, write.action, late);
    case 'status': {
      const { agent, behind } = state;
      if (agent === undefined) return {};
      if (agent.metadata.resourceVersion !== write.version) return { failed: 'retried' };
      const written = changed(agent, { status: write.status });
      // What we wrote ourselves we know before the watch tells it.
      return { agent: written, woken: true, behind: behind && { ...behind, agent: written } };
    }
    default:
      return write satisfies never;
  }
}

function acted(state: ModelState, action: Action, late: boolean): Done {
  if (action.kind === 'create')
    return action.resource === podResource ? podMade(state, action, late) : claimMade(state, action);
  if (action.kind !== 'delete') return {};
  if (action.ref.resource === agentResource) return state.agent === undefined ? {} : { agent: undefined, woken: true };
  return action.ref.resource === claimResource ? claimDeleted(state, action.uid) : podDeleted(state, action.uid);
}

type Create = Extract<Action, { readonly kind: 'create' }>;

function podMade({ pods, now, refused, behind }: ModelState, { object }: Create, late: boolean): Done {
  const { name } = object.metadata;
  if (refused === 'pods') return { failed: 'forbidden' };
  const shown = behind?.pods ?? pods;
  // A POST under a name that stands changes nothing: the executor finds that it is ours, and waits to see it.
  if (pods.some((pod) => pod.name === name)) {
    if (late || shown.some((pod) => pod.name === name && pod.seen)) return {};
    return { pods: pods.map((pod) => (pod.name === name ? { ...pod, seen: false, expected: true } : pod)) };
  }
  const { containers, volumes } = (object as AgentPod).spec;
  const mounts = volumes?.some((volume) => volume.persistentVolumeClaim !== undefined) === true;
  const image = containers[0]?.image ?? '';
  const pod = { name, image, uid: `uid-of-${name}`, createdAt: now, seen: late, expected: !late, late, mounts };
  return { pods: [...pods, pod], ...(late ? { woken: true } : {}) };
}

function claimMade({ claims, refused, rows, now }: ModelState, { object }: Create): Done {
  const [standing] = claims;
  if (refused === 'claims' && standing === undefined) return { failed: 'forbidden' };
  if (standing !== undefined)
    return standing.owner === 'agent' || standing.owner === 'kept' ? {} : { failed: 'conflict' };
  const owner = object.metadata.ownerReferences === undefined ? 'kept' : 'agent';
  const uid = `claim-of-${lastOf({ rows })?.seq}-${now}`;
  return { claims: [{ uid, owner, phase: 'Pending', deleting: false }], woken: true };
}

function claimDeleted({ claims }: ModelState, uid: string): Done {
  if (!claims.some((claim) => claim.uid === uid && !claim.deleting)) return {};
  return { claims: claims.map((claim) => (claim.uid === uid ? { ...claim, deleting: true } : claim)), woken: true };
}

function podDeleted({ pods }: ModelState, uid: string): Done {
  if (!pods.some((pod) => pod.uid === uid && !pod.deleting)) return {};
  const left = pods.flatMap((pod) => (pod.uid !== uid ? [pod] : pod.scheduled ? [{ ...pod, deleting: true }] : []));
  return { pods: left, woken: true };
}

import type { EventAction } from '../kernel/action.ts';
import { type Condition, findCondition, sameStatus, setCondition } from '../kernel/conditions.ts';
import type { OperatorError } from '../kernel/errors.ts';
import { settled } from '../kernel/outcome.ts';
import type { Explanation } from '../kernel/reconcile.ts';

type Conditioned = { readonly observedGeneration: number; readonly conditions?: readonly Condition[] };

type Resource<Status extends Conditioned> = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly generation: number;
  };
  readonly status?: Status;
};

const reason = 'EventInvalid';

/**
 * How an object looks of which something has to be told that fits no schema: consumers were promised one, so nothing is
 * recorded, and what is not recorded is not done. Only another version of the operator can help. Undefined for any
 * other error, and where there is no object to show it.
 */
export function explainUntold<Status extends Conditioned>(
  object: Resource<Status> | undefined,
  error: OperatorError,
  now: number,
): Explanation<Status> | undefined {
  if (object === undefined || error.code !== reason) return undefined;
  const { apiVersion, kind, metadata, status } = object;
  const message = `What happened cannot be told, by a fault of the operator: ${error.message}. Nothing more is recorded or done here until a corrected version runs.`;
  const previous = status?.conditions ?? [];
  const stamp = { generation: metadata.generation, now };
  const conditions = (['EventsPublished', 'Stalled'] as const).reduce<readonly Condition[]>(
    (list, type) => setCondition(list, { type, status: type === 'Stalled' ? 'True' : 'False', reason, message }, stamp),
    previous.filter(({ type }) => type !== 'Reconciling'),
  );
  const next = { ...status, observedGeneration: metadata.generation, conditions } as Status;
  if (sameStatus(status, next)) return { outcome: settled };
  if (findCondition(previous, 'Stalled')?.reason === reason) return { status: next, outcome: settled };
  const { name, namespace, uid } = metadata;
  const regarding = { apiVersion, kind, name, uid, ...(namespace === undefined ? {} : { namespace }) };
  const event: EventAction = { kind: 'event', type: 'Warning', regarding, reason, action: 'Record', note: message };
  return { events: [event], status: next, outcome: settled };
}

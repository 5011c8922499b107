import { isDeepStrictEqual } from 'node:util';

/** `metav1.Condition`. Times are RFC 3339 with whole seconds. */
export type Condition = {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
};

/** What a builder says about one condition; the generation and the times are stamped here. */
export type ConditionFact = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** What the kstatus library needs to know: work goes on, a person must act, or neither. Never both. */
export type Progress =
  | { readonly kind: 'steady' }
  | { readonly kind: 'reconciling'; readonly reason: string; readonly message: string }
  | { readonly kind: 'stalled'; readonly reason: string; readonly message: string };

export type Stamp = {
  /** `metadata.generation` of the object that was observed. */
  readonly generation: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
};

/** Milliseconds since the epoch as a Kubernetes timestamp. */
export function timestamp(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19)}Z`;
}

/**
 * The complete new list of conditions: exactly the `facts`, plus Reconciling or Stalled as `progress`
 * says. Each carries the current generation (`kubectl wait` ignores an older one);
 * lastTransitionTime is kept while the status stays the same. In a stable order, so that equal facts
 * give an equal list.
 */
export function conditionsFrom(
  facts: readonly ConditionFact[],
  progress: Progress,
  previous: readonly Condition[],
  stamp: Stamp,
): readonly Condition[] {
  return [...facts, ...progressFacts(progress)].reduce<readonly Condition[]>(
    (list, fact) => setCondition(list, fact, stamp, previous),
    [],
  );
}

/** The list with this one condition set; `previous` is where its lastTransitionTime is looked up. */
export function setCondition(
  list: readonly Condition[],
  fact: ConditionFact,
  stamp: Stamp,
  previous: readonly Condition[] = list,
): readonly Condition[] {
  const before = findCondition(previous, fact.type);
  const condition: Condition = {
    type: fact.type,
    status: fact.status,
    reason: fact.reason,
    message: fact.message,
    observedGeneration: stamp.generation,
    lastTransitionTime: before?.status === fact.status ? before.lastTransitionTime : timestamp(stamp.now),
  };
  return [...removeCondition(list, fact.type), condition].sort(byRankThenType);
}

export function removeCondition(list: readonly Condition[], type: string): readonly Condition[] {
  return list.filter((condition) => condition.type !== type);
}

export function findCondition(list: readonly Condition[], type: string): Condition | undefined {
  return list.find((condition) => condition.type === type);
}

export function isTrue(list: readonly Condition[], type: string): boolean {
  return findCondition(list, type)?.status === 'True';
}

/** Whether two statuses say the same, whatever the order of their keys: then nothing is written. */
export function sameStatus(left: unknown, right: unknown): boolean {
  return isDeepStrictEqual(withoutUndefined(left), withoutUndefined(right));
}

function progressFacts(progress: Progress): readonly ConditionFact[] {
  if (progress.kind === 'steady') return [];
  const { kind, reason, message } = progress;
  return [{ type: kind === 'stalled' ? 'Stalled' : 'Reconciling', status: 'True', reason, message }];
}

const ranks: Readonly<Record<string, number>> = { Ready: 0, Reconciling: 1, Stalled: 2 };

function byRankThenType(left: Condition, right: Condition): number {
  const difference = (ranks[left.type] ?? 3) - (ranks[right.type] ?? 3);
  if (difference !== 0) return difference;
  return left.type < right.type ? -1 : Number(left.type > right.type);
}

// A key with the value undefined never reaches the server: it must not look like a change.
function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries.map(([key, member]) => [key, withoutUndefined(member)]));
}

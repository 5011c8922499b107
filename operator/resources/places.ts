/** Phases of an Agent that hold no place of the tenant's quota: it has no pod, or one that has ended. */
const restingAgent = ['Suspended', 'Completed', 'Failed', 'Deleted'] as const;

/**
 * What counts against a tenant's quota, by kind: everything recorded but what rests in one of these phases. Leaving
 * (Terminating) changes nothing: who held a place keeps it until its last pod is gone.
 */
export const placeRules = {
  agent: { kind: 'agent', resource: 'agents', resting: restingAgent, leaving: 'Terminating' },
  agentpool: { kind: 'agentpool', resource: 'pools', resting: ['Deleted'] },
} as const;

type Row = { readonly from?: string; readonly to: string };
type Rule = { readonly resting: readonly string[]; readonly leaving?: string };

/** Whether an aggregate whose newest row this is holds a place; nobody does before the first row. */
export function holdsPlace({ resting, leaving }: Rule, row: Row | undefined): boolean {
  if (row === undefined) return false;
  return !resting.includes(row.to === leaving ? (row.from ?? '') : row.to);
}

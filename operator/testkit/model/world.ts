import { claimCourses } from './claim-model.ts';
import type { Move } from './explore.ts';
import { eventCourses } from './outbox-model.ts';
import { podMoves } from './pod-model.ts';
import type { Change, ModelState } from './state.ts';
import { carriedOut } from './writes.ts';

/** What a change touches. */
export type Touched = 'operator' | 'world' | 'pods' | 'agent' | 'database';

/** What happens by itself, sooner or later, beside what pods do. */
export const courses: Readonly<
  Record<string, { readonly on: Touched; readonly change: (state: ModelState) => Change }>
> = {
  ...each('world', claimCourses),
  ...each('world', Object.fromEntries(Object.entries(eventCourses).map(([name, { change }]) => [name, change]))),
  ...each('world', {
    'the database is back': ({ database }) => (database ? undefined : { database: true }),
    'the broker is back': ({ broker }) => (broker ? undefined : { broker: true }),
    'the runtime class is back': ({ runtimeClass }) => (runtimeClass ? undefined : { runtimeClass: true }),
    'a Tenant has the namespace and holds nothing': ({ tenancy }) =>
      tenancy === 'Active' ? undefined : { tenancy: 'Active' },
    'the API server refuses no more': ({ refused }) => (refused === 'nothing' ? undefined : { refused: 'nothing' }),
    'the caches catch up': ({ behind }) => (behind === undefined ? undefined : { behind: undefined }),
    'the request of a killed operator arrives': (state) => {
      const { onTheWire } = state;
      if (onTheWire === undefined) return undefined;
      const { failed: _, ...done } = carriedOut(state, onTheWire, false, true);
      return { ...done, onTheWire: undefined };
    },
  }),
};

function each(on: Touched, changes: Readonly<Record<string, (state: ModelState) => Change>>) {
  return Object.fromEntries(Object.entries(changes).map(([name, change]) => [name, { on, change }]));
}

/** What the pods themselves do next. */
export function podCourses(state: ModelState): readonly Omit<Move<ModelState>, 'fair'>[] {
  const visible = state.behind === undefined ? state.pods : state.pods.filter(({ seen }) => seen);
  return visible.flatMap((pod) =>
    podMoves(pod, state.now, state.claims).map(({ name, to }) => {
      const pods = state.pods.flatMap((each) => (each !== pod ? [each] : to === undefined ? [] : [to]));
      return { name, to: { ...state, pods, woken: true } };
    }),
  );
}

/** Time passes by itself when nothing else can happen; a world that is slower than that is one that disturbs. */
export const time = {
  name: 'time passes until the operator looks again',
  change: ({ pass, woken, due, now }: ModelState): Change =>
    pass === undefined && !woken && due !== undefined && due > now ? { now: due, woken: false } : undefined,
} as const;

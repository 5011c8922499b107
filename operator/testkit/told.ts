import { expect } from 'vitest';
import type { World } from './world.ts';

/** Exactly these events, recorded and on the stream: in order, without a gap, each once and under one id. */
export async function expectTold(world: World, uid: string, phase: string, types: readonly string[]): Promise<void> {
  const rows = await world.recorded(uid, phase);
  expect(rows.map(({ eventType }) => eventType)).toEqual(types);
  expect(rows.map(({ seq }) => seq)).toEqual(types.map((_, index) => index + 1));
  const told = (await world.events(uid)).map(({ event }) => event);
  const firsts = told.filter((event, at) => told.findIndex((other) => other.event_id === event.event_id) === at);
  expect(firsts.map((event) => event.event_id)).toEqual(rows.map(({ eventId }) => eventId));
  expect(firsts.map((event) => event.sequence)).toEqual(rows.map(({ seq }) => seq));
}

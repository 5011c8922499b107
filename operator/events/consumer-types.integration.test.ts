import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EventOf, OpenOSEvent } from './schemas/generated/events.generated.d.ts';
import type { AnyEvent } from './schemas/index.ts';

/** Consumers compile against a file that needs nothing of ours beside it. */

const types = join(import.meta.dirname, 'schemas/generated/events.generated.d.ts');
const tsc = join(import.meta.dirname, '../../node_modules/.bin/tsc');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'openos-consumer-'));
  await copyFile(types, join(folder, 'events.d.ts'));
});
afterAll(() => rm(folder, { recursive: true }));

const consumer = `
import type { EventOf, OpenOSEvent } from './events';

export function told(event: OpenOSEvent): string {
  if (event.event_type === 'agent.ready') return event.tenant_id + event.data.startLatencyMilliseconds.toFixed();
  if (event.event_type === 'agent.skipped') return event.data.skippedEventId;
  return event.event_id + event.sequence;
}

export function used(event: EventOf<'tenant.quota_exceeded'>): readonly string[] {
  return Object.keys(event.data.used);
}
`;

test.each([
  ['compiles with the types', '', true],
  [
    'is told what an event does not have',
    "export const no = (event: EventOf<'agent.ready'>) => event.data.replicas;",
    false,
  ],
  ['is told which events there are not', "export type No = EventOf<'agent.exploded'>;", false],
])('a consumer outside of the repository %s', async (_, more, compiles) => {
  const file = join(folder, 'consumer.ts');
  await writeFile(file, `${consumer}\n${more}\n`);
  const options = ['--ignoreConfig', '--noEmit', '--strict', '--target', 'es2022', '--types', ''];
  const compiled = promisify(execFile)(tsc, [...options, file]).then(
    () => '',
    ({ stdout }: { readonly stdout: string }) => stdout,
  );
  if (compiles) expect(await compiled).toBe('');
  else expect(await compiled).toMatch(/consumer\.ts\(\d+,\d+\): error TS/);
});

/** As JSON has it: what is optional is there or not, and never undefined. */
type Told<Event> = Event extends object ? { [Field in keyof Event]: Told<Exclude<Event[Field], undefined>> } : Event;

test('the types are those of the schemas', () => {
  // The compiler answers: what one says of an event the other says too.
  const given = (event: Told<AnyEvent>): OpenOSEvent => event;
  const taken = (event: OpenOSEvent): Told<AnyEvent> => event;
  const one = { event_type: 'tenant.resumed', data: { name: 'acme', reason: 'Resumed' } } as EventOf<'tenant.resumed'>;
  expect(given(taken(one))).toBe(one);
});

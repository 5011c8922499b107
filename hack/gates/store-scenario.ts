import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { types } from 'node:util';
import { hasCode } from '../../operator/kernel/errors.ts';
import { StoreErrorCode } from '../../operator/store/errors.ts';
import {
  countMissed,
  haltAcknowledging,
  hasPublished,
  keepAcknowledgedSeq,
  keepKnownConsumers,
  listUnacknowledged,
  markAcknowledged,
  readKnownConsumers,
  readStreamWatermark,
} from '../../operator/store/repositories/acknowledgement.ts';
import { adopt, compareFound, type FoundEvent, newestRecordedAt } from '../../operator/store/repositories/adoption.ts';
import {
  closeDiscontinuity,
  keepDoubt,
  listInStream,
  listPublishedBelow,
  openDiscontinuity,
  readStreamAccount,
  sampleInStream,
} from '../../operator/store/repositories/audit.ts';
import { countEvents, eventsAfter, neighboursOf, newestEvents } from '../../operator/store/repositories/event-log.ts';
import {
  markExpired,
  markRedelivered,
  markSkipped,
  requeue,
  returnToPending,
} from '../../operator/store/repositories/event-repair.ts';
import { openAggregates, openAggregatesOf, readHistory } from '../../operator/store/repositories/history.ts';
import { currentEpoch, takeOver } from '../../operator/store/repositories/leadership.ts';
import {
  bookPlaces,
  ledgerUse,
  markExceeded,
  placesUsed,
  recountPlaces,
} from '../../operator/store/repositories/ledger.ts';
import {
  claimHeads,
  deadLetter,
  greatestStreamSeq,
  markAttemptFailed,
  markPublished,
  outboxStats,
  releaseLeases,
} from '../../operator/store/repositories/outbox.ts';
import {
  forgetProjection,
  listProjected,
  park,
  project,
  projectedHistory,
  projectionPosition,
} from '../../operator/store/repositories/projection.ts';
import { type Recording, recordTransitions } from '../../operator/store/repositories/recording.ts';
import {
  removeAuditRows,
  removeEndedAggregates,
  removeParked,
  removeSettledEvents,
} from '../../operator/store/repositories/retention.ts';
import type { Db } from '../../operator/store/tables/index.ts';
import { unitOfWork } from '../../operator/store/unit-of-work.ts';
import { anOutboxRow, aRecording, aTransition } from '../../operator/testkit/store.ts';
import type { Verdict } from './verdict.ts';

const repositories = join(import.meta.dirname, '../../operator/store/repositories');

const exercised = [
  adopt,
  bookPlaces,
  claimHeads,
  closeDiscontinuity,
  compareFound,
  countEvents,
  countMissed,
  currentEpoch,
  deadLetter,
  eventsAfter,
  forgetProjection,
  greatestStreamSeq,
  haltAcknowledging,
  hasPublished,
  keepAcknowledgedSeq,
  keepDoubt,
  keepKnownConsumers,
  ledgerUse,
  listInStream,
  listProjected,
  listPublishedBelow,
  listUnacknowledged,
  markAcknowledged,
  markAttemptFailed,
  markExceeded,
  markExpired,
  markPublished,
  markRedelivered,
  markSkipped,
  neighboursOf,
  newestEvents,
  newestRecordedAt,
  openAggregates,
  openAggregatesOf,
  openDiscontinuity,
  outboxStats,
  park,
  placesUsed,
  project,
  projectedHistory,
  projectionPosition,
  readHistory,
  readKnownConsumers,
  readStreamAccount,
  readStreamWatermark,
  recordTransitions,
  recountPlaces,
  releaseLeases,
  removeAuditRows,
  removeEndedAggregates,
  removeParked,
  removeSettledEvents,
  requeue,
  returnToPending,
  sampleInStream,
  takeOver,
] as const;

/** Every function that the repositories export, by name. */
export async function storeFunctions(): Promise<Readonly<Record<string, unknown>>> {
  const files = (await readdir(repositories)).filter((name) => /^[^.]+\.ts$/.test(name));
  const modules = await Promise.all(files.map((name): Promise<object> => import(join(repositories, name))));
  return Object.assign({}, ...modules);
}

/** Whether `exerciseStore` calls all that issue statements: those of the others would be in no snapshot. */
export function checkExercised(functions: Readonly<Record<string, unknown>>): Verdict {
  const known: ReadonlySet<unknown> = new Set(exercised);
  const asking = Object.entries(functions).filter(([, value]) => types.isAsyncFunction(value));
  const findings = asking
    .filter(([, value]) => !known.has(value))
    .map(([where]) => ({
      where,
      broke: 'is not exercised: nobody would notice that a later schema answers it otherwise',
      fix: 'Call it in hack/gates/store-scenario.ts.',
    }));
  return { checked: asking.length === 0 ? [] : [`${asking.length} functions of the store are exercised`], findings };
}

/**
 * Calls every function of the repositories once or more, one after the other, as the operator would.
 * `digit` (0–9, a–f) begins all ids, so that a database can be exercised again under another one.
 * Deterministic on an empty database but for times. Throws when a function does not do its work.
 */
export async function exerciseStore(db: Db, digit: string): Promise<void> {
  await takeOver(db, 'gate');
  const { epoch } = await currentEpoch(db);
  await record(db, epoch, digit);
  await publish(db, digit);
  await leaveOpen(db, epoch, digit);
  await holdPlaces(db, epoch, digit);
  await acknowledge(db);
  await tell(db, digit);
  await repairEvents(db, digit);
  await audit(db);
  await adoptLost(db, epoch, digit);
  await retain(db);
}

async function record(db: Db, epoch: number, digit: string): Promise<void> {
  const [first, second] = [id(digit, 1), id(digit, 2)];
  const phases = ['Created', 'Scheduled', 'Starting'];
  await recordTransitions(db, recording(epoch, first, 0, phases));
  await unitOfWork(db, epoch, async (trx) => {
    await recordTransitions(trx, recording(epoch, first, 3, ['Ready']));
    await recordTransitions(trx, recording(epoch, second, 0, ['Created', 'Deleted']));
  });
  await refused(StoreErrorCode.SequenceConflict, recordTransitions(db, recording(epoch, first, 0, phases)));
  await refused(StoreErrorCode.NotLeader, recordTransitions(db, recording(epoch - 1, first, 4, ['Unready'])));
  const history = await readHistory(db, 'agent', first);
  if (history.last?.seq !== 4) throw new Error('the history does not end where it was recorded to');
  const open = new Set<string>();
  for await (const each of openAggregates(db, 'agent')) open.add(each.id);
  if (!open.has(first)) throw new Error('an open aggregate is not listed');
}

async function publish(db: Db, digit: string): Promise<void> {
  const owner = 'gate';
  const claim = { owner, leaseMs: 10_000, heads: 8, runLength: 8, lowerBound: 0 };
  const [head] = await claimHeads(db, claim);
  if (head === undefined) throw new Error('nothing could be claimed');
  await releaseLeases(db, owner);
  const claimed = await claimHeads(db, claim);
  const [poison, ...rest] = claimed;
  if (poison === undefined || rest.length === 0) throw new Error('what was released could not be claimed again');
  const refusal = { eventId: poison.eventId, owner, error: 'EventTooLarge: more than the broker takes' };
  if (!(await markAttemptFailed(db, refusal, 0))) throw new Error('an attempt was not counted');
  const [again] = await claimHeads(db, claim);
  if (again === undefined) throw new Error('an event did not come again after its attempt');
  if (!(await deadLetter(db, { ...refusal, eventId: again.eventId }))) throw new Error('an event was not parked');
  const marks = claimed.map(({ eventId }, index) => mark(eventId, index + 1));
  const marked = await markPublished(db, marks);
  if (marked.length !== claimed.length) throw new Error(`${marked.length} of ${claimed.length} events were marked`);
  await releaseLeases(db, owner, [id(digit, 9)]);
  await outboxStats(db);
  if ((await greatestStreamSeq(db)) < claimed.length) throw new Error('the greatest sequence is not known');
}

/** What an upgrade finds: a dead letter and what waits behind it. */
async function leaveOpen(db: Db, epoch: number, digit: string): Promise<void> {
  await recordTransitions(db, recording(epoch, id(digit, 3), 0, ['Created', 'Scheduled']));
  const [head] = await claimHeads(db, { owner: 'gate', leaseMs: 10_000, heads: 1, runLength: 1, lowerBound: 0 });
  const refusal = { eventId: head?.eventId ?? '', owner: 'gate', error: 'EventTooLarge: more than the broker takes' };
  if (!(await deadLetter(db, refusal))) throw new Error('an event was not parked');
}

async function holdPlaces(db: Db, epoch: number, digit: string): Promise<void> {
  const holder = id(digit, 4);
  const place = { kind: 'take', resource: 'agents', tenantId: 'acme', namespace: 'team', limit: 1_000 } as const;
  await recordTransitions(db, { ...recording(epoch, holder, 0, ['Created']), place });
  if ((await placesUsed(db, 'acme', 'agents')) < 1) throw new Error('a place was not taken');
  await markExceeded(db, 'acme', 'agents', true, 'gate');
  await unitOfWork(db, epoch, async (trx) => {
    await bookPlaces(trx, 'acme', ['team'], 'gate');
    await recountPlaces(trx, [{ kind: 'agent', resource: 'agents', resting: ['Deleted'] }], 'gate');
  });
  if (!(await ledgerUse(db, 'acme', ['team'])).exceeded.includes('agents')) throw new Error('an excess was forgotten');
  await recordTransitions(db, { ...recording(epoch, holder, 1, ['Deleted']), place: { kind: 'release' } });
  await openAggregatesOf(db, 'agent', 'acme');
}

async function acknowledge(db: Db): Promise<void> {
  await readStreamWatermark(db, streamCreated);
  const range = { streamCreated, from: 1, through: 2, except: [], limit: 10 };
  const listed = await listUnacknowledged(db, range);
  const ids = listed.map(({ eventId }) => eventId);
  if ((await markAcknowledged(db, ids)).length === 0) throw new Error('nothing was acknowledged');
  await keepAcknowledgedSeq(db, streamCreated, 2);
  await keepKnownConsumers(db, [{ name: 'billing', incarnation: 'one', startSeq: 1, floorSeq: 2 }]);
  await readKnownConsumers(db);
  await haltAcknowledging(db, 'another', 'its numbers are not ours');
}

async function tell(db: Db, digit: string): Promise<void> {
  const position = { streamCreated, streamSeq: 1 };
  const aggregateId = id(digit, 1);
  const what = { eventType: 'agent.created', kind: 'agent', tenantId: 'acme', data: { phase: 'Created' } };
  const occurredAt = new Date('2030-01-01T00:00:00Z');
  await project(db, [{ ...position, ...what, eventId: id(digit, 8), aggregateId, sequence: 1, occurredAt }], position);
  await park(db, {
    streamCreated,
    streamSeq: 2,
    subject: 'openos.events.acme',
    payload: '{',
    error: 'EventInvalid: no',
  });
  if ((await projectedHistory(db, aggregateId)).length !== 1) throw new Error('an event was not projected');
  await listProjected(db, 'agent', 'acme');
  await projectionPosition(db);
  await forgetProjection(db, position);
}

async function repairEvents(db: Db, digit: string): Promise<void> {
  const filter = { aggregateId: id(digit, 3) };
  const [dead] = await newestEvents(db, { ...filter, states: ['DeadLettered'] }, 1);
  if (dead === undefined || (await countEvents(db, filter)) !== 2) throw new Error('a dead letter is not found');
  await eventsAfter(db, filter, undefined, 1);
  await neighboursOf(db, dead);
  await requeue(db, [id(digit, 9)], gate);
  if (!(await markSkipped(db, mark(dead.eventId, 8), gate))) throw new Error('a dead letter was not skipped');
  const [out] = await newestEvents(db, { aggregateId: id(digit, 1), states: ['Acknowledged'] }, 1);
  if (out === undefined || out.streamSeq === null) throw new Error('an event that was acknowledged is not found');
  if (!(await markRedelivered(db, mark(out.eventId, 9), out.streamSeq, gate)))
    throw new Error('its copy was not noted');
  await returnToPending(db, [id(digit, 9)], gate);
}

/** The stream ends below what was recorded, and is as it should be again. */
async function audit(db: Db): Promise<void> {
  await openDiscontinuity(db, streamCreated, 'it ends below what was recorded');
  await keepDoubt(db, streamCreated, 3, 4);
  const { greatestSeq, haltedReason } = await readStreamAccount(db, streamCreated);
  if (haltedReason === undefined) throw new Error('a discontinuity was forgotten');
  const [first] = await listInStream(db, undefined, 1);
  if (first === undefined) throw new Error('nothing is known to be in the stream');
  if ((await sampleInStream(db, streamCreated, [first.eventId])).length !== 1) throw new Error('a sample is empty');
  const [aged] = await listPublishedBelow(db, streamCreated, greatestSeq + 1, 1);
  if (aged === undefined || (await markExpired(db, [aged.eventId], gate)) !== 1) throw new Error('nothing was expired');
  const range = { streamCreated, firstSeq: 1, lastSeq: greatestSeq };
  if ((await countMissed(db, 'Expired', range)) === undefined) throw new Error('what expired is not counted');
  await hasPublished(db, range);
  await closeDiscontinuity(db, { streamCreated, firstSeq: 1, lastSeq: greatestSeq });
}

/** The stream has an event that is not recorded, one whose predecessors are nowhere, and one recorded otherwise. */
async function adoptLost(db: Db, epoch: number, digit: string): Promise<void> {
  const lost = found(id(digit, 5), `${digit}0000000-0000-4000-8000-000000005001`);
  const cut = { ...found(id(digit, 6), `${digit}0000000-0000-4000-8000-000000006007`), seq: 7 };
  const forked = found(id(digit, 1), `${digit}0000000-0000-4000-8000-000000001001`);
  if ((await newestRecordedAt(db)) === undefined) throw new Error('nobody knows how old the record is');
  const adoption = await unitOfWork(db, epoch, (trx) => adopt(trx, epoch, 'gate', [lost, cut, forked]));
  if (adoption.adopted.length !== 2 || adoption.forked.length !== 1) throw new Error('an event was not adopted');
  if ((await compareFound(db, [lost])).adopted.length > 0) throw new Error('an event would be adopted twice');
}

/** Nothing is old enough: a release leaves behind what the next one finds. */
async function retain(db: Db): Promise<void> {
  const year = 31_536_000_000;
  await removeSettledEvents(db, year, undefined);
  await removeEndedAggregates(db, year, undefined);
  await removeAuditRows(db, year, undefined);
  await removeParked(db, year);
}

const gate = { actor: 'gate', detail: {} } as const;
const streamCreated = '2030-01-01T00:00:00.123456789Z';

function mark(eventId: string, streamSeq: number) {
  return { eventId, streamCreated, streamSeq };
}

function found(aggregateId: string, eventId: string): FoundEvent {
  return {
    eventId,
    eventType: 'agent.created',
    schemaVersion: '1.0',
    kind: 'agent',
    aggregateId,
    seq: 1,
    tenantId: 'acme',
    subject: 'openos.events.acme.agent.created.v1',
    envelope: '{"of":"the stream"}',
    occurredAt: new Date('2030-01-01T00:00:00.123Z'),
    traceContext: null,
    streamCreated,
    streamSeq: 10,
    phase: 'Created',
    reason: 'Accepted',
    attempt: 1,
    detail: { namespace: 'team', name: 'writer' },
    first: { eventId: `${eventId.slice(0, -3)}001`, eventType: 'agent.created', phase: 'Created' },
  };
}

function recording(epoch: number, aggregate: string, lastSeq: number, phases: readonly string[]): Recording {
  const transitions = phases.map((to) => aTransition({ to, reason: to, detail: { of: to } }));
  const outbox = phases.map((_, index) => {
    const seq = lastSeq + 1 + index;
    return anOutboxRow(seq, { eventId: `${aggregate.slice(0, -4)}${aggregate.at(-1)}${`${seq}`.padStart(3, '0')}` });
  });
  return aRecording({ id: aggregate, epoch, lastSeq, transitions, outbox });
}

async function refused(code: StoreErrorCode, deed: Promise<unknown>): Promise<void> {
  const error = await deed.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!hasCode(error, code)) throw new Error(`not refused as ${code}`, { cause: error });
}

function id(digit: string, n: number): string {
  return `${digit}0000000-0000-4000-8000-00000000000${n}`;
}
